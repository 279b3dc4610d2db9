"""Means and how far they can be trusted: 95 % intervals over runs, and over datapoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Mean:
    """A mean over runs, or over datapoints.

    Attributes:
        value: the mean; NaN of none.
        half: half of its 95 % interval by Student's t; NaN of fewer than two.
    """

    value: float
    half: float

    @classmethod
    def over(cls, values: Sequence[float] | np.ndarray, weights: np.ndarray | None = None) -> Mean:
        """The mean over runs, or datapoints, that are independent of each other.

        Args:
            values: (n,) one of each.
            weights: (n,) how much each counts; all the same if None.
        """
        count = len(values)
        if not count:
            return cls(math.nan, math.nan)
        mean = float(np.average(values, weights=weights))
        if count < 2:
            return cls(mean, math.nan)
        share = np.full(count, 1 / count) if weights is None else weights / np.sum(weights)
        error = math.sqrt(count / (count - 1) * np.sum((share * (np.asarray(values) - mean)) ** 2))
        return cls(mean, quantile(count - 1) * error)


def quantile(freedom: float) -> float:
    """How many standard errors half of an interval is, by Student's t with so many degrees of freedom."""
    from scipy import stats  # which takes longer to import than all else that a command needs

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def interval(scores: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a weighted mean over datapoints.

    It is Wilson's, for the number of right or wrong answers that would be as uncertain: for such answers, equally weighted, Wilson's own.
    So it is none of width zero where all answers are right.

    Args:
        scores: (n,) from 0 to 1.
        weights: (n,) above 0.
    """
    from scipy import stats

    shares = weights / weights.sum()
    mean = float(np.clip(shares @ scores, 0, 1))
    most, count = mean * (1 - mean), 1 / float(shares @ shares)
    variance = count * float(shares**2 @ (scores - mean) ** 2)
    if (
        variance < most and count > 1
    ):  # it is taken from the scores themselves, but it is no larger than that of right and wrong
        variance = min(most, variance * count / (count - 1))
    n = count * most / variance if variance > 0 else count
    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    middle, half = (
        mean + z * z / (2 * n),
        z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n)),
    )
    low, high = ((middle + sign * half) / (1 + z * z / n) for sign in (-1, 1))
    return max(0.0, low), min(1.0, high)
