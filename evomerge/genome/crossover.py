"""Split-point crossover: which stretch of the axis a child takes from its parents in which mixture.

A `Crossover` is the setting. It draws a `Crossing` for each birth, and `regions` says what that
crossing does to which stretch of the axis.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, get_args

import numpy as np

from evomerge.genome.axis import Axis
from evomerge.genome.slerp import Angle


@dataclass(frozen=True)
class Crossing:
    """What one birth draws for its crossover.

    Attributes:
        ratios: for each chromosome its mixing ratio w.
        splits: for each chromosome its split points, rising positions on the axis.
        angle: as `Crossover.angle`.
    """

    ratios: tuple[float, ...]
    splits: tuple[tuple[int, ...], ...]
    angle: Angle


class Portion(NamedTuple):
    """A stretch of the axis, [start, stop), that is merged with one share of the second parent."""

    start: int
    stop: int
    share: float


@dataclass(frozen=True)
class Region:
    """A stretch of the axis over which one angle between the parents is taken.

    Attributes:
        start: first position.
        stop: position behind the last.
        parts: its portions, each merged with its own share of the second parent.
    """

    start: int
    stop: int
    parts: tuple[Portion, ...]


@dataclass(frozen=True)
class Crossover:
    """SLERP with split points (M2N2, equation 2): w before a split, 1 - w behind it, in turns.

    child = concat(f_w(A[<p], B[<p]), f_{1-w}(A[>=p], B[>=p]))

    A and B are the parents, f is SLERP. The mixing ratio w and the split point p are drawn for
    each birth:

        >>> import numpy as np
        >>> from evomerge.genome import Axis, Crossover
        >>> from evomerge.genome.crossover import regions
        >>> axis = Axis.flat({"w1": (3, 4), "w2": (2, 3)})
        >>> crossing = Crossover().draw(axis, np.random.default_rng(0))
        >>> print(round(crossing.ratios[0], 2), crossing.splits)
        0.64 ((4,),)
        >>> for region in regions(crossing, axis):
        ...     for start, stop, share in region.parts:
        ...         print(start, stop, round(share, 2))
        0 4 0.64
        4 18 0.36

    Before position 4 the child has 64 % of the second parent, and 36 % from there on.

    Attributes:
        splits: split points in each chromosome; 0 merges it with one ratio.
        ratio: range from which w, the share of the second parent, is drawn uniformly; beyond
            [0, 1] it extrapolates.
        angle: what has one SLERP angle: each "tensor" (mergekit), each "part" between splits (the
            paper's equation), or the "whole" chromosome (the paper's code); "none" mixes linearly.
            None: each part; linearly, where a population's genomes may be crossed so only.
    """

    splits: int = 1
    ratio: tuple[float, float] = (0.0, 1.0)
    angle: Angle | None = None

    def __post_init__(self) -> None:
        if self.angle is not None and self.angle not in get_args(Angle):
            raise ValueError(f"angle: expected one of {get_args(Angle)}, got {self.angle!r}")
        if self.splits < 0:
            raise ValueError(f"splits: expected a number of at least 0, got {self.splits}")
        low, high = self.ratio
        # A NaN compares as false, so it has to be asked for by itself.
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise ValueError(
                f"ratio: expected two finite numbers, the lower one first, got [{low}, {high}]"
            )

    def fit(self, axis: Axis) -> None:
        """Checks that the axis allows this crossover.

        Raises:
            ValueError: if each tensor is to have an angle, but the axis does not keep tensors
                whole.
        """
        # A unit has entries of several tensors, so no angle of one tensor lies over it.
        if self.angle == "tensor" and not axis.whole_tensors:
            raise ValueError(
                "angle: 'tensor' needs a flat axis; on the unit axis choose 'part' or 'whole'"
            )

    def draw(self, axis: Axis, rng: np.random.Generator, *, linear: bool = False) -> Crossing:
        """Draws ratio and splits for each chromosome, in order.

        Args:
            axis: what the splits cut.
            rng: the random state.
            linear: whether genomes may be crossed linearly only.
        """
        low, high = self.ratio
        ratios = []
        splits = []
        # The order of the draws is fixed: a birth's random state decides its child to the bit.
        for cuts in axis.cuts:
            ratios.append(low + (high - low) * rng.random())
            points = [cuts[int(len(cuts) * rng.random())] for _ in range(self.splits)]
            splits.append(tuple(sorted(points)))
        angle = self.angle
        if angle is None:
            angle = "none" if linear else "part"
        return Crossing(tuple(ratios), tuple(splits), angle)


def regions(crossing: Crossing, axis: Axis) -> Iterator[Region]:
    """The regions of one angle each that a crossing makes.

    They come in the order of the axis, and together they cover it.
    """
    for bounds, ratio, splits in zip(
        axis.unit_bounds, crossing.ratios, crossing.splits, strict=True
    ):
        edges = [int(bounds[0]), *splits, int(bounds[-1])]
        portions = _in_turns(edges, ratio)
        # The scope of the angle decides how portions are gathered, see `Crossover.angle`.
        if crossing.angle in ("whole", "none"):
            yield Region(edges[0], edges[-1], tuple(portions))
        elif crossing.angle == "part":
            for portion in portions:
                yield Region(portion.start, portion.stop, (portion,))
        else:
            for start, stop in pairwise(bounds.tolist()):
                yield Region(start, stop, _within(portions, start, stop))


def _in_turns(edges: Sequence[int], ratio: float) -> list[Portion]:
    """The portions between edges, merged with `ratio` and with 1 - `ratio` in turns."""
    portions = []
    share = ratio
    other_share = 1.0 - ratio
    for start, stop in pairwise(edges):
        # Two splits may fall on one place. There is nothing between them, but the share turns.
        if start < stop:
            portions.append(Portion(start, stop, share))
        share, other_share = other_share, share
    return portions


def _within(portions: Sequence[Portion], start: int, stop: int) -> tuple[Portion, ...]:
    """What portions have of [start, stop)."""
    # A portion may reach over many tensors, and a tensor may be cut by many splits.
    inside = []
    for portion in portions:
        if portion.start < stop and portion.stop > start:
            first = max(start, portion.start)
            last = min(stop, portion.stop)
            inside.append(Portion(first, last, portion.share))
    return tuple(inside)
