"""Means and how far they can be trusted: 95 % intervals over runs, and over datapoints."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95
"""The share of intervals that hold the true mean."""


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
        if weights is None:
            weights = np.ones(count)  # (n,)
        shares = weights / np.sum(weights)  # (n,)
        # With equal weights this is the usual standard error: the mean takes a degree of freedom.
        deviations = shares * (np.asarray(values) - mean)  # (n,)
        error = math.sqrt(count / (count - 1) * np.sum(deviations**2))
        return cls(mean, quantile(count - 1) * error)


def quantile(freedom: float) -> float:
    """How many standard errors half of an interval is.

    Args:
        freedom: the degrees of freedom of Student's t.
    """
    # It takes longer to import than all else that a command needs.
    from scipy import stats

    return float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom))


def interval(scores: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """The 95 % interval of a weighted mean over datapoints.

    It is Wilson's, for the number of right or wrong answers that would be as uncertain. For such
    answers, equally weighted, it is Wilson's own. So its width is never zero, not even where all
    answers are right.

    Args:
        scores: (n,) from 0 to 1.
        weights: (n,) above 0.

    Returns:
        Its lower and its upper end, from 0 to 1.
    """
    from scipy import stats

    shares = weights / weights.sum()  # (n,)
    # Rounding may carry a sum past its terms. Scores that are all alike would then seem to vary by
    # a last bit, and so to be certain.
    mean = float(np.clip(shares @ scores, scores.min(), scores.max()))

    # So many datapoints of equal weight would be as uncertain: Kish's effective sample size.
    count = 1 / float(shares @ shares)

    # The variance is taken from the scores themselves, but no scores of this mean vary more than
    # right and wrong answers do.
    most = mean * (1 - mean)
    variance = count * float(shares**2 @ (scores - mean) ** 2)
    if variance < most and count > 1:
        variance = min(most, variance * count / (count - 1))
    n = count
    if variance > 0:
        n = count * most / variance

    z = float(stats.norm.ppf((1 + CONFIDENCE) / 2))
    middle = mean + z * z / (2 * n)
    half = z * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)
