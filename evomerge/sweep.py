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
    """Merges of the founders with one ratio for all parameters: two founders at `points` ratios from 0 to 1, more at as many mixtures.

    Where there are more births than points, the grid is gone through again.

    Attributes:
        points: how many, at least; three founders need the points of a triangle.
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
    """Shares of each founder: the coarsest even grid over all mixtures that has so many points."""
    for steps in itertools.count(1):
        found = [shares for shares in itertools.product(range(steps + 1), repeat=founders - 1) if sum(shares) <= steps]
        if len(found) >= points:
            return [((steps - sum(shares)) / steps, *(share / steps for share in shares)) for shares in found]
    raise AssertionError("unreachable")
