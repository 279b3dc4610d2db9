"""What a strategy is: it plans births, each of which is a child to be raised.

A `Strategy` is settings. A run begins it anew, as a `Planner`, which plans one `Birth` after
another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evomerge.archives.archive import Archive, View
from evomerge.contracts import Fitness, Genome, Population
from evomerge.genome.crossover import Crossing
from evomerge.genome.recipe import Noise, Recipe


@dataclass(frozen=True, eq=False)
class Birth:
    """One planned child, the unit of work.

    Whoever raises it, wherever and whenever, raises the same child.

    Attributes:
        number: from 1; also the child's id.
        parents: ids of the parents, the first one first; one parent where nothing is crossed, none
            for an immigrant.
        genomes: the parents' genomes; none where the child's is there already.
        crossing: mixing ratios and split points, None where nothing is crossed.
        mutation: standard deviation of the Gaussian noise, 0 for none.
        mutation_seed: what draws that noise, or the immigrant.
        noise: of which kind that noise is, where the child is a recipe.
        made: the child's genome, where the strategy makes it itself.
    """

    number: int
    parents: tuple[int, ...]
    genomes: tuple[Genome, ...] = ()
    crossing: Crossing | None = None
    mutation: float = 0.0
    mutation_seed: int = 0
    noise: Noise = "zero-sum"
    made: Genome | None = None

    def child(self, population: Population) -> Genome:
        """The genome of the child."""
        # A search makes its children itself: they are points that it has chosen.
        if self.made is not None:
            return self.made
        # Nobody's child is an immigrant. The strategy has checked that the population has them.
        if not self.genomes:
            rng = np.random.default_rng(self.mutation_seed)
            return population.immigrant(rng)  # type: ignore[attr-defined]
        # First merged, then mutated, as in the paper; either may be missing.
        genome = self.genomes[0]
        if self.crossing is not None:
            genome = genome.cross(self.genomes[1], self.crossing, population)
        if not self.mutation:
            return genome
        # Only coefficients know two kinds of noise.
        if isinstance(genome, Recipe):
            return genome.mutate(self.mutation, self.mutation_seed, self.noise)
        return genome.mutate(self.mutation, self.mutation_seed)


class Planner(Protocol):
    """Who decides which births there are, while a run goes on.

    Some planners are a `Learner`, or `Stoppable`, too.
    """

    def plan(self, number: int, view: View, population: Population, seed: int) -> Birth | None:
        """Plans a birth from the archive as it is.

        Args:
            number: the birth's number, from 1.
            view: the archive when the births up to `number` - lookahead are decided.
            population: the species.
            seed: the run's seed.

        Returns:
            None where that takes the outcome of births that are still in flight.
        """


class Learner(Protocol):
    """A planner that is told what became of each birth.

    It needs the mean training score of every child, so none is stopped early.
    """

    def tell(self, entry: Mapping[str, Any]) -> None:
        """Takes the log's line of a birth.

        Lines come in order, each when its birth is decided, and all again after a resume.
        """


class Stoppable(Protocol):
    """A planner that holds something for as long as the run goes on."""

    def stop(self) -> None:
        """Lets go of it, at the run's end."""


class Strategy(Protocol):
    """Which births to plan, and who stays: settings, from which each run begins anew."""

    def fit(self, population: Population, fitness: Fitness) -> None:
        """Checks that it can breed this.

        Raises:
            ValueError: if not.
        """

    def archive(self, weights: np.ndarray | None, fitness: Fitness) -> Archive:
        """An empty archive for the datapoints of a fitness, with their (D,) weights."""

    def begin(
        self,
        population: Population,
        fitness: Fitness,
        founders: Callable[[], Sequence[Genome]],
        seed: int,
    ) -> Planner:
        """Who plans the births of one run.

        Args:
            population: the species.
            fitness: what a member is worth.
            founders: gives the founders' genomes again.
            seed: the run's seed.

        Raises:
            ValueError: if it cannot.
        """


def birth_rng(seed: int, birth: int) -> np.random.Generator:
    """The random state of one birth: it depends on the run's seed and the birth's number alone."""
    # PCG64 is what `default_rng` gives today. By its name it stays so in every numpy.
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(birth,))))


def founders_rng(seed: int) -> np.random.Generator:
    """The random state of the founders.

    Founder i draws from `spawn(K)[i]`, whose spawn key is (0, i). Births count from 1, so no birth
    has the key of a founder.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
