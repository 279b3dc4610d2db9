"""How one of mergekit's methods fills the resident model, tensor by tensor.

What it leaves of each seed does not depend on the weights. So it is made once for each seed and
tensor, and kept, and only weighted at a birth (`KeptVectors`). Where what it leaves is searched,
what comes before that is kept. Where there is no room for that, or the method has no such part, all
of it is made anew at each birth (`Anew`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch

from populations.methods import Method
from populations.seeds.seed_devices import Kept, Place, fitting_place_of_made
from populations.task_vectors import NUMBERS

log = logging.getLogger(__name__)

PIECE = 1 << 18
"""Numbers of a tensor that are weighted at a time on the CPU.

What mergekit makes of so many of each seed stays in the caches, which is several times as fast as
all numbers at once. It is a multiple of what torch takes in one step. So each number of a tensor
is summed up over the seeds in the same order, however the tensor is cut.
"""

WHERE = {"device": "beside the model", "pinned": "in pinned memory"}
"""Places of task vectors, in words."""


class Inputs(NamedTuple):
    """What a method merges of one tensor."""

    base: torch.Tensor | None
    """The base's, for a method that needs one."""

    seeds: list[torch.Tensor]
    """(K,) the seeds'."""

    def like(self, slot: torch.Tensor) -> Inputs:
        """The same on the device of the resident model's tensor, and in its type."""
        base = None
        if self.base is not None:
            base = self.base.to(slot.device, slot.dtype)
        return Inputs(base, [seed.to(slot.device, slot.dtype) for seed in self.seeds])


class Merging(Protocol):
    """What fills the resident model."""

    def merge(self, method: Method, name: str, slot: torch.Tensor, weights: np.ndarray) -> None:
        """Fills a tensor of the resident model.

        Args:
            method: of mergekit, with a number in the place of each range.
            name: the tensor's name.
            slot: the tensor itself.
            weights: (K,) of the seeds.

        Raises:
            ValueError: if mergekit cannot merge these.
        """


class Anew:
    """All that a method does is done at each birth."""

    def __init__(self, inputs: Callable[[str], Inputs]) -> None:
        """Nothing is read yet.

        Args:
            inputs: a tensor's name to what is merged of it.
        """
        self._inputs = inputs

    def merge(self, method: Method, name: str, slot: torch.Tensor, weights: np.ndarray) -> None:
        """As `Merging.merge`."""
        inputs = self._inputs(name).like(slot)
        slot.copy_(method.merge(name, inputs.seeds, weights, inputs.base))


class KeptTensor(NamedTuple):
    """What is kept of one tensor, in the type of the resident model."""

    base: torch.Tensor
    """The base's."""

    vectors: list[torch.Tensor]
    """(K,) the task vectors; where what is left of the seeds is searched, their differences."""

    places: list[torch.Tensor | None]
    """(K,) the ranks of the differences' numbers, where these are kept and are trimmed by size."""


class KeptVectors:
    """The task vectors of a method, tensor by tensor, kept from their first use on.

    They are the same for all members, unless it is searched how much is left of the seeds. Then
    differences from the base are, and their ranks. Each member's task vectors are made of these.
    """

    def __init__(
        self,
        place: Kept,
        inputs: Callable[[str], Inputs],
        release: Callable[[str], None],
        *,
        searched: bool = False,
    ) -> None:
        """Nothing is made yet.

        Args:
            place: "device", beside the model, or "pinned", in the host's page-locked memory.
            inputs: a tensor's name to what is merged of it; each is asked for once.
            release: is told the name of each tensor whose seeds are not needed any longer.
            searched: whether members differ in how much is left of the seeds.
        """
        self._place = place
        self._inputs = inputs
        self._release = release
        self._searched = searched
        # By the tensor's name, on the place.
        self._kept: dict[str, KeptTensor] = {}

    def merge(self, method: Method, name: str, slot: torch.Tensor, weights: np.ndarray) -> None:
        """As `Merging.merge`, with the numbers of `Anew.merge`, to the bit."""
        if name not in self._kept:
            self._kept[name] = self._made(method, name, slot)
            self._release(name)
        base, vectors, places = self._kept[name]
        vectors = [vector.to(slot.device) for vector in vectors]
        if self._searched:
            places = [None if own is None else own.to(slot.device) for own in places]
            vectors = method.sparsified(name, vectors, places)
        _weigh(method, name, slot, weights, base.to(slot.device), vectors)

    def _made(self, method: Method, name: str, slot: torch.Tensor) -> KeptTensor:
        """What is kept of a tensor."""
        base, seeds = self._inputs(name).like(slot)
        assert base is not None, "methods that have task vectors need a base"
        places: list[torch.Tensor | None] = []
        if self._searched:
            vectors, places = method.differences(name, seeds, base)
        else:
            vectors = method.task_vectors(name, seeds, base)
        return KeptTensor(
            _stored(base, self._place),
            [_stored(vector, self._place) for vector in vectors],
            [None if own is None else _stored(own, self._place) for own in places],
        )


