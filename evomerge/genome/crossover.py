"""Split-point crossover: which stretch of the axis a child takes from its parents in which mixture.

mergekit is the authority on what a merge means. Its SLERP is a * A + b * B with two scalars for each tensor; they are taken
here directly (`slerp_coefficients`), because a call of mergekit's costs as much as scoring a small network, and the tests
hold the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

import numpy as np

from evomerge.genome.axis import Axis

Angle = Literal["tensor", "part", "whole", "none"]

NEARLY_PARALLEL = 0.9995
"""mergekit merges two tensors linearly above this |cosine|."""

NO_ANGLE = 1e-6
"""M2N2's reference code merges linearly below this sine."""


@dataclass(frozen=True)
class Crossing:
    """What one birth draws for its crossover: for each chromosome a mixing ratio and its split points."""

    ratios: tuple[float, ...]
    splits: tuple[tuple[int, ...], ...]
    angle: Angle


@dataclass(frozen=True)
class Region:
    """A stretch of the axis over which one angle between the parents is taken.

    Attributes:
        start: first position.
        stop: position behind the last.
        parts: (start, stop, w) of the sub-stretches, each merged with its own share w of the second parent.
    """

    start: int
    stop: int
    parts: tuple[tuple[int, int, float], ...]


@dataclass(frozen=True)
class Crossover:
    """SLERP with split points (M2N2, equation 2): before a split the child is merged with w, behind it with 1 - w, in turns.

    Attributes:
        splits: split points in each chromosome; 0 merges it with one ratio.
        ratio: range from which w, the share of the second parent, is drawn uniformly; beyond [0, 1] it extrapolates.
        angle: what has one SLERP angle: each "tensor" (mergekit), each "part" between splits (the paper's equation), or the
            "whole" chromosome (the paper's code); "none" mixes linearly.
    """

    splits: int = 1
    ratio: tuple[float, float] = (0.0, 1.0)
    angle: Angle = "part"

    def __post_init__(self) -> None:
        if self.angle not in get_args(Angle):
            raise ValueError(f"angle: expected one of {get_args(Angle)}, got {self.angle!r}")
        if self.splits < 0:
            raise ValueError(f"splits: expected a number of at least 0, got {self.splits}")
        low, high = self.ratio
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(
                f"ratio: expected two finite numbers, the lower one first, got [{low}, {high}]"
            )

    def fit(self, axis: Axis) -> None:
        """Checks that the axis allows this crossover.

        Raises:
            ValueError: if each tensor is to have an angle, but the axis does not keep tensors whole.
        """
        if self.angle == "tensor" and not axis.whole_tensors:
            raise ValueError(
                "angle: 'tensor' needs a flat axis; on the unit axis choose 'part' or 'whole'"
            )

    def draw(self, axis: Axis, rng: np.random.Generator) -> Crossing:
        """Draws ratio and splits for each chromosome, in order."""
        (low, high), ratios, splits = self.ratio, [], []
        for cuts in axis.cuts:
            ratios.append(low + (high - low) * rng.random())
            splits.append(
                tuple(sorted(cuts[int(len(cuts) * rng.random())] for _ in range(self.splits)))
            )
        return Crossing(tuple(ratios), tuple(splits), self.angle)


def regions(crossing: Crossing, axis: Axis) -> Iterator[Region]:
    """The regions of one angle each that a crossing makes, in the order of the axis; together they cover it."""
    for bounds, ratio, splits in zip(
        axis.unit_bounds, crossing.ratios, crossing.splits, strict=True
    ):
        edges = [int(bounds[0]), *splits, int(bounds[-1])]
        parts = [
            (start, stop, ratio if turn % 2 == 0 else 1.0 - ratio)
            for turn, (start, stop) in enumerate(pairwise(edges))
            if start < stop
        ]
        if crossing.angle in ("whole", "none"):
            yield Region(edges[0], edges[-1], tuple(parts))
        elif crossing.angle == "part":
            yield from (Region(start, stop, ((start, stop, w),)) for start, stop, w in parts)
        else:
            for start, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
                inside = (
                    (max(start, a), min(stop, b), w) for a, b, w in parts if a < stop and b > start
                )
                yield Region(start, stop, tuple(inside))


def slerp_coefficients(
    w: float, aa: float, ab: float, bb: float, angle: Angle
) -> tuple[float, float]:
    """The two scalars of SLERP: merged = first * A + second * B.

    Args:
        w: share of B; 0 gives A, 1 gives B, beyond that it extrapolates.
        aa: inner product <A, A> over the region of the angle.
        ab: <A, B>.
        bb: <B, B>.
        angle: its scope, which decides when the merge is linear: "tensor" as mergekit does it, above a |cosine| of 0.9995;
            "part" and "whole" as the reference code of M2N2, below a sine of 1e-6; "none" always.

    Returns:
        (first, second).
    """
    if angle == "none":
        return 1.0 - w, w
    norms = (math.sqrt(aa) if aa > 1e-16 else 1.0) * (math.sqrt(bb) if bb > 1e-16 else 1.0)
    cosine = max(-1.0, min(1.0, ab / norms))
    theta = math.acos(cosine)
    sine = math.sin(theta)
    if abs(cosine) > NEARLY_PARALLEL if angle == "tensor" else sine < NO_ANGLE:
        return 1.0 - w, w
    return math.sin((1.0 - w) * theta) / sine, math.sin(w * theta) / sine
