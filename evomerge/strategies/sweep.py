"""A sweep: the founders mixed on an even grid of ratios. What every search has to beat, as a strategy, so that it is run and kept as one."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from evomerge.archives.archive import Archive, View
from evomerge.archives.competition import Competition
from evomerge.contracts import Fitness, Genome, LinearOnly, Population
from evomerge.genome.crossover import Crossing, Crossover
from evomerge.genome.slerp import Angle
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.strategy import Birth


@dataclass(frozen=True)
class Sweep:
    """Merges of the founders with one ratio for all parameters, on an even grid; where there are more births, it is gone through again.

    Attributes:
        points: how many ratios from 0 to 1 two founders are mixed at. More founders are mixed on the finest even grid of no more points, and
            the rest are drawn, evenly from all mixtures.
        angle: as `Crossover.angle`; where a population's genomes may be crossed linearly only, they are.
    """

    points: int = 41
    angle: Angle = "part"

    def __post_init__(self) -> None:
        if self.points < 2:
            raise ValueError(f"points: expected a number of at least 2, got {self.points}")
        Crossover(angle=self.angle)

    def fit(self, population: Population, fitness: Fitness) -> None:
        """As `Strategy.fit`.

        Raises:
            ValueError: as `NaturalNiches.fit`.
        """
        NaturalNiches(crossover=Crossover(splits=0, angle=self._angle(population))).fit(
            population, fitness
        )

    def archive(self, weights: np.ndarray | None, fitness: Fitness) -> Archive:  # noqa: ARG002
        """As `Strategy.archive`: those with the best mean scores."""
        return Archive(self.points, Competition(alpha=0.0, capacity="one", weights=weights))

    def begin(
        self,
        population: Population,
        fitness: Fitness,
        founders: Callable[[], Sequence[Genome]],
        seed: int,
    ) -> Grid:
        """As `Strategy.begin`."""
        own = founders()
        return Grid(own, grid(len(own), self.points), self._angle(population))

    def _angle(self, population: Population) -> Angle:
        linear = isinstance(population, LinearOnly) and population.linear
        return "none" if linear else self.angle


@dataclass(frozen=True)
class Grid:
    """The births of a sweep."""

    founders: Sequence[Genome]
    mixtures: Sequence[tuple[float, ...]]
    angle: Angle

    def plan(self, number: int, view: View, population: Population, seed: int) -> Birth:  # noqa: ARG002
        """As `Planner.plan`: with more than two founders one after another is mixed into those before."""
        shares = self.mixtures[(number - 1) % len(self.mixtures)]
        chromosomes = len(population.axis.chromosomes)
        ids = tuple(range(1 - len(shares), 1))
        if len(shares) == 2:
            return Birth(number, ids, tuple(self.founders), self._crossing(shares[1], chromosomes))
        child, total = self.founders[0], shares[0]
        for founder, share in zip(self.founders[1:], shares[1:], strict=True):
            total += share
            if share:
                child = child.cross(founder, self._crossing(share / total, chromosomes), population)
        return Birth(number, ids, made=child)

    def _crossing(self, ratio: float, chromosomes: int) -> Crossing:
        return Crossing((ratio,) * chromosomes, ((),) * chromosomes, self.angle)


def grid(founders: int, points: int) -> list[tuple[float, ...]]:
    """Shares of each founder in so many mixtures, or one for each founder if those are more: an even grid, then drawn ones."""
    steps = next(n for n in itertools.count(1) if math.comb(n + founders, founders - 1) > points)
    even = list(_shared_out(steps, founders))
    drawn = np.random.default_rng(0).dirichlet(np.ones(founders), size=max(points - len(even), 0))
    return [tuple(piece / steps for piece in pieces) for pieces in even] + [
        tuple(row) for row in drawn.tolist()
    ]


def _shared_out(pieces: int, founders: int) -> Iterator[tuple[int, ...]]:
    """All ways to share out so many pieces, most to the first founder first."""
    if founders == 1:
        yield (pieces,)
        return
    for own in range(pieces, -1, -1):
        yield from ((own, *rest) for rest in _shared_out(pieces - own, founders - 1))