def _stored(tensor: torch.Tensor, place: Kept) -> torch.Tensor:
    """A tensor where it is kept."""
    tensor = tensor.contiguous()
    if place == "pinned":
        return tensor.cpu().pin_memory()
    return tensor


def _weigh(
    method: Method,
    name: str,
    slot: torch.Tensor,
    weights: np.ndarray,
    base: torch.Tensor,
    vectors: Sequence[torch.Tensor],
) -> None:
    """Fills a tensor of the resident model from task vectors on its device.

    Raises:
        ValueError: if mergekit cannot merge these.
    """
    # On a GPU, many small calls are slower than a large one.
    if slot.device.type != "cpu" or slot.numel() <= PIECE:
        slot.copy_(method.merge_vectors(name, vectors, weights, base))
        return
    flat_slot = slot.view(-1)
    flat_base = base.view(-1)
    flat_vectors = [vector.reshape(-1) for vector in vectors]
    for start in range(0, slot.numel(), PIECE):
        piece = slice(start, start + PIECE)
        cut = [vector[piece] for vector in flat_vectors]
        flat_slot[piece] = method.merge_vectors(name, cut, weights, flat_base[piece])


def merging(
    method: Method,
    slots: Mapping[str, torch.Tensor],
    count: int,
    place: Place,
    inputs: Callable[[str], Inputs],
    release: Callable[[str], None],
) -> Merging:
    """How a method fills a model: by task vectors that are kept, where it can.

    Args:
        method: of mergekit.
        slots: the resident model's tensors.
        count: how many seeds there are, K.
        place: where the user wants seeds to be kept, and so what is made of them. Nothing can be
            made on "disk".
        inputs: as `KeptVectors` takes it.
        release: as `KeptVectors` takes it.
    """
    if not method.has_task_vectors:
        return Anew(inputs)
    searched = _searched(method)
    width = max((slot.element_size() for slot in slots.values()), default=4)
    copies = copies_kept(method, count, width)
    if place == "auto":
        # The base is kept beside them.
        place = fitting_place_of_made(slots.values(), copies + 1)
    size = 0.0
    for slot in slots.values():
        size += copies * slot.numel() * slot.element_size()
    what = "task vectors"
    if searched:
        what = "differences from the base"
    vectors = f"{what} of {count} seeds for {method.name}, {size / 1e9:.3g} GB"
    # It depends on how much memory there is, and how fast a birth is on it, so the log has it.
    if place == "disk":
        log.info("%s, are made anew for each birth: nothing of the seeds is in memory", vectors)
        return Anew(inputs)
    because = ""
    if searched:
        numbers = " and ".join(searched)
        because = f"; task vectors are made of them for each birth, since it searches {numbers}"
    log.info("%s, are made once and kept: %s%s", vectors, WHERE[place], because)
    return KeptVectors(place, inputs, release, searched=bool(searched))


def copies_kept(method: Method, count: int, width: int) -> float:
    """What is kept of the seeds for a method, in sizes of the resident model.

    Args:
        method: of mergekit.
        count: how many seeds there are, K.
        width: bytes of a number of the resident model.
    """
    if not method.has_task_vectors:
        return 0.0
    # Beside each number its rank is kept, in 4 bytes.
    if method.trims_by_size and _searched(method):
        return count * (1 + 4 / width)
    return float(count)


def _searched(method: Method) -> list[str]:
    """The numbers on which it depends what is left of a seed, as far as they are searched."""
    return [range_.label for range_ in method.ranges if range_.parameter in NUMBERS]
