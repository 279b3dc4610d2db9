"""Codings: the way from the vectors of a search to genomes.

A search moves in a space of numbers: all weights of a small model, or a recipe's coefficients. A
setting (`evomerge.strategies.vector`) says which, and makes a coding for a population.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from evomerge.contracts import Genome, Immigrants, Population, can
from evomerge.genome.crossover import Crossover
from evomerge.genome.groups import By, groups
from evomerge.genome.recipe import Recipe
from evomerge.genome.weights import Weights
from evomerge.strategies.fitting import linear_only


class Coding(Protocol):
    """The vectors of one space, and the genomes that they stand for.

    Attributes:
        size: how many numbers a vector has; None where a solution is no vector.
        dtype: of its numbers: float32 for weights, float64 for coefficients; object where a
            solution is no vector.
        parents: how many founders a genome is made from.
    """

    size: int | None
    dtype: Any
    parents: int

    def centre(self) -> Any:
        """(size,) where a search begins that begins at one point."""

    def start(self, count: int, rng: np.random.Generator) -> Any:
        """(count, size) where a search begins that begins with many.

        The founders come first, then random ones.
        """

    def genome(self, vector: Any) -> Genome:
        """The genome that a vector stands for."""

    def vectors(self, genomes: Sequence[Any]) -> Any:
        """(n, size) the vectors that stand for genomes.

        Raises:
            ValueError: if not every genome has one.
        """

    def cross(self, a: Any, b: Any, crossover: Crossover, rng: np.random.Generator) -> Any:
        """A child of two vectors."""


class WeightCoding:
    """Vectors that are all weights: (P,) float32, in the order of the axis."""

    dtype: Any = np.float32
    parents = 0

    def __init__(self, population: Any, founders: Sequence[Weights]) -> None:
        """Takes a population and its founders."""
        self.population = population
        self.founders = founders
        self.size: int | None = len(founders[0].vector)

    def centre(self) -> np.ndarray:
        """The first founder."""
        return self.founders[0].vector

    def start(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, P): the founders, then immigrants or, without any, mixtures of two founders."""
        vectors = [founder.vector for founder in self.founders[:count]]
        while len(vectors) < count:
            vectors.append(self._another(rng))
        return np.stack(vectors)

    def genome(self, vector: np.ndarray) -> Weights:
        """All of them."""
        # A copy: the search goes on changing its vectors, and a genome never changes.
        return Weights(np.array(vector, dtype=self.dtype))

    def vectors(self, genomes: Sequence[Weights]) -> np.ndarray:
        """(n, P) all of them."""
        return np.stack([genome.vector for genome in genomes])

    def cross(
        self, a: np.ndarray, b: np.ndarray, crossover: Crossover, rng: np.random.Generator
    ) -> np.ndarray:
        """As genomes are crossed."""
        crossing = crossover.draw(self.population.axis, rng)
        return Weights(a).cross(Weights(b), crossing, self.population).vector

    def _another(self, rng: np.random.Generator) -> np.ndarray:
        """(P,) one more vector to start from."""
        if can(self.population, Immigrants):
            # The method may be there, and yet founders that are trained have no more of their kind.
            try:
                immigrant = self.population.immigrant(rng)
            except ValueError:
                return self._mixture(rng)
            return immigrant.vector
        return self._mixture(rng)

    def _mixture(self, rng: np.random.Generator) -> np.ndarray:
        """(P,) two founders, mixed linearly."""
        first, second = rng.permutation(len(self.founders))[:2]
        w = np.float32(rng.random())
        return (1 - w) * self.founders[first].vector + w * self.founders[second].vector


