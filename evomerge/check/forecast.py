"""From the first births of a run to all of them: how much of the datapoints later children will be scored on, and how long that takes.

While members are few or differ much, children are scored to the end; later most are certain to be the least fit, and are stopped. The share
that is scored falls with the logarithm of births as a logistic function does, down to some third: with the slopes of `SLOPE` where a run
is too young to say. In 85 runs of digits, language models and image generators the time told from the first tenth of the births was off by 16 % on
average, from the first fifth by 8 % (benchmarks/forecast.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

FLOOR = 0.3
"""The share that is scored of children in the end."""

MIDDLE = (5.0, 3.0)
"""Doublings from as many births as there are members to where the share has fallen half the way; and how far runs differ in that."""

SLOPE = (-0.7, 0.5)
"""Of the logistic function by doublings of births; and how far runs differ in that."""

NOISE = 0.3
"""How far one child's share is from the mean."""

FIXED = (0.2, 0.25)
"""The part of a fully scored birth's time that does not fall with the share; and how far runs differ in that."""

POINTS = 2001
"""Births at which the share is reckoned."""

BESTS = 0.4
"""With which power of births the number of those that were best grows."""


def mean_share(scored: np.ndarray, births: int, members: int) -> float:
    """The mean share of the datapoints that the births of a run are scored on.

    Args:
        scored: (n,) those of its first births.
        births: all that it will have, n or more.
        members: of its archive.
    """

    def curve(parameters: np.ndarray, at: np.ndarray) -> np.ndarray:
        middle, slope = parameters
        exponent = np.clip(-slope * (np.log2(at / members) - middle), -50, 50)
        return np.where(at <= members, 1.0, FLOOR + (1 - FLOOR) / (1 + np.exp(exponent)))

    born = len(scored)
    at = np.arange(1, born + 1)

    def cost(parameters: np.ndarray) -> float:
        misfit = float(((scored - curve(parameters, at)) ** 2).sum()) / (2 * NOISE**2)
        return misfit + sum(
            ((p - mean) / off) ** 2 / 2
            for p, (mean, off) in zip(parameters, (MIDDLE, SLOPE), strict=True)
        )

    starts = [(MIDDLE[0] + doublings, SLOPE[0]) for doublings in (-3, 0, 4)]
    best = min((_least(cost, start) for start in starts), key=lambda found: float(found.fun))
    edges = np.geomspace(born, births, POINTS)  # runs may be longer than memory
    later = curve(best.x, (edges[1:] + edges[:-1]) / 2) @ np.diff(edges)
    return float((scored.sum() + later) / births)


def cost_of_birth(scored: np.ndarray, seconds: np.ndarray) -> tuple[float, float]:
    """What a birth costs that is scored in full, and the part of that which does not fall with the share.

    Args:
        scored: (n,) shares of the first births.
        seconds: (n,) what they took.

    Returns:
        Seconds, and a part in [0, 0.9].
    """

    def misfit(parameters: np.ndarray) -> float:
        part = np.clip(parameters[1], 0, 0.9)
        off = (
            np.abs(np.log(seconds) - parameters[0] - np.log(part + (1 - part) * scored)).sum()
            / NOISE
        )
        return float(off + ((parameters[1] - FIXED[0]) / FIXED[1]) ** 2 / 2)

    seconds = np.maximum(seconds, 1e-9)
    part = float(
        np.clip(_least(misfit, (float(np.log(np.median(seconds))), FIXED[0])).x[1], 0, 0.9)
    )
    later = slice(len(seconds) // 4, None)  # the first ones wait for what is made on first use
    return float(seconds[later].mean() / (part + (1 - part) * scored[later].mean())), part


def loop_seconds(
    entries: Sequence[Mapping[str, Any]],
    elapsed: float,
    births: int,
    *,
    members: int,
    stops: bool,
    test: float,
) -> tuple[float, float]:
    """How long the loop of a run takes, from founders scored to the last birth decided.

    Args:
        entries: the log's lines of its first births.
        elapsed: seconds that these took, side by side where there are several workers.
        births: all that it will have.
        members: of its archive.
        stops: whether children that are certain to be the least fit are stopped.
        test: datapoints that are scored of each new best besides, as a part of the training split.

    Returns:
        The seconds; and how many it would be if no child were stopped.
    """
    born = len(entries)
    scored = np.array([entry["scored"] for entry in entries])
    seconds = np.array([entry["seconds"] for entry in entries])
    full, part = cost_of_birth(scored, seconds)
    expected = mean_share(scored, births, members) if stops else 1.0
    raising, most = (births * full * (part + (1 - part) * share) for share in (expected, 1.0))
    rest = elapsed - float(seconds.sum())
    if rest < 0:  # births were raised side by side
        beside = elapsed / float(seconds.sum())
        return raising * beside, most * beside
    bests = sum(bool(entry.get("best")) for entry in entries)
    of_a_best = min(rest / bests, full * test) if bests else 0.0
    rest = (rest - bests * of_a_best) * births / born + bests * (births / born) ** BESTS * of_a_best
    return raising + rest, most + rest


def _least(cost: Callable[[np.ndarray], float], start: tuple[float, float]) -> Any:
    """Where a function is least, as scipy tells it."""
    from scipy.optimize import minimize  # which takes long to import

    return minimize(cost, start, method="Nelder-Mead")
