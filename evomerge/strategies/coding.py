"""What a vector stands for, where a search moves in a space of numbers: all weights of a small model, or a recipe's coefficients.

A setting (`AllWeights`, `Ratios`, `Coefficients`, `Genomes`) becomes, with a population's founders, a coding: the way from vectors to genomes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evomerge.contracts import Genome, Population
from evomerge.genome.crossover import Crossover
from evomerge.genome.groups import By, check_groups, groups
from evomerge.genome.recipe import Recipe
from evomerge.genome.weights import Weights


class Coding(Protocol):
    """The vectors of one space, and the genomes that they stand for.

    Attributes:
        size: how many numbers a vector has; None where a solution is no vector.
        dtype: of its numbers: float32 for weights, float64 for coefficients; object where a solution is no vector.
        parents: how many founders a genome is made from.
    """

    size: int | None
    dtype: Any
    parents: int

    def centre(self) -> Any:
        """(size,) where a search begins that begins at one point."""

    def start(self, count: int, rng: np.random.Generator) -> Any:
        """(count, size) where a search begins that begins with many: the founders, then random ones."""

    def genome(self, vector: Any) -> Genome:
        """The genome that a vector stands for."""

    def vectors(self, genomes: Sequence[Any]) -> Any:
        """(n, size) the vectors that stand for genomes.

        Raises:
            ValueError: if not every genome has one.
        """

    def cross(self, a: Any, b: Any, crossover: Crossover, rng: np.random.Generator) -> Any:
        """A child of two vectors."""


class Vector(Protocol):
    """What the vectors of a search stand for."""

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """The coding for a population with these founders.

        Raises:
            ValueError: if its genomes are of another kind.
        """


@dataclass(frozen=True)
class AllWeights:
    """Every parameter of the model, in the order of the axis: for populations of small models."""

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """As `Vector.coding`."""
        if not isinstance(founders[0], Weights):
            raise ValueError(f"expected members with weights of their own, {type(population).__name__} breeds recipes; "
                             "choose evomerge.Ratios or evomerge.Coefficients")  # fmt: skip
        return _WeightCoding(population, founders)


@dataclass(frozen=True)
class _Grouped:
    """Numbers for each group of parameters."""

    by: By = "layer"
    layers: int | None = None

    def __post_init__(self) -> None:
        check_groups(self.by, self.layers)

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """As `Vector.coding`."""
        return _RecipeCoding(population, founders, self)


@dataclass(frozen=True)
class Ratios(_Grouped):
    """For each group of parameters how much each seed but the first gives; the first gives the rest, so that they sum to one.

    Attributes:
        by: what a group is, as `evomerge.genome.groups.groups` has it.
        layers: how many layers a group has, likewise.
    """


@dataclass(frozen=True)
class Coefficients(_Grouped):
    """For each group of parameters the coefficient of each seed, which need not sum to one.

    Attributes:
        by: as `Ratios.by`.
        layers: as `Ratios.layers`.
        negative: whether a coefficient may be below 0; if not, it is the absolute value of its number.
        normalize: whether those of a group are divided by their sum.
    """

    negative: bool = True
    normalize: bool = False


@dataclass(frozen=True)
class Genomes:
    """The genome itself, for searches whose solutions may be objects, such as `evomerge.evotorch.M2N2`: recipes of any stretches."""

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """As `Vector.coding`."""
        return _GenomeCoding(population, founders)


class _WeightCoding:
    """Vectors that are all weights."""

    dtype: Any = np.float32
    parents = 0

    def __init__(self, population: Any, founders: Sequence[Weights]) -> None:
        self.population, self.founders = population, founders
        self.size: int | None = len(founders[0].vector)

    def centre(self) -> np.ndarray:
        """The first founder."""
        return self.founders[0].vector

    def start(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """The founders, then immigrants where the population has some, otherwise mixtures of two founders."""
        rows = [founder.vector for founder in self.founders[:count]]
        while len(rows) < count:
            rows.append(self._another(rng))
        return np.stack(rows)

    def genome(self, vector: np.ndarray) -> Weights:
        """All of them."""
        return Weights(np.array(vector, dtype=self.dtype))

    def vectors(self, genomes: Sequence[Weights]) -> np.ndarray:
        """All of them."""
        return np.stack([genome.vector for genome in genomes])

    def cross(
        self, a: np.ndarray, b: np.ndarray, crossover: Crossover, rng: np.random.Generator
    ) -> np.ndarray:
        """As genomes are crossed."""
        crossing = crossover.draw(self.population.axis, rng)
        return Weights(a).cross(Weights(b), crossing, self.population).vector

    def _another(self, rng: np.random.Generator) -> np.ndarray:
        try:
            immigrant: Weights = self.population.immigrant(rng)
        except (
            AttributeError,
            ValueError,
        ):  # founders that are not random have no more of their kind
            first, second = rng.permutation(len(self.founders))[:2]
            w = np.float32(rng.random())
            return (1 - w) * self.founders[first].vector + w * self.founders[second].vector
        return immigrant.vector


class _RecipeCoding:
    """Vectors that are coefficients over the seeds, (G, K) or, where they sum to one, (G, K - 1) laid end to end."""

    dtype: Any = np.float64

    def __init__(self, population: Population, founders: Sequence[Any], vector: _Grouped) -> None:
        if not isinstance(founders[0], Recipe):
            raise ValueError(f"expected members that are recipes, {type(population).__name__} breeds weights; "
                             "choose evomerge.AllWeights")  # fmt: skip
        self.seeds = self.parents = len(founders)
        self.vector = vector
        self.bounds, self.groups = groups(population.axis, vector.by, vector.layers)
        self.shape = (int(self.groups.max()) + 1, self.seeds - isinstance(vector, Ratios))
        self.size: int | None = self.shape[0] * self.shape[1]

    def centre(self) -> np.ndarray:
        """As much of each seed."""
        return np.full(self.shape[0] * self.shape[1], 1 / self.seeds)

    def start(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """The seeds, then mixtures that are drawn for each group by itself, uniformly among all."""
        own = np.repeat(np.eye(self.seeds)[:, None], self.shape[0], axis=1)
        more = rng.dirichlet(np.ones(self.seeds), size=(max(count - self.seeds, 0), self.shape[0]))
        return np.concatenate([own, more])[:count, :, self.seeds - self.shape[1] :].reshape(
            count, -1
        )

    def genome(self, vector: np.ndarray) -> Recipe:
        """The recipe with these coefficients."""
        table = np.asarray(vector, dtype=self.dtype).reshape(self.shape)
        if isinstance(self.vector, Coefficients):
            table = table if self.vector.negative else np.abs(table)
            table = table / table.sum(axis=1, keepdims=True) if self.vector.normalize else table
        else:
            table = np.concatenate([1 - table.sum(axis=1, keepdims=True), table], axis=1)
        return Recipe(self.bounds, table[self.groups])

    def vectors(self, genomes: Sequence[Recipe]) -> np.ndarray:  # noqa: ARG002
        """Most recipes have none, since their stretches are others."""
        raise ValueError(
            "vector: recipes have stretches of their own, which no vector of fixed length holds; choose evomerge.Genomes"
        )

    def cross(
        self, a: np.ndarray, b: np.ndarray, crossover: Crossover, rng: np.random.Generator
    ) -> np.ndarray:
        """Linearly, with splits between groups."""
        low, high = crossover.ratio
        w = low + (high - low) * rng.random()
        splits = rng.integers(self.shape[0], size=crossover.splits)
        behind = (np.arange(self.shape[0])[:, None] >= splits).sum(axis=1) % 2 == 1
        share = np.where(behind, 1 - w, w)[:, None]
        return ((1 - share) * a.reshape(self.shape) + share * b.reshape(self.shape)).reshape(-1)


class _GenomeCoding:
    """Solutions that are genomes, as the numbers that a snapshot stores of them, by name."""

    size: int | None = None
    dtype: Any = object
    parents = 0

    def __init__(self, population: Any, founders: Sequence[Any]) -> None:
        self.population, self.founders, self.kind = population, founders, type(founders[0])

    def centre(self) -> dict[str, np.ndarray]:
        """The first founder."""
        return self.vectors(self.founders[:1])[0]

    def start(self, count: int, rng: np.random.Generator) -> list[dict[str, np.ndarray]]:  # noqa: ARG002
        """The founders, again and again."""
        return self.vectors([self.founders[row % len(self.founders)] for row in range(count)])

    def genome(self, vector: Mapping[str, np.ndarray]) -> Genome:
        """The genome with these numbers."""
        import torch

        genome: Genome = self.kind.from_tensors(
            {name: torch.from_numpy(numbers) for name, numbers in vector.items()}
        )
        return genome

    def vectors(self, genomes: Sequence[Genome]) -> list[dict[str, np.ndarray]]:
        """What a snapshot stores of them."""
        return [
            {name: tensor.numpy() for name, tensor in genome.tensors().items()}
            for genome in genomes
        ]

    def cross(
        self,
        a: Mapping[str, np.ndarray],
        b: Mapping[str, np.ndarray],
        crossover: Crossover,
        rng: np.random.Generator,
    ) -> dict[str, np.ndarray]:
        """As genomes are crossed."""
        crossing = crossover.draw(self.population.axis, rng)
        return self.vectors([self.genome(a).cross(self.genome(b), crossing, self.population)])[0]
