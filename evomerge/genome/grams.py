"""Inner products of the seeds, from which every angle between recipes follows: taken once, unit by unit, in float64.

A recipe is a linear combination of the seeds on every stretch of the axis, so <A, B> over a stretch is a @ G @ b with the (K, K)
Gram matrix G of the seeds over that stretch. Where a stretch begins or ends inside a tensor, one more pass over the front of that
tensor is needed, where the seeds are; it is kept, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np

from evomerge.genome.axis import Axis

Front = Callable[[str, int], np.ndarray]
"""A tensor's name and n to the (K, K) float64 inner products of its first n entries, in the order of the axis, in all seeds."""


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
        starts = self._bounds
        units = (
            np.searchsorted(starts, bounds, side="right") - 1
        )  # the unit in which a bound lies, or which it begins
        fronts = [
            self._front(bound, unit)
            for bound, unit in zip(bounds.tolist(), units.tolist(), strict=True)
        ]
        within = [self.units[first:last].sum(axis=0) for first, last in pairwise(units)]
        return np.array(
            [
                gram + after - before
                for gram, (before, after) in zip(within, pairwise(fronts), strict=True)
            ]
        )

    @cached_property
    def _bounds(self) -> np.ndarray:
        """(U + 1,) where units begin, and where the last one ends."""
        return np.concatenate([[0], *(bounds[1:] for bounds in self.axis.unit_bounds)])

    @cached_property
    def _tensors(self) -> list[str]:
        """For each unit the tensor that it lies in, empty where it lies in several."""
        return [
            block.parts[0].tensor if len(block.parts) == 1 and block.count == 1 else ""
            for chromosome in self.axis.chromosomes
            for block in chromosome.blocks
            for _ in range(block.count)
        ]

    def _front(self, bound: int, unit: int) -> np.ndarray | float:
        """Inner products from the beginning of a unit to a bound inside it."""
        entries = bound - int(self._bounds[unit])
        if not entries:
            return 0.0
        if bound not in self._fronts:
            self._fronts[bound] = self.front(self._tensors[unit], entries)
        return self._fronts[bound]
