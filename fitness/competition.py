"""Competition: members share what each datapoint can give, so that unique skills pay.

Pure functions on an (N, D) array of scores, N members by D datapoints, each score in [0, 1].
Everything is taken in float64 by the one routine `price`, so that admission, parents and the bound
never disagree about who is fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

Capacity = Literal["max", "one"]

MARGIN = 1e-9
"""Share of the total weight by which a bound must hold.

It keeps rounding out of the decision.
"""

NOBODY = 1e-200
"""Stands for z[j] = 0, where all scores are 0 and earn 0 at any price.

It has to be above 0, and its inverse finite.
"""


def rows(scores: np.ndarray, relative: bool = False) -> np.ndarray:
    """The scores as they compete.

    Args:
        scores: (N, D) scores.
        relative: whether each datapoint's worst score is subtracted.

    Returns:
        (N, D) float64.

    Raises:
        ValueError: if `scores` is not an (N, D) array.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if scores.ndim != 2:
        raise ValueError(f"scores: expected shape (members, datapoints), got {scores.shape}")
    # An archive without members has no worst score.
    if not relative or not len(scores):
        return scores
    return scores - scores.min(axis=0)


def price(
    total: np.ndarray,
    peak: np.ndarray,
    *,
    alpha: float = 1.0,
    capacity: Capacity = "max",
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """What one unit of score earns at each datapoint: weight[j] * c[j] / z[j]**alpha.

    Args:
        total: (D,) z[j] = sum_k s[k, j]. Where it is 0 there is nothing to share, and the price has
            no meaning.
        peak: (D,) max_i s[i, j].
        alpha: strength of the competition, at least 0; at 0 there is none.
        capacity: "max" for c[j] = peak[j], "one" for c[j] = 1.
        weights: (D,) weight of each datapoint, all ones if None.

    Returns:
        (D,) float64.
    """
    if alpha == 1:
        # The paper's setting, by a division instead of a power.
        earned = 1.0 / np.maximum(total, NOBODY)  # (D,)
    else:
        earned = np.where(total > 0, total, 1.0) ** -alpha  # (D,)
    if capacity == "max":
        earned *= peak
    if weights is None:
        return earned
    return earned * weights


def worth(scores: np.ndarray, prices: np.ndarray) -> np.ndarray:
    """What each member earns in all.

    Args:
        scores: (N, D) amounts.
        prices: (D,) what one unit of each earns.

    Returns:
        (N,) sums over datapoints.
    """
    # Equal rows have to have equal sums, to the bit. A BLAS product would not promise that.
    return np.einsum("nd,d->n", scores, prices)


def competitive_fitness(
    scores: np.ndarray,
    *,
    alpha: float = 1.0,
    capacity: Capacity = "max",
    weights: np.ndarray | None = None,
    relative: bool = False,
) -> np.ndarray:
    """Fitness of each member under competition (M2N2, equations 3 and 5).

    fitness[i] = sum_j weight[j] * c[j] * s[i, j] / z[j]**alpha,    z[j] = sum_k s[k, j]

    Each datapoint gives c[j] in all, and the members that solve it share that. Two members solve
    the first two of four datapoints, and the third member alone solves the last:

        >>> import numpy as np
        >>> from fitness.competition import competitive_fitness
        >>> scores = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]])
        >>> competitive_fitness(scores)
        array([1., 1., 1.])

    One unique skill is worth as much as two shared ones. Without competition it is not:

        >>> competitive_fitness(scores, alpha=0)
        array([2., 2., 1.])

    Args:
        scores: (N, D) scores in [0, 1].
        alpha: strength of the competition, at least 0.
        capacity: "max" (c[j] is the datapoint's best score) or "one".
        weights: (D,) weight of each datapoint, all ones if None.
        relative: subtract each datapoint's worst score first.

    Returns:
        (N,) float64. Members with equal rows have equal fitness, to the bit.

    Raises:
        ValueError: if `scores` is not (N, D), `alpha` is negative, `capacity` is unknown or
            `weights` is not (D,).
    """
    scores = rows(scores, relative)
    return worth(scores, market(scores, alpha=alpha, capacity=capacity, weights=weights))


def market(
    scores: np.ndarray, *, alpha: float, capacity: Capacity, weights: np.ndarray | None
) -> np.ndarray:
    """The `price` that (N, D) scores make, with its settings checked.

    Raises:
        ValueError: as `competitive_fitness`.
    """
    check(alpha, capacity)
    if weights is not None and np.shape(weights) != scores.shape[1:]:
        raise ValueError(
            f"weights: expected shape {scores.shape[1:]}, one for each datapoint, "
            f"got {np.shape(weights)}"
        )
    total = scores.sum(axis=0)  # (D,)
    # Scores are at least 0, so `initial` only gives a maximum to an archive without members.
    peak = scores.max(axis=0, initial=0.0)  # (D,)
    return price(total, peak, alpha=alpha, capacity=capacity, weights=weights)


def check(alpha: float, capacity: Capacity) -> None:
    """Checks the settings of a competition.

    Raises:
        ValueError: if `alpha` is negative or `capacity` is unknown.
    """
    if not alpha >= 0:
        raise ValueError(f"alpha: expected a number of at least 0, got {alpha}")
    if capacity not in ("max", "one"):
        raise ValueError(f"capacity: expected 'max' or 'one', got {capacity!r}")


class RejectionBound:
    """Whether a newcomer is certain to be the least fit of N + 1 before all of it is scored.

    Let u be the newcomer's scores, 1 where they are not yet known, and m[j] = max_i s[i, j]. The
    rejection is certain when for every member i

        sum_j weight[j] * max(m[j], u[j]) * (u[j] - s[i, j]) / (z[j] + u[j])**alpha
            <  -MARGIN * sum_j weight[j]

    Each term grows with u[j] for 0 <= alpha <= 1 and scores in [0, 1], so 1 is the worst case.
    Capacity "one" drops the max.
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
            tiles: index arrays that together name every datapoint once, in the order in which they
                will be scored.
            alpha: strength of the competition, in [0, 1].
            capacity: "max" or "one".
            weights: (D,) weight of each datapoint, all ones if None.

        Raises:
            ValueError: if `alpha` is not in [0, 1] (the bound would not hold).
        """
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha: the bound needs a number in [0, 1], got {alpha}")
        scores = rows(scores)
        self._alpha = alpha
        self._capacity = capacity
        # Cut by tile once, since a newcomer is compared tile by tile.
        self._scores = [scores.take(tile, axis=1) for tile in tiles]  # (N, B) each
        self._totals = [tile.sum(axis=0) for tile in self._scores]  # (B,) each
        self._peaks = [tile.max(axis=0) for tile in self._scores]  # (B,) each
        self._weights: list[np.ndarray | None] = [None] * len(tiles)
        self._shares = [float(len(tile)) for tile in tiles]
        if weights is not None:
            self._weights = [weights[tile] for tile in tiles]
            self._shares = [float(weights[tile].sum()) for tile in tiles]
        self._least = -MARGIN * sum(self._shares)
        # (tiles + 1, N) the greatest lead that a newcomer can have on the tiles from each on.
        rest = [np.zeros(len(scores))]
        for tile in reversed(range(len(tiles))):
            rest.append(rest[-1] + self.lead(tile, np.ones(len(tiles[tile]))))
        self._rest = np.array(rest[::-1])

    def lead(self, tile: int, scored: np.ndarray) -> np.ndarray:
        """By how much the newcomer leads each member on one tile.

        Args:
            tile: the tile's place in the order.
            scored: (B,) the newcomer's scores there.

        Returns:
            (N,) differences of fitness.
        """
        prices = price(
            self._totals[tile] + scored,
            np.maximum(self._peaks[tile], scored),
            alpha=self._alpha,
            capacity=self._capacity,
            weights=self._weights[tile],
        )
        return prices @ scored - self._scores[tile] @ prices

    def lost(self, tile: int, scored: np.ndarray) -> float:
        """By how much the newcomer's weighted mean score falls below 1 on one tile.

        Args:
            tile: the tile's place in the order.
            scored: (B,) the newcomer's scores there.
        """
        weights = self._weights[tile]
        earned = scored.sum() if weights is None else weights @ scored
        return float(self._shares[tile] - earned) / sum(self._shares)

    def certain(self, lead: np.ndarray, scored_tiles: int) -> bool:
        """Whether rejection is certain.

        Args:
            lead: (N,) leads summed over the tiles that are scored.
            scored_tiles: how many these are, from the first.
        """
        return bool((lead + self._rest[scored_tiles] < self._least).all())
