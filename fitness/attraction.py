"""Attraction: a parent looks for the mate that is good where it is not."""

from __future__ import annotations

import numpy as np

from fitness.competition import Capacity, market, rows, worth


def attraction(
    scores: np.ndarray,
    first: int,
    *,
    alpha: float = 1.0,
    capacity: Capacity = "max",
    weights: np.ndarray | None = None,
    relative: bool = False,
) -> np.ndarray:
    """How much each member attracts the first parent (M2N2, equation 4).

    attraction[b] = sum_j weight[j] * c[j] / z[j]**alpha * max(s[b, j] - s[first, j], 0)

    The first member solves the first of four datapoints. The second solves that and one more. The
    third solves two, neither of which the first can do:

        >>> import numpy as np
        >>> from fitness.attraction import attraction
        >>> scores = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 1]])
        >>> attraction(scores, first=0)
        array([0., 1., 2.])

    What both can do does not attract, and neither does what many can do: it has a low price.

        >>> attraction(np.array([[1, 0, 0], [0, 1, 0], [0, 1, 1]]), first=0)
        array([0. , 0.5, 1.5])

    Args:
        scores: (N, D) scores in [0, 1].
        first: row of the first parent.
        alpha: strength of the competition, at least 0.
        capacity: "max" (c[j] is the datapoint's best score) or "one".
        weights: (D,) weight of each datapoint, all ones if None.
        relative: subtract each datapoint's worst score first.

    Returns:
        (N,) float64; 0 for the first parent itself.

    Raises:
        ValueError: as `fitness.competition.competitive_fitness`.
        IndexError: if there is no row `first`.
    """
    scores = rows(scores, relative)
    prices = market(scores, alpha=alpha, capacity=capacity, weights=weights)
    return worth(ahead(scores, first), prices)


def ahead(scores: np.ndarray, first: int) -> np.ndarray:
    """By how much each member is better than row `first` at each datapoint, 0 where it is not.

    Args:
        scores: (N, D) scores as they compete.
        first: row of the first parent.

    Returns:
        (N, D).
    """
    difference = scores - scores[first]  # (N, D)
    # In place: another (N, D) array would only be thrown away, and this runs for every birth.
    return np.maximum(difference, 0.0, out=difference)
