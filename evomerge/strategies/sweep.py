"""A sweep: the founders mixed on an even grid of ratios.

It is what every search has to beat. It is a strategy, so that it is run and kept as one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evomerge.archives.archive import Archive, View
from evomerge.archives.competition import Competition
from evomerge.contracts import Fitness, Genome, Population
from evomerge.genome.crossover import Crossing, Crossover
from evomerge.genome.slerp import Angle
from evomerge.strategies.fitting import check_crossover, linear_only
from evomerge.strategies.strategy import Birth


@dataclass(frozen=True)
class Sweep:
    """Merges of the founders with one ratio for all parameters, on an even grid.

    Where there are more births than points, it is gone through again.

    Attributes:
        points: how many ratios from 0 to 1 two founders are mixed at. More founders are mixed on
            the finest even grid of no more points, and the rest are drawn, evenly from all
            mixtures.
        angle: as `Crossover.angle`; where a population's genomes may be crossed linearly only, they
            are.
    """

    points: int = 41
    angle: Angle = "part"

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points: expected a number of at least 2, got {self.points}")
        # The angle is checked where it is explained.
        Crossover(angle=self.angle)

    def fit(self, population: Population, fitness: Fitness) -> None:  # noqa: ARG002
        """As `Strategy.fit`.

        Raises:
            ValueError: as `check_crossover`.
        """
        check_crossover(Crossover(splits=0, angle=self._angle(population)), population)

    def archive(self, weights: np.ndarray | None, fitness: Fitness) -> Archive:  # noqa: ARG002
        """As `Strategy.archive`: those with the best mean scores."""
        return Archive(self.points, Competition(alpha=0.0, capacity="one", weights=weights))

    def begin(
        self,
        population: Population,
        fitness: Fitness,  # noqa: ARG002
        founders: Callable[[], Sequence[Genome]],
        seed: int,  # noqa: ARG002
    ) -> Grid:
        """As `Strategy.begin`."""
        genomes = founders()
        return Grid(genomes, grid(len(genomes), self.points), self._angle(population))

    def _angle(self, population: Population) -> Angle:
        """The angle with which a population's genomes can be crossed."""
        if linear_only(population):
            return "none"
        return self.angle


@dataclass(frozen=True)
class Grid:
    """The births of a sweep.

    Attributes:
        founders: what is mixed.
        mixtures: for each birth the share of each founder; they sum to one.
        angle: as `Crossover.angle`.
    """

    founders: Sequence[Genome]
    mixtures: Sequence[tuple[float, ...]]
    angle: Angle

    def plan(
        self,
        number: int,
        view: View,  # noqa: ARG002
        population: Population,
        seed: int,  # noqa: ARG002
    ) -> Birth:
        """As `Planner.plan`."""
        shares = self.mixtures[(number - 1) % len(self.mixtures)]
        chromosomes = len(population.axis.chromosomes)
        ids = tuple(range(1 - len(shares), 1))
        if len(shares) == 2:
            return Birth(number, ids, tuple(self.founders), self._crossing(shares[1], chromosomes))
        # A crossing has two parents, so each further founder is mixed into those before. Its share
        # of what is mixed so far is such that the shares of the others keep their proportions.
        child = self.founders[0]
        total = shares[0]
        for founder, share in zip(self.founders[1:], shares[1:], strict=True):
            total += share
            if share:
                crossing = self._crossing(share / total, chromosomes)
                child = child.cross(founder, crossing, population)
        return Birth(number, ids, made=child)

    def _crossing(self, ratio: float, chromosomes: int) -> Crossing:
        """One ratio for all chromosomes, and no split point."""
        return Crossing((ratio,) * chromosomes, ((),) * chromosomes, self.angle)


def grid(founders: int, points: int) -> list[tuple[float, ...]]:
    """The mixtures of a sweep: an even grid, then drawn ones.

    Args:
        founders: how many are mixed.
        points: how many mixtures there are, or one for each founder if those are more.

    Returns:
        The share of each founder in each mixture.
    """
    steps = _finest(founders, points)
    mixtures: list[tuple[float, ...]] = []
    for pieces in _shared_out(steps, founders):
        mixtures.append(tuple(piece / steps for piece in pieces))
    # A sweep of the same points is the same sweep in every run, so the seed is fixed.
    missing = max(points - len(mixtures), 0)
    drawn = np.random.default_rng(0).dirichlet(np.ones(founders), size=missing)  # (n, founders)
    for shares in drawn.tolist():
        mixtures.append(tuple(shares))
    return mixtures


def _finest(founders: int, points: int) -> int:
    """Into how many steps a share is cut on the finest even grid of no more than so many points."""
    # n pieces are shared out among k founders in (n + k - 1 over k - 1) ways.
    steps = 1
    while math.comb(steps + founders, founders - 1) <= points:
        steps += 1
    return steps


def _shared_out(pieces: int, founders: int) -> Iterator[tuple[int, ...]]:
    """All ways to share out so many pieces, most to the first founder first."""
    if founders == 1:
        yield (pieces,)
        return
    for first in range(pieces, -1, -1):
        for rest in _shared_out(pieces - first, founders - 1):
            yield (first, *rest)
