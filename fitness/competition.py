"""Competition: members share what each datapoint can give, so that unique skills pay.

Pure functions on an (N, D) array of scores, N members by D datapoints, each score in [0, 1]. Everything is taken in float64
by the one routine `price`, so that admission, parents and the bound never disagree about who is fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Capacity = Literal["max", "one"]

MARGIN = 1e-9
"""Share of the total weight by which a bound must hold, which keeps rounding out of the decision."""


def matrix(scores: np.ndarray) -> np.ndarray:
    """The scores as float64.

    Raises:
        ValueError: if `scores` is not an (N, D) array.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores: expected shape (members, datapoints), got {scores.shape}")
    return scores


def rows(scores: np.ndarray, relative: bool) -> np.ndarray:
    """Scores as they compete: as they are, or (`relative`) with each datapoint's worst score subtracted."""
    scores = matrix(scores)
    return scores - scores.min(axis=0) if relative and len(scores) else scores


def price(
    scores: np.ndarray, *, alpha: float = 1.0, capacity: Capacity = "max", weights: np.ndarray | None = None
) -> np.ndarray:
    """What one unit of score earns at each datapoint: weight[j] * c[j] / z[j]**alpha, with z[j] = sum_k s[k, j].

    Args:
        scores: (N, D) scores, already relative if they are to be.
        alpha: strength of the competition, at least 0; at 0 there is none.
        capacity: "max" for c[j] = max_i s[i, j], "one" for c[j] = 1.
        weights: (D,) weight of each datapoint, all ones if None.

    Returns:
        (D,) float64. A datapoint with z[j] = 0 counts as z[j] = 1.

    Raises:
        ValueError: if `scores` is not a matrix, `alpha` is negative, `capacity` is unknown or `weights` is not (D,).
    """
    scores = matrix(scores)
    if not alpha >= 0:
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha}")
    if capacity not in ("max", "one"):
        raise ValueError(f"capacity: expected 'max' or 'one', got {capacity!r}")
    if weights is not None and np.shape(weights) != scores.shape[1:]:
        raise ValueError(f"weights: expected shape {scores.shape[1:]}, one for each datapoint, got {np.shape(weights)}")
    total = scores.sum(axis=0)
    total[total == 0] = 1.0
    earned = _power(total, -alpha)
    if capacity == "max" and len(scores):
        earned *= scores.max(axis=0)
    return earned if weights is None else earned * weights


def competitive_fitness(
    scores: np.ndarray,
    *,
    alpha: float = 1.0,
    capacity: Capacity = "max",
    weights: np.ndarray | None = None,
    relative: bool = False,
) -> np.ndarray:
    """Fitness of each member under competition (M2N2, equations 3 and 5).

    fitness[i] = sum_j weight[j] * c[j] * s[i, j] / z[j]**alpha

    Args:
        scores: (N, D) scores in [0, 1].
        alpha: strength of the competition, at least 0.
        capacity: "max" (c[j] is the datapoint's best score) or "one".
        weights: (D,) weight of each datapoint, all ones if None.
        relative: subtract each datapoint's worst score first.

    Returns:
        (N,) float64. Members with equal rows have equal fitness, to the bit.

    Raises:
        ValueError: as `price`.
    """
    scores = rows(scores, relative)
    return worth(scores, price(scores, alpha=alpha, capacity=capacity, weights=weights))


def worth(scores: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """(N, D) amounts at (D,) prices, summed: (N,). Each row is summed alike (a BLAS product would not promise that)."""
    return np.einsum("nd,d->n", scores, prices)


class RejectionBound:
    """Is a newcomer, scored on some tiles of the datapoints, already certain to be the least fit of N + 1?

    With u the newcomer's scores, 1 where not yet known, and m[j] = max_i s[i, j], it is certain when for every member i

        sum_j weight[j] * max(m[j], u[j]) * (u[j] - s[i, j]) / (z[j] + u[j])**alpha  <  -MARGIN * sum_j weight[j]

    Each term grows with u[j] for 0 <= alpha <= 1 and scores in [0, 1], so 1 is the worst case; capacity "one" drops the max.
    """

    def __init__(
        self,
        scores: np.ndarray,
        tiles: Sequence[np.ndarray],
        *,
        alpha: float = 1.0,
        capacity: Capacity = "max",
        weights: np.ndarray | None = None,
    ) -> None:
        """Prepares the bound for one state of the archive and one cut of the datapoints.

        Args:
            scores: (N, D) scores of the members, N >= 1.
            tiles: index arrays that together name every datapoint once, in the order in which they will be scored.
            alpha: strength of the competition, in [0, 1].
            capacity: "max" or "one".
            weights: (D,) weight of each datapoint, all ones if None.

        Raises:
            ValueError: if `alpha` is not in [0, 1] (the bound would not hold).
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha: the bound needs a number in [0, 1], got {alpha}")
        scores = matrix(scores)
        weights = np.ones(scores.shape[1]) if weights is None else weights
        self._alpha, self._capacity = alpha, capacity
        self._scores = [np.ascontiguousarray(scores[:, tile]) for tile in tiles]
        self._totals = [tile.sum(axis=0) for tile in self._scores]
        self._peaks = [tile.max(axis=0) for tile in self._scores]
        self._weights = [weights[tile] for tile in tiles]
        at_best = [self.lead(k, np.ones(len(tile))) for k, tile in enumerate(tiles)]
        self._rest = np.cumsum([np.zeros(len(scores)), *at_best[::-1]], axis=0)[::-1]
        self._least = -MARGIN * float(weights.sum())

    def lead(self, tile: int, scored: np.ndarray) -> np.ndarray:
        """By how much the newcomer leads each member on one tile: (N,), from its (B,) scores there."""
        totals = self._totals[tile] + scored
        totals[totals == 0] = 1.0  # nobody scores: the term is 0 whatever it is divided by
        prices = self._weights[tile] * _power(totals, -self._alpha)
        if self._capacity == "max":
            prices *= np.maximum(self._peaks[tile], scored)
        return prices @ scored - self._scores[tile] @ prices

    def certain(self, lead: np.ndarray, scored_tiles: int) -> bool:
        """Whether rejection is certain, from the (N,) leads summed over the first `scored_tiles` tiles."""
        return bool((lead + self._rest[scored_tiles] < self._least).all())


def _power(base: np.ndarray, exponent: float) -> np.ndarray:
    """base**exponent, with the two cases that most runs use taken directly."""
    if exponent == 0:
        return np.ones_like(base)
    return 1.0 / base if exponent == -1 else base**exponent
