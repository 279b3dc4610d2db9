"""How members compete: the settings of `fitness.competition`, given once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fitness.competition import Capacity, RejectionBound, check, price


@dataclass(frozen=True)
class Competition:
    """How members compete; see `fitness.competition`.

    Attributes:
        alpha: strength of the competition, at least 0.
        capacity: "max" or "one".
        relative: subtract each datapoint's worst score before competing.
        weights: (D,) weight of each datapoint, all ones if None.
    """

    alpha: float = 1.0
    capacity: Capacity = "max"
    relative: bool = False
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        check(self.alpha, self.capacity)

    def price(self, total: np.ndarray, peak: np.ndarray) -> np.ndarray:
        """What one unit of score earns at each datapoint: (D,).

        Args:
            total: (D,) sum of the members' scores.
            peak: (D,) best of the members' scores.
        """
        return price(total, peak, alpha=self.alpha, capacity=self.capacity, weights=self.weights)

    @property
    def bounded(self) -> bool:
        """Whether a rejection can be foreseen: not for relative scores, nor for alpha above 1."""
        return not self.relative and self.alpha <= 1

    def bound(self, scores: np.ndarray, tiles: Sequence[np.ndarray]) -> RejectionBound:
        """The bound by which a rejection is foreseen.

        Args:
            scores: (N, D) scores of the members.
            tiles: the tiles in which a newcomer's scores will come.
        """
        return RejectionBound(
            scores, tiles, alpha=self.alpha, capacity=self.capacity, weights=self.weights
        )

    def mean(self, scores: np.ndarray) -> float:
        """The weighted mean of (D,) scores."""
        # In float64: means decide who is best, and a sum in float32 is off in its last digits.
        if self.weights is None:
            return float(scores.sum(dtype=np.float64)) / len(scores)
        return float(scores.astype(np.float64) @ self.weights / self.weights.sum())
