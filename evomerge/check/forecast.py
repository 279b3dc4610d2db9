"""How long a whole run takes, from the births of its rehearsal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Entries = Sequence[Mapping[str, Any]]
"""Lines of births.jsonl, which have the seconds of a birth and the share that was scored of it."""


def loop_seconds(entries: Entries, elapsed: float, births: int) -> tuple[float, float]:
    """How long the births of a run take, from founders scored to the last birth decided.

    The expected time is births times the mean of the rehearsal's second half. The first half is
    left out: what is made on first use falls into it, and few children are stopped early in it.
    Children are stopped earlier and earlier in a long run, which mostly ends before this time.

    The longest time is births times the mean of those births that were scored on every datapoint:
    what the run takes if no child can be stopped early. It is no bound on what one birth may take.

    Args:
        entries: the log's lines of the rehearsal's births, one or more.
        elapsed: seconds from the first to the last of them.
        births: how many births the run will have.

    Returns:
        The expected and the longest time, in seconds.
    """
    seconds = np.array([entry["seconds"] for entry in entries])  # (n,)
    shares = np.array([entry["scored"] for entry in entries])  # (n,)
    half = len(entries) // 2
    # At a half of one birth there is that birth itself.
    expected = float(seconds[half:].mean())
    longest = _whole_birth(seconds, shares, half)
    # Workers raise births side by side, so a birth costs the run less than its own seconds. With
    # one worker it costs more: children are planned, and new bests are scored on other splits.
    pace = elapsed / max(float(seconds.sum()), 1e-9)
    return births * expected * pace, births * longest * pace


def _whole_birth(seconds: np.ndarray, shares: np.ndarray, half: int) -> float:
    """The seconds of a birth that is scored on every datapoint."""
    whole = shares >= 1
    # In the second half, such births are as fast as the run will be.
    if whole[half:].any():
        return float(seconds[half:][whole[half:]].mean())
    if whole.any():
        return float(seconds[whole].mean())
    # All were stopped or failed, so the slowest one is the nearest to a whole one.
    return float(seconds.max())
