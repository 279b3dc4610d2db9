"""The seeds: K models of one architecture, tensor by tensor; checked by their headers before a weight is read."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
import torch

from evomerge.genome.axis import Axis, Block, Part
from evomerge.genome.grams import Grams
from populations.express.resident import slots_of
from populations.seeds.checkpoints import Entry

log = logging.getLogger(__name__)

Place = Literal["auto", "device", "pinned", "disk"]

PIECE = 1 << 17
"""Entries that are taken in float64 at a time."""

LEFT_OUT = re.compile(
    r"(.*\.)?(\w*inv_freq|(sin|cos)_cached|position_ids|masked_bias|causal_mask|num_batches_tracked)"
)
"""What older versions of the libraries wrote beside the weights, and make anew: tables of angles and places, masks."""

MASK = re.compile(r"(.*\.)?(attn|attention)\.bias")
"""The same, where the name is also that of a bias; a mask has four dimensions."""

ROOM = 0.7
"""Share of the free memory that seeds may take on a device; generation needs the rest."""


class Source(Protocol):
    """One seed's tensors: a checkpoint, or a checkpoint with an adapter."""

    @property
    def name(self) -> str:
        """What messages, cards and recipes call it."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Its tensors, as the headers describe them."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that its weights are in."""

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of it; memory-mapped, where nothing has to be computed."""


@dataclass(frozen=True)
class Slot:
    """A tensor that a recipe fills.

    Attributes:
        shape: its shape.
        names: the names that it may have in a checkpoint, more than one where it is tied.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]


