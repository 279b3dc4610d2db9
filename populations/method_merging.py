"""How one of mergekit's methods fills the resident model, tensor by tensor.

What it leaves of each seed does not depend on the weights. So it is made once for each seed and
tensor, and kept, and only weighted at a birth (`KeptVectors`). Where there is no room for that, or
the method has no such part, or searches what it leaves, all of it is made anew at each birth
(`Anew`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
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


class KeptVectors:
    """The task vectors of a method, tensor by tensor, kept from their first use on.

    They are the same for all members: what makes them is not searched.
    """

    def __init__(
        self,
        place: Kept,
        inputs: Callable[[str], Inputs],
        release: Callable[[str], None],
    ) -> None:
        """Nothing is made yet.

        Args:
            place: "device", beside the model, or "pinned", in the host's page-locked memory.
            inputs: a tensor's name to what is merged of it; each is asked for once.
            release: is told the name of each tensor whose seeds are not needed any longer.
        """
        self._place = place
        self._inputs = inputs
        self._release = release
        # By tensor the base and K task vectors, on the place, in the type of the resident model.
        self._kept: dict[str, list[torch.Tensor]] = {}

    def merge(self, method: Method, name: str, slot: torch.Tensor, weights: np.ndarray) -> None:
        """As `Merging.merge`, with the numbers of `Anew.merge`, to the bit."""
        base, *vectors = [tensor.to(slot.device) for tensor in self._tensors(method, name, slot)]
        # On a GPU, many small calls are slower than a large one.
        if slot.device.type != "cpu" or slot.numel() <= PIECE:
            slot.copy_(method.merge_vectors(name, vectors, weights, base))
            return
        flat_slot = slot.view(-1)
        flat_base = base.view(-1)
        flat_vectors = [vector.view(-1) for vector in vectors]
        for start in range(0, slot.numel(), PIECE):
            piece = slice(start, start + PIECE)
            cut = [vector[piece] for vector in flat_vectors]
            flat_slot[piece] = method.merge_vectors(name, cut, weights, flat_base[piece])

    def _tensors(self, method: Method, name: str, slot: torch.Tensor) -> list[torch.Tensor]:
        """The base and the task vectors of a tensor, which are made when it is first needed."""
        if name not in self._kept:
            base, seeds = self._inputs(name).like(slot)
            assert base is not None, "methods that have task vectors need a base"
            tensors = [base, *method.task_vectors(name, seeds, base)]
            tensors = [tensor.contiguous() for tensor in tensors]
            if self._place == "pinned":
                tensors = [tensor.cpu().pin_memory() for tensor in tensors]
            self._kept[name] = tensors
            self._release(name)
        return self._kept[name]


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
    searched = [range_.label for range_ in method.ranges if range_.parameter in NUMBERS]
    if searched:
        log.info(
            "task vectors for %s are made anew for each birth, since it searches %s",
            method.name, " and ".join(searched),
        )  # fmt: skip
        return Anew(inputs)
    if place == "auto":
        # The base is kept beside them.
        place = fitting_place_of_made(slots.values(), count + 1)
    size = 0
    for slot in slots.values():
        size += count * slot.numel() * slot.element_size()
    vectors = f"task vectors of {count} seeds for {method.name}, {size / 1e9:.3g} GB"
    # It depends on how much memory there is, and how fast a birth is on it, so the log has it.
    if place == "disk":
        log.info("%s, are made anew for each birth: nothing of the seeds is in memory", vectors)
        return Anew(inputs)
    log.info("%s, are made once and kept: %s", vectors, WHERE[place])
    return KeptVectors(place, inputs, release)