class CoefficientCoding:
    """Vectors that are coefficients over K seeds for each of G groups: (G, K) laid end to end."""

    dtype: Any = np.float64

    implied = 0
    """How many seeds, from the first on, have a coefficient that follows from the others'."""

    def __init__(
        self,
        population: Population,
        founders: Sequence[Recipe],
        *,
        by: By,
        layers: int | None,
        negative: bool = True,
        normalize: bool = False,
    ) -> None:
        """Cuts the population's axis into groups.

        Args:
            population: the species.
            founders: its K seeds as recipes.
            by: what a group is, as `evomerge.genome.groups.groups` has it.
            layers: how many layers a group has, likewise.
            negative: whether a coefficient may be below 0.
            normalize: whether those of a group are divided by their sum.
        """
        self.negative = negative
        self.normalize = normalize
        self.seeds = self.parents = len(founders)
        self.bounds, self.groups = groups(population.axis, by, layers)
        # (G, K), less the coefficients that are implied.
        self.shape = (int(self.groups.max()) + 1, self.seeds - self.implied)
        self.size: int | None = self.shape[0] * self.shape[1]

    def centre(self) -> np.ndarray:
        """As much of each seed."""
        return np.full(self.shape[0] * self.shape[1], 1 / self.seeds)

    def start(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """(count, size): the seeds, then mixtures.

        They are drawn for each group by itself, uniformly among all.
        """
        group_count = self.shape[0]
        alone = np.repeat(np.eye(self.seeds)[:, None], group_count, axis=1)  # (K, G, K)
        missing = max(count - self.seeds, 0)
        mixtures = rng.dirichlet(np.ones(self.seeds), size=(missing, group_count))  # (n, G, K)
        tables = np.concatenate([alone, mixtures])[:count]
        return tables[:, :, self.implied :].reshape(count, -1)

    def genome(self, vector: np.ndarray) -> Recipe:
        """The recipe with these coefficients."""
        table = np.asarray(vector, dtype=self.dtype).reshape(self.shape)
        # (m, K): a group may lie in several stretches, which share its coefficients.
        return Recipe(self.bounds, self._coefficients(table)[self.groups])

    def vectors(self, genomes: Sequence[Recipe]) -> np.ndarray:  # noqa: ARG002
        """Most recipes have none, since their stretches are others."""
        raise ValueError(
            "vector: recipes have stretches of their own, which no vector of fixed length holds; "
            "choose evomerge.Genomes"
        )

    def cross(
        self, a: np.ndarray, b: np.ndarray, crossover: Crossover, rng: np.random.Generator
    ) -> np.ndarray:
        """Linearly, with splits between groups."""
        low, high = crossover.ratio
        w = low + (high - low) * rng.random()
        group_count = self.shape[0]
        splits = rng.integers(group_count, size=crossover.splits)
        # (G,) how many splits lie before a group, which has its parents take turns.
        turns = (np.arange(group_count)[:, None] >= splits).sum(axis=1)
        share = np.where(turns % 2 == 1, 1 - w, w)[:, None]  # (G, 1)
        child = (1 - share) * a.reshape(self.shape) + share * b.reshape(self.shape)
        return child.reshape(-1)

    def _coefficients(self, table: np.ndarray) -> np.ndarray:
        """(G, K) the coefficients of a recipe, from the numbers of a vector."""
        if not self.negative:
            table = np.abs(table)
        # After the absolute value: negative numbers could sum to zero.
        if self.normalize:
            table = table / table.sum(axis=1, keepdims=True)
        return table


class RatioCoding(CoefficientCoding):
    """Vectors that are ratios, (G, K - 1) laid end to end: the first seed gives the rest."""

    implied = 1

    def _coefficients(self, table: np.ndarray) -> np.ndarray:
        rest = 1 - table.sum(axis=1, keepdims=True)  # (G, 1)
        return np.concatenate([rest, table], axis=1)


class GenomeCoding:
    """Solutions that are genomes, as the numbers that a snapshot stores of them, by name."""

    size: int | None = None
    dtype: Any = object
    parents = 0

    def __init__(self, population: Any, founders: Sequence[Any]) -> None:
        """Takes a population and its founders."""
        self.population = population
        self.founders = founders
        self.kind = type(founders[0])

    def centre(self) -> dict[str, np.ndarray]:
        """The first founder."""
        return _numbers(self.founders[0])

    def start(
        self,
        count: int,
        rng: np.random.Generator,  # noqa: ARG002
    ) -> list[dict[str, np.ndarray]]:
        """The founders, again and again."""
        solutions = []
        for row in range(count):
            solutions.append(_numbers(self.founders[row % len(self.founders)]))
        return solutions

    def genome(self, vector: Mapping[str, np.ndarray]) -> Genome:
        """The genome with these numbers."""
        import torch

        tensors = {name: torch.from_numpy(numbers) for name, numbers in vector.items()}
        genome: Genome = self.kind.from_tensors(tensors)
        return genome

    def vectors(self, genomes: Sequence[Genome]) -> list[dict[str, np.ndarray]]:
        """What a snapshot stores of them."""
        return [_numbers(genome) for genome in genomes]

    def cross(
        self,
        a: Mapping[str, np.ndarray],
        b: Mapping[str, np.ndarray],
        crossover: Crossover,
        rng: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        """As genomes are crossed."""
        linear = linear_only(self.population)
        crossing = crossover.draw(self.population.axis, rng, linear=linear)
        return _numbers(self.genome(a).cross(self.genome(b), crossing, self.population))


def _numbers(genome: Genome) -> dict[str, np.ndarray]:
    """What a snapshot stores of a genome, as arrays by name."""
    return {name: tensor.numpy() for name, tensor in genome.tensors().items()}
