"""The seeds: K models of one architecture, tensor by tensor.

Their headers are checked before a weight is read.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from math import prod
from types import MappingProxyType

import numpy as np
import torch

from evomerge.genome.axis import Axis
from evomerge.genome.blocks import Block, Part
from evomerge.genome.grams import Grams
from populations.express.factored import Factored
from populations.seeds.seed_devices import Kept, Place, fitting_place
from populations.seeds.slot_checks import check_no_extras, check_slots
from populations.seeds.slots import Slot, Source
from populations.seeds.stored import Stored

PIECE = 1 << 17
"""Entries that are taken in float64 at a time."""


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
            trailing: slots of which a seed may lack the last rows; it gets the mean of the seeds
                that have them, so that between such seeds the row is theirs.
            tokens: for each seed the numbers of its tokenizer's tokens, whose rows it has; None,
                or no such list: all rows that it stores. What is stored beyond is padding.
            spare: what a file may have beside the slots, as `spare_of` returns it: by the
                beginning of the names, regular expressions.

        Raises:
            ValueError: if a seed lacks a tensor, or has one of another shape, or of numbers that
                are not floating-point, or one more than the model has.
        """
        self.sources = sources
        self.slots = dict(slots)
        self.trailing = trailing
        self._stored = Stored(sources, self.slots, trailing, tokens or [None] * len(sources))
        # By slot the seeds' tensors, after `keep` has decided where they are.
        self._kept: dict[str, Factored] = {}
        for source in sources:
            check_slots(source, self.slots, trailing)
            check_no_extras(source, self.slots, spare)

    @property
    def dtype(self) -> torch.dtype:
        """The type that most of the first seed's numbers have."""
        # Numbers are counted and not tensors, since many small norms are kept in float32.
        first = self.sources[0]
        counts: dict[torch.dtype, int] = {}
        for slot in self.slots.values():
            dtype = first.entries[slot.stored_names(first)[0]].dtype
            counts[dtype] = counts.get(dtype, 0) + prod(slot.shape)
        return max(counts, key=lambda dtype: counts[dtype])

    @property
    def padded(self) -> bool:
        """Whether a seed lacks rows that others have."""
        return self._stored.padded

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept of the seeds, in the types of their files.

        A tensor that several seeds stand on counts once, and an adapter as its factors in float32.
        Headers alone are read for it.
        """
        return self._stored.nbytes

    def factored(self, name: str) -> Factored:
        """A slot's tensor of every seed, from where they are kept.

        Before `keep` they are memory-mapped.
        """
        return self._kept.get(name) or self._stored.factored(name)

    def tensors(self, name: str) -> list[torch.Tensor]:
        """As `factored`, each seed's tensor whole; an adapter's is added up anew for each call."""
        return self.factored(name).tensors()

    def keep(self, slots: Mapping[str, torch.Tensor], place: Place) -> Kept:
        """Decides where the seeds are kept, and brings them there.

        Args:
            slots: the resident model's tensors, whose devices and types count.
            place: "device", beside the model; "pinned", in the host's page-locked memory; "disk",
                memory-mapped; "auto", the first of these that fits (for a model in the host's
                memory: disk, since the page cache is as fast).

        Raises:
            ValueError: if there is no such place, or a seed says that two tensors are one and
                stores them as different ones.
        """
        stored = {name: self._stored.factored(name) for name in slots}
        needed: dict[torch.device, int] = {}
        for name, slot in slots.items():
            size = stored[name].size_in(slot.dtype)
            needed[slot.device] = needed.get(slot.device, 0) + size
        chosen: Kept = fitting_place(needed) if place == "auto" else place
        if chosen == "pinned" and not torch.cuda.is_available():
            raise ValueError(
                "seed_device: 'pinned' is the host's memory beside a GPU, and there is none; "
                "choose auto or disk"
            )
        for name, slot in slots.items():
            tensors = stored.pop(name)
            if chosen == "device":
                tensors = tensors.moved(slot.device, slot.dtype)
            elif chosen == "pinned":
                tensors = tensors.pinned(slot.dtype)
            self._kept[name] = tensors
        return chosen

    def release(self, name: str) -> None:
        """Keeps a slot's tensors no longer: from now on they are memory-mapped."""
        self._kept.pop(name, None)

    def grams(self, axis: Axis) -> Grams:
        """The seeds' Gram matrices along an axis, in float64.

        Raises:
            ValueError: if a seed has numbers that are not finite.
        """
        grams = []
        for chromosome in axis.chromosomes:
            for block in chromosome.blocks:
                # A unit such as an attention head is in several tensors, whose products add up.
                gram = np.zeros(())
                for part in block.parts:
                    gram = gram + self._products(block, part)
                self._check_finite(block, gram)
                grams.append(gram)
        return Grams(axis, np.concatenate(grams), self.front)

    def front(self, name: str, entries: int) -> np.ndarray:
        """Inner products of the first entries of a tensor, from where the seeds are kept.

        Args:
            name: the slot.
            entries: how many of them, from the first on, in the order of memory.

        Returns:
            (K, K) in float64.
        """
        flat = [tensor.reshape(-1) for tensor in self.tensors(name)]
        gram = torch.zeros(len(flat), len(flat), dtype=torch.float64, device=flat[0].device)
        # All entries in float64 at once could need more memory than the model itself.
        for first in range(0, entries, PIECE):
            last = min(entries, first + PIECE)
            pieces = [vector[first:last].double() for vector in flat]
            rows = torch.stack(pieces)  # (K, last - first)
            gram += rows @ rows.T
        return gram.cpu().numpy()

    def _products(self, block: Block, part: Part) -> np.ndarray:
        """Inner products of what each unit of a block has of one tensor.

        Returns:
            (count, K, K) in float64.
        """
        count = block.count
        # A block of one unit has whole tensors, which need not be cut.
        if count == 1:
            return self.front(part.tensor, prod(self.slots[part.tensor].shape))[None]
        tensors = self.tensors(part.tensor)
        gram = np.zeros((count, len(tensors), len(tensors)))
        # As many units at a time as `PIECE` allows.
        step = max(1, PIECE * count // tensors[0].numel())
        for first in range(0, count, step):
            units = min(count, first + step) - first
            for run in range(part.runs):
                start = (run * count + first) * part.width
                rows = []
                for tensor in tensors:
                    cut = tensor.narrow(part.dim, start, units * part.width)
                    rows.append(cut.double().movedim(part.dim, 0).reshape(units, -1))
                stacked = torch.stack(rows, dim=1)  # (units, K, entries of a unit)
                gram[first : first + units] += torch.bmm(stacked, stacked.mT).cpu().numpy()
        return gram

    def _check_finite(self, block: Block, gram: np.ndarray) -> None:
        """Refuses a seed with infinite numbers or NaN in a block.

        Args:
            block: of the axis.
            gram: (count, K, K) its inner products, which are finite if the numbers are.
        """
        squares = np.diagonal(gram, axis1=1, axis2=2)  # (count, K)
        for place, source in enumerate(self.sources):
            if not np.isfinite(squares[:, place]).all():
                names = ", ".join([repr(part.tensor) for part in block.parts])
                raise ValueError(f"seeds: {source.name}: {names} has numbers that are not finite")
