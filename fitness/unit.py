"""Scores from 0 to 1, where rounding may have carried a sum of parts past an end."""

from __future__ import annotations

from typing import Any

ROUNDING = 1e-6
"""How far past an end a number may be, in parts of the whole: more than float32 rounds by."""


def unit_score(value: Any, most: float = 1.0) -> float | None:
    """A score from 0 to 1; None where the value is no number from 0 to `most`.

    Ten tenths are not always 1 in floating point. A number that is past an end by no more than
    rounding is that end.

        >>> unit_score(0.5), unit_score(1.0000000000000002), unit_score(1.1)
        (0.5, 1.0, None)

    Args:
        value: what a scorer gave, which may be anything.
        most: the number that scores 1, above 0.
    """
    try:
        score = float(value) / most
    # the last is what torch raises for a tensor of several numbers
    except (TypeError, ValueError, OverflowError, RuntimeError):
        return None
    # written so that NaN, which is neither above nor below, is none either
    if not -ROUNDING <= score <= 1 + ROUNDING:
        return None
    return min(max(score, 0.0), 1.0)
