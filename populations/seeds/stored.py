"""What the seeds' files have of each slot: whole tensors, each read once, and adapters' factors."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import torch

from populations.express.factored import Factored, Factors, LowRank
from populations.seeds.adapters import Adapted
from populations.seeds.embedding_rows import known_rows, with_lent_rows
from populations.seeds.safetensors_headers import Entry
from populations.seeds.slots import Slot, Source

Key = tuple[tuple[Path, str], ...] | int
"""What tells a whole tensor from others: its files and names, or the place of its only seed."""


class Stored:
    """K seeds' tensors as they are in their files, memory-mapped.

    Seeds that stand on one tensor, such as adapters of one base, have it in common.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        slots: Mapping[str, Slot],
        trailing: Collection[str],
        tokens: Sequence[Collection[int] | None],
    ) -> None:
        """Takes what `populations.seeds.seeds.Seeds` takes; nothing is read."""
        self.sources = sources
        self.slots = slots
        self.trailing = trailing
        self.tokens = tokens

    @property
    def padded(self) -> bool:
        """Whether a seed lacks rows that others have."""
        for name in self.slots:
            for place in range(len(self.sources)):
                if self._lacks_rows(place, name):
                    return True
        return False

    @property
    def nbytes(self) -> int:
        """Bytes of the whole tensors, and of the factors in float32, as the headers tell."""
        size = 0
        for name, slot in self.slots.items():
            counted: set[Key] = set()
            for place, source in enumerate(self.sources):
                key = self._key(place, name)
                if key not in counted:
                    counted.add(key)
                    size += prod(slot.shape) * self._entry(place, name).dtype.itemsize
                if isinstance(source, Adapted) and self._is_factored(place, name):
                    numbers = source.numbers_of_change(self._names(place, name)[0])
                    size += numbers * torch.float32.itemsize
        return size

    def factored(self, name: str) -> Factored:
        """A slot's tensor of every seed.

        Raises:
            ValueError: if the config ties several tensors, and a seed stores different ones.
        """
        wholes: list[torch.Tensor] = []
        places: dict[Key, int] = {}
        standing = []
        changes: dict[int, LowRank] = {}
        for place, source in enumerate(self.sources):
            key = self._key(place, name)
            if key not in places:
                places[key] = len(wholes)
                wholes.append(self._whole(place, name))
            standing.append(places[key])
            if isinstance(source, Adapted) and self._is_factored(place, name):
                change = source.change(self._names(place, name)[0])
                assert change is not None
                changes[place] = change
        factors = Factors.stacked(changes) if changes else None
        return Factored(wholes, np.array(standing), factors)

    def _names(self, place: int, name: str) -> list[str]:
        """The names under which a seed has a slot's tensor."""
        return self.slots[name].stored_names(self.sources[place])

    def _entry(self, place: int, name: str) -> Entry:
        """The header of a slot's tensor of one seed."""
        return self.sources[place].entries[self._names(place, name)[0]]

    def _is_changed(self, place: int, name: str) -> bool:
        """Whether a seed is an adapter with factors for a slot's tensor."""
        source = self.sources[place]
        if not isinstance(source, Adapted):
            return False
        return any(source.numbers_of_change(stored) for stored in self._names(place, name))

    def _is_factored(self, place: int, name: str) -> bool:
        """Whether a seed's tensor is kept as a whole tensor and the factors of its change."""
        # Rows that a seed lacks are lent to the sum, and of tensors that are tied each could have
        # a change of its own. There the seed is added up when it is read.
        single = len(self._names(place, name)) == 1
        return self._is_changed(place, name) and single and not self._lacks_rows(place, name)

    def _key(self, place: int, name: str) -> Key:
        """What tells the whole tensor that a seed stands on from those of other seeds.

        Returns:
            Where it is stored, which adapters of one base have in common; or the seed's place,
            where its tensor is made of more than that.
        """
        if self._lacks_rows(place, name):
            return place
        if self._is_changed(place, name) and not self._is_factored(place, name):
            return place
        # Tensors that are tied count all, because each of them is held against the first.
        key = []
        for stored in self._names(place, name):
            key.append((self.sources[place].entries[stored].file.resolve(), stored))
        return tuple(key)

    def _whole(self, place: int, name: str) -> torch.Tensor:
        """The whole tensor that a seed stands on: its own, but for a change that is factored."""
        source = self.sources[place]
        if isinstance(source, Adapted) and self._is_factored(place, name):
            return source.whole(self._names(place, name)[0])
        tensor = self._unpadded(place, name)
        if not self._lacks_rows(place, name):
            return tensor
        known = self._known_rows(place, name)
        return with_lent_rows(tensor, known, self.slots[name].shape, self._lenders(name))

    def _lenders(self, name: str) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """For each seed its tensor of a slot, and which rows it has; one at a time in memory."""
        for place in range(len(self.sources)):
            yield self._unpadded(place, name), self._known_rows(place, name)

    def _lacks_rows(self, place: int, name: str) -> bool:
        """Whether a seed lacks rows of a slot."""
        return name in self.trailing and not bool(self._known_rows(place, name).all())

    def _known_rows(self, place: int, name: str) -> torch.Tensor:
        """(V,) whether a seed has each row of a slot."""
        stored = self._entry(place, name).shape[0]
        return known_rows(self.slots[name].shape[0], stored, place, self.tokens)

    def _unpadded(self, place: int, name: str) -> torch.Tensor:
        """A slot's tensor as a seed has it.

        Raises:
            ValueError: if the config ties several tensors, and the seed stores different ones.
        """
        source = self.sources[place]
        tensor, *others = map(source.tensor, self._names(place, name))
        # To merge one of two that differ would lose the other one.
        for other in others:
            if not torch.equal(tensor, other):
                names = " and ".join(map(repr, self.slots[name].names))
                raise ValueError(
                    f"seeds: {source.name}: its config ties {names}, "
                    "its file stores them as different tensors"
                )
        return tensor
