"""Inner products of the seeds, from which every angle between recipes follows.

A recipe is a linear combination of the seeds on every stretch of the axis. So <A, B> over a stretch
is a @ G @ b, with the (K, K) Gram matrix G of the seeds over that stretch. The matrices are taken
once, unit by unit, in float64. A stretch may begin or end inside a tensor. That takes one more pass
over the front of the tensor, where the seeds are, and its result is kept, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from evomerge.genome.axis import Axis

Front = Callable[[str, int], np.ndarray]
"""The inner products of a tensor's first entries in all seeds.

It takes the tensor's name and the number of entries, in the order of the axis, and gives (K, K)
float64.
"""


@dataclass(eq=False)
class Grams:
    """Gram matrices of K seeds along an axis.

    Attributes:
        axis: the axis.
        units: (U, K, K) float64, one for each unit in the order of the axis.
        front: takes the inner products of the front part of a tensor.
    """

    axis: Axis
    units: np.ndarray
    front: Front
    _fronts: dict[int, np.ndarray] = field(default_factory=dict, init=False)

    def over(self, bounds: np.ndarray) -> np.ndarray:
        """The Gram matrices of adjacent stretches.

        Args:
            bounds: (m + 1,) positions on the axis, rising: stretch i is [bounds[i], bounds[i + 1]).

        Returns:
            (m, K, K) float64.
        """
        # (m + 1,) the unit in which a bound lies, or which it begins.
        units = np.searchsorted(self._bounds, bounds, side="right") - 1
        fronts = []
        for bound, unit in zip(bounds.tolist(), units.tolist(), strict=True):
            fronts.append(self._front(bound, unit))
        grams = []
        for stretch, (first, last) in enumerate(pairwise(units)):
            # From the first unit's beginning to the last one's. What the stretch has of the last
            # unit is added, and what it leaves of the first is taken away.
            whole_units = self.units[first:last].sum(axis=0)
            grams.append(whole_units + fronts[stretch + 1] - fronts[stretch])
        return np.array(grams)

    @cached_property
    def _bounds(self) -> np.ndarray:
        """(U + 1,) where units begin, and where the last one ends."""
        # Each chromosome begins where the one before ends, so its first bound is there already.
        return np.concatenate([[0], *(bounds[1:] for bounds in self.axis.unit_bounds)])

    @cached_property
    def _tensors(self) -> list[str]:
        """For each unit the tensor that it lies in, empty where it lies in several."""
        tensors = []
        for chromosome in self.axis.chromosomes:
            for block in chromosome.blocks:
                tensor = block.parts[0].tensor if block.is_tensor else ""
                tensors += [tensor] * block.count
        return tensors

    def _front(self, bound: int, unit: int) -> np.ndarray | float:
        """Inner products from the beginning of a unit to a bound inside it."""
        entries = bound - int(self._bounds[unit])
        if not entries:
            return 0.0
        if bound not in self._fronts:
            self._fronts[bound] = self.front(self._tensors[unit], entries)
        return self._fronts[bound]
