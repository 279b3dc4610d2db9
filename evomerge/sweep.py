"""A sweep: the founders mixed on an even grid of ratios. What every search has to beat, as a strategy, so that it is run and kept as one."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from evomerge.archive import Archive, Competition, View
from evomerge.contracts import Fitness, Genome, Population
from evomerge.crossover import Angle, Crossing, Crossover
from evomerge.strategy import Birth, NaturalNiches


@dataclass(frozen=True)
class Sweep:
    """Merges of the founders with one ratio for all parameters, on an even grid; where there are more births, it is gone through again.

    Attributes:
        points: how many ratios from 0 to 1 two founders are mixed at; more founders, as many mixtures as make an even grid of no more.
        angle: as `Crossover.angle`.
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
        NaturalNiches(crossover=Crossover(splits=0, angle=self.angle)).fit(population, fitness)

    def archive(self, weights: np.ndarray | None, fitness: Fitness) -> Archive:  # noqa: ARG002
        """As `Strategy.archive`: those with the best mean scores."""
        return Archive(self.points, Competition(alpha=0.0, capacity="one", weights=weights))

    def begin(self, population: Population, fitness: Fitness, founders: Callable[[], Sequence[Genome]], seed: int) -> Grid:  # noqa: ARG002
        """As `Strategy.begin`."""
        own = founders()
        return Grid(own, grid(len(own), self.points), self.angle)


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
    """Shares of each founder: the finest even grid over all mixtures that has at most so many points, the founders at least."""
    found = finer = [tuple(row) for row in np.eye(founders).tolist()]
    for steps in itertools.count(2):
        if len(finer) > points:
            return found
        found = finer
        rest = (shares for shares in itertools.product(range(steps + 1), repeat=founders - 1) if sum(shares) <= steps)
        finer = [((steps - sum(shares)) / steps, *(share / steps for share in shares)) for shares in rest]
    raise AssertionError("unreachable")