class Seeds:
    """K models of one architecture."""

    def __init__(
        self,
        sources: Sequence[Source],
        slots: Mapping[str, Slot],
        trailing: Collection[str] = (),
        tokens: Sequence[Collection[int] | None] = (),
        spare: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Checks all headers.

        Args:
            sources: the seeds, K of them.
            slots: what a recipe fills, by name.
            trailing: slots of which a seed may lack the last rows; it gets the mean of the seeds that have them, so that between
                such seeds the row is theirs.
            tokens: for each seed the numbers of its tokenizer's tokens, whose rows it has; None, or no such list: all rows that it
                stores. What is stored beyond is padding.
            spare: what a file may have beside the slots, as `spare_of` tells it: by the beginning of the names, regular expressions.

        Raises:
            ValueError: if a seed lacks a tensor, or has one of another shape, or of numbers that are not floating-point, or
                one more than the model has.
        """
        self.sources, self.slots, self.trailing = sources, dict(slots), trailing
        self._tokens: Sequence[Collection[int] | None] = tokens or [None] * len(sources)
        self._spare = spare
        for source in sources:
            for name, slot in slots.items():
                self._check(source, name, slot)
            self._check_whole(source)

    @property
    def dtype(self) -> torch.dtype:
        """The type that most of the first seed's numbers have."""
        counts: dict[torch.dtype, int] = {}
        for name, slot in self.slots.items():
            entry = self._entry(self.sources[0], name)
            counts[entry.dtype] = counts.get(entry.dtype, 0) + prod(slot.shape)
        return max(counts, key=lambda dtype: counts[dtype])

    @property
    def padded(self) -> bool:
        """Whether a seed lacks rows that others have."""
        names = [name for name in self.slots if name in self.trailing]
        return any(
            not self._rows(place, name).all()
            for place in range(len(self.sources))
            for name in names
        )

    def tensors(self, name: str) -> list[torch.Tensor]:
        """A slot's tensor of every seed, where they are kept; memory-mapped before that is decided."""
        return self._kept.get(name) or [
            self._stored(place, name) for place in range(len(self.sources))
        ]

    def keep(
        self, slots: Mapping[str, torch.Tensor], place: Place
    ) -> Literal["device", "pinned", "disk"]:
        """Decides where the seeds are kept, and brings them there.

        Args:
            slots: the resident model's tensors, whose devices and types count.
            place: "device", beside the model; "pinned", in the host's page-locked memory; "disk", memory-mapped; "auto", the first
                of these that fits (for a model in the host's memory: disk, since the page cache is as fast).

        Raises:
            ValueError: if there is no such place, or a seed says that two tensors are one and stores them as different ones.
        """
        chosen = self._fitting(slots) if place == "auto" else place
        if chosen == "pinned" and not torch.cuda.is_available():
            raise ValueError(
                "seed_device: 'pinned' is the host's memory beside a GPU, and there is none; choose auto or disk"
            )
        for name, slot in slots.items():
            stored = [self._stored(place, name) for place in range(len(self.sources))]
            if chosen == "device":
                stored = [tensor.to(slot.device, slot.dtype) for tensor in stored]
            elif chosen == "pinned":
                stored = [tensor.to(slot.dtype).pin_memory() for tensor in stored]
            self._kept[name] = stored
        return chosen

    def grams(self, axis: Axis) -> Grams:
        """The seeds' Gram matrices along an axis, in float64.

        Raises:
            ValueError: if a seed has numbers that are not finite.
        """
        units = []
        for chromosome in axis.chromosomes:
            for block in chromosome.blocks:
                gram = sum((self._products(block, part) for part in block.parts), np.zeros(()))
                for source, squares in zip(
                    self.sources, np.diagonal(gram, axis1=1, axis2=2).T, strict=True
                ):
                    if not np.isfinite(squares).all():
                        names = ", ".join(repr(part.tensor) for part in block.parts)
                        raise ValueError(
                            f"seeds: {source.name}: {names} has numbers that are not finite"
                        )
                units.append(gram)
        return Grams(axis, np.concatenate(units), self.front)

    def front(self, name: str, entries: int) -> np.ndarray:
        """(K, K) inner products of the first entries of a tensor, in float64, from where the seeds are kept."""
        flat = [tensor.reshape(-1) for tensor in self.tensors(name)]
        gram = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat[0].device)
        for first in range(0, entries, PIECE):
            rows = torch.stack(
                [vector[first : min(entries, first + PIECE)].double() for vector in flat]
            )
            gram += rows @ rows.T
        return gram.cpu().numpy()

    @cached_property
    def _kept(self) -> dict[str, list[torch.Tensor]]:
        return {}

    def _check(self, source: Source, name: str, slot: Slot) -> None:
        stored = _stored_as(source, slot)
        if not stored:
            few = ", ".join(list(source.entries)[:4])
            raise ValueError(
                f"seeds: {source.name}: expected a tensor {name!r} of shape {slot.shape}, it has none; it has {few} ... "
                "(what its library stores under other names than it runs under, Mixtral or files of old versions, cannot be bred yet)"
            )
        alias = stored[0]
        entry = source.entries[alias]
        if not entry.dtype.is_floating_point or entry.dtype.itemsize < 2:
            raise ValueError(
                f"seeds: {source.name}: expected floating-point weights, {alias!r} is {entry.dtype}: it is quantized"
            )
        rows_may_lack = (
            name in self.trailing
            and entry.shape[1:] == slot.shape[1:]
            and entry.shape[0] <= slot.shape[0]
        )
        if entry.shape != slot.shape and not rows_may_lack:
            raise ValueError(
                f"seeds: {source.name}: expected {alias!r} of shape {slot.shape}, got {entry.shape}"
            )

    def _check_whole(self, source: Source) -> None:
        """Refuses tensors that no child would have: what is merged is the whole of a seed."""
        known = {alias for slot in self.slots.values() for alias in slot.names}
        extra = [
            name
            for name, entry in source.entries.items()
            if name not in known and not _remade(name, entry)
        ]
        listed = [name for name in extra if self._listed(name)]
        if listed:
            log.info(
                "%s: left out, as its class says: %s", source.name, ", ".join(map(repr, listed))
            )
        extra = [name for name in extra if name not in listed]
        if not extra:
            return
        few = ", ".join(f"{name!r} {source.entries[name].shape}" for name in extra[:6])
        more = f" and {len(extra) - 6} more" if len(extra) > 6 else ""
        raise ValueError(
            f"seeds: {source.name}: {len(extra)} of its tensors have no place in the model that the seeds' "
            f"config describes, and no child would have them: {few}{more}. Take a seed without them (load it "
            "with its own class, which drops them, and save it), or seeds whose configs have them all"
        )

    def _listed(self, name: str) -> bool:
        """Whether a tensor is of a kind that its class leaves out."""
        begins = [begin for begin in self._spare if name.startswith(begin)]
        return any(
            re.search(pattern, name.removeprefix(begin))
            for begin in begins
            for pattern in self._spare[begin]
        )

    def _entry(self, source: Source, name: str) -> Entry:
        return source.entries[_stored_as(source, self.slots[name])[0]]

    def _rows(self, place: int, name: str) -> torch.Tensor:
        """(V,) whether a seed has each row of a slot: it stores it, and its tokenizer has the token."""
        stored, total = self._entry(self.sources[place], name).shape[0], self.slots[name].shape[0]
        tokens = self._tokens[place]
        rows = torch.zeros(total, dtype=torch.bool)
        if tokens is None:
            rows[:stored] = True
        else:
            rows[[number for number in tokens if number < stored]] = True
        # of a token that no seed knows each has what it stores
        others = [known for known in self._tokens if known is not None]
        if len(others) == len(self.sources):
            nobody = torch.ones(total, dtype=torch.bool)
            nobody[[number for number in set().union(*others) if number < total]] = False
            rows[:stored] |= nobody[:stored]
        return rows

    def _stored(self, place: int, name: str) -> torch.Tensor:
        """A slot's tensor of one seed, with the rows that it lacks."""
        tensor = self._raw(self.sources[place], name)
        if name not in self.trailing or (have := self._rows(place, name)).all():
            return tensor
        padded = torch.zeros(self.slots[name].shape)
        count = torch.zeros(len(padded), *[1] * (tensor.dim() - 1))
        for other, source in enumerate(self.sources):
            rows = self._rows(other, name) & ~have
            padded[rows] += self._raw(source, name)[rows[: self._entry(source, name).shape[0]]]
            count[rows] += 1
        padded /= count.clamp(min=1)
        kept = have[: len(tensor)]
        padded[have] = tensor[kept].to(padded.dtype)
        return padded.to(tensor.dtype)

    def _raw(self, source: Source, name: str) -> torch.Tensor:
        tensor, *others = map(source.tensor, _stored_as(source, self.slots[name]))
        if not all(torch.equal(tensor, other) for other in others):
            names = " and ".join(map(repr, self.slots[name].names))
            raise ValueError(
                f"seeds: {source.name}: its config ties {names}, its file stores them as different tensors"
            )
        return tensor

    def _fitting(self, slots: Mapping[str, torch.Tensor]) -> Literal["device", "pinned", "disk"]:
        needed: dict[torch.device, int] = {}
        for slot in slots.values():
            needed[slot.device] = (
                needed.get(slot.device, 0) + len(self.sources) * slot.numel() * slot.element_size()
            )
        if all(device.type != "cuda" for device in needed):
            return "disk"
        if all(
            size < ROOM * torch.cuda.mem_get_info(device)[0]
            for device, size in needed.items()
            if device.type == "cuda"
        ):
            return "device"
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return "pinned" if sum(needed.values()) < ROOM * free else "disk"

    def _products(self, block: Block, part: Part) -> np.ndarray:
        """(count, K, K) inner products of what each unit of a block has of one tensor."""
        tensors, count = self.tensors(part.tensor), block.count
        if count == 1:
            return self.front(part.tensor, prod(self.slots[part.tensor].shape))[None]
        gram = np.zeros((count, len(tensors), len(tensors)))
        step = max(1, PIECE * count // tensors[0].numel())
        for first in range(0, count, step):
            last = min(count, first + step)
            for run in range(part.runs):
                start = (run * count + first) * part.width
                cut = [t.narrow(part.dim, start, (last - first) * part.width) for t in tensors]
                rows = torch.stack(
                    [c.double().movedim(part.dim, 0).reshape(last - first, -1) for c in cut], dim=1
                )
                gram[first:last] += torch.bmm(rows, rows.mT).cpu().numpy()
        return gram


def described_slots(model: torch.nn.Module, prefix: str = "") -> dict[str, Slot]:
    """The slots of a model by name, its weights need not be there; each name with a prefix."""
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(prefix + name)
    return {
        prefix + name: Slot(tuple(tensor.shape), tuple(names[id(tensor)]))
        for name, tensor in slots_of(model).items()
    }


def spare_of(model: torch.nn.Module) -> tuple[str, ...]:
    """What a checkpoint of a model may have beside its weights: its buffers, and what its class says that it leaves out."""
    listed = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    return (*listed, *(rf"^{re.escape(name)}$" for name, _ in model.named_buffers()))


def digest(source: Source) -> str:
    """SHA-256 of a seed's files, one after another."""
    return digest_of(source.files)


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 of files, one after another."""
    found = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            while piece := file.read(1 << 24):
                found.update(piece)
    return found.hexdigest()


def _remade(name: str, entry: Entry) -> bool:
    """Whether a tensor is one that the libraries make anew, and wrote beside the weights once."""
    return bool(LEFT_OUT.fullmatch(name) or (MASK.fullmatch(name) and len(entry.shape) == 4))


def _stored_as(source: Source, slot: Slot) -> list[str]:
    """The names of a slot under which a seed has it."""
    return [alias for alias in slot.names if alias in source.entries]
