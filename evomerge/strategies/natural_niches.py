"""M2N2, the algorithm: competition for datapoints, attraction of parents, split-point crossover; its warm-up and its ablations."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from evomerge.archives.archive import Archive, View
from evomerge.archives.competition import Competition
from evomerge.contracts import Fitness, Immigrants, LinearOnly, Population
from evomerge.genome.crossover import Crossover
from evomerge.genome.recipe import Noise
from evomerge.strategies.strategy import Birth, birth_rng
from fitness.competition import Capacity


@dataclass(frozen=True)
class NaturalNiches:
    """Competition, attraction and split-point crossover: M2N2.

    Ablations are settings: `attraction=False`; `crossover.splits=0` for no split point; `crossover=None` for none at all;
    `alpha=0` and `attraction=False` for a plain genetic algorithm.

    Attributes:
        size: members of the archive, at least 2.
        alpha: strength of the competition, at least 0.
        capacity: what a datapoint can give: "max", its best score, or "one".
        relative: subtract each datapoint's worst score before competing (for scores such as image similarity).
        attraction: choose the second parent by attraction; otherwise by fitness.
        crossover: how parents are merged, None for children of one parent.
        mutation: standard deviation of the Gaussian noise added to a child's parameters (or a recipe's coefficients), 0 for none.
        noise: of a recipe's coefficients: "zero-sum", on every stretch a sum of zero over the seeds, so that what they share keeps
            its scale; or "free", each coefficient alone, so that a merge may be stronger or weaker than every mixture.
        warmup: births of random pairs at the start.
        immigrants: share of the births that are new random founders instead of children, in [0, 1): random immigrants
            (Grefenstette 1992), which bring back skills that all founders lacked or that were lost.
    """

    size: int = 20
    alpha: float = 1.0
    capacity: Capacity = "max"
    relative: bool = False
    attraction: bool = True
    crossover: Crossover | None = field(default_factory=Crossover)
    mutation: float = 0.0
    noise: Noise = "zero-sum"
    warmup: int = 0
    immigrants: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.size, int | np.integer) or self.size < 2:
            raise ValueError(f"size: expected an archive of at least 2, got {self.size}")
        for name in ("alpha", "mutation"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value >= 0):
                raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")
        if self.capacity not in get_args(Capacity):
            raise ValueError(
                f"capacity: expected one of {get_args(Capacity)}, got {self.capacity!r}"
            )
        if self.noise not in get_args(Noise):
            raise ValueError(f"noise: expected one of {get_args(Noise)}, got {self.noise!r}")
        if self.warmup < 0:
            raise ValueError(
                f"warmup: expected a number of births of at least 0, got {self.warmup}"
            )
        if not 0 <= self.immigrants < 1:
            raise ValueError(
                f"immigrants: expected a share of the births in [0, 1), got {self.immigrants}"
            )
        if self.crossover is None and not self.mutation:
            raise ValueError(
                "crossover: without crossover and without mutation every child is a copy; set one of them"
            )

    def fit(self, population: Population, fitness: Fitness | None = None) -> None:  # noqa: ARG002
        """As `Strategy.fit`; any fitness will do.

        Raises:
            ValueError: as `Crossover.fit`; if the population's genomes may only be crossed linearly, and are not; or if there are to
                be immigrants and the population has none.
        """
        if self.crossover is not None:
            if (
                isinstance(population, LinearOnly)
                and population.linear
                and self.crossover.angle != "none"
            ):
                raise ValueError(
                    f"crossover.angle: expected 'none', since coefficients are a method's weights here, got {self.crossover.angle!r}"
                )
            try:
                self.crossover.fit(population.axis)
            except ValueError as error:
                raise ValueError(f"crossover.{error}") from None
        if self.immigrants:
            if not isinstance(population, Immigrants):
                raise ValueError(
                    f"immigrants: expected a population with a method immigrant, got {type(population).__name__}"
                )
            try:
                population.immigrant(np.random.default_rng(0))
            except ValueError as error:
                raise ValueError(f"immigrants: {error}") from None

    def archive(self, weights: np.ndarray | None, fitness: Fitness | None = None) -> Archive:  # noqa: ARG002
        """As `Strategy.archive`: members compete as the settings say."""
        return Archive(self.size, Competition(self.alpha, self.capacity, self.relative, weights))

    def begin(
        self, population: Population, fitness: Fitness, founders: object, seed: int
    ) -> NaturalNiches:
        """As `Strategy.begin`: all that a plan depends on are the archive, the birth's number and the run's seed."""
        return self

    def plan(self, number: int, view: View, population: Population, seed: int) -> Birth:
        """As `Planner.plan`.

        Raises:
            ValueError: if there are fewer than two members to be parents.
        """
        if len(view.members) < 2:
            raise ValueError(
                f"a birth needs two members to choose parents from, the archive has {len(view.members)}"
            )
        rng = birth_rng(seed, number)
        if self.immigrants and rng.random() < self.immigrants:
            return Birth(number, (), mutation_seed=_draw_seed(rng))
        rows = self._parents(view, rng, random_pair=number <= self.warmup)
        crossing = self.crossover.draw(population.axis, rng) if self.crossover is not None else None
        parents = [view.members[row] for row in (rows if crossing is not None else rows[:1])]
        return Birth(
            number,
            tuple(parent.id for parent in parents),
            tuple(parent.genome for parent in parents),
            crossing,
            self.mutation,
            _draw_seed(rng),
            self.noise,
        )

    def _parents(self, view: View, rng: np.random.Generator, random_pair: bool) -> tuple[int, int]:
        """Two different rows: the first by fitness, the second by attraction, each falling back where all are zero."""
        anybody = np.ones(len(view.members))
        fitness = anybody if random_pair else view.fitness
        first = _choose(rng, fitness, anybody)
        others = np.arange(len(anybody)) != first
        wanted = view.attraction(first) if self.attraction and not random_pair else fitness
        return first, _choose(rng, wanted * others, fitness * others, others)


def _choose(rng: np.random.Generator, *chances: np.ndarray) -> int:
    """A row drawn in proportion to the first of the chances that are not all zero."""
    for weights in chances:
        edges = weights.cumsum(dtype=np.float64)
        if edges[-1] > 0:
            break
    row = int(edges.searchsorted(rng.random() * edges[-1], side="right"))
    return row if row < len(edges) else int(np.flatnonzero(weights)[-1])


def _draw_seed(rng: np.random.Generator) -> int:
    """A seed that torch takes too: a whole number below 2**63."""
    return int(rng.bit_generator.random_raw()) >> 1
