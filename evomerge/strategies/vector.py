"""What the vectors of a search stand for, as settings.

`AllWeights`, `Ratios`, `Coefficients` and `Genomes` become, with a population's founders, a coding
(`evomerge.strategies.coding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from evomerge.contracts import Population
from evomerge.genome.groups import By, check_groups
from evomerge.genome.recipe import Recipe
from evomerge.genome.weights import Weights
from evomerge.strategies.coding import (
    Coding,
    CoefficientCoding,
    GenomeCoding,
    RatioCoding,
    WeightCoding,
)


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
        # Founders are of one kind, so the first speaks for all.
        if not isinstance(founders[0], Weights):
            raise ValueError(
                "expected members with weights of their own, "
                f"{type(population).__name__} breeds recipes; "
                "choose evomerge.Ratios or evomerge.Coefficients"
            )
        return WeightCoding(population, founders)


@dataclass(frozen=True)
class PerGroup:
    """Numbers for each group of parameters: what `Ratios` and `Coefficients` have in common."""

    by: By = "layer"
    layers: int | None = None

    def __post_init__(self) -> None:
        check_groups(self.by, self.layers)


@dataclass(frozen=True)
class Ratios(PerGroup):
    """For each group of parameters how much each seed but the first gives.

    The first seed gives the rest, so that they sum to one.

    Attributes:
        by: what a group is, as `evomerge.genome.groups.groups` has it.
        layers: how many layers a group has, likewise.
    """

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """As `Vector.coding`."""
        _check_recipes(population, founders)
        return RatioCoding(population, founders, by=self.by, layers=self.layers)


@dataclass(frozen=True)
class Coefficients(PerGroup):
    """For each group of parameters the coefficient of each seed, which need not sum to one.

    Attributes:
        by: as `Ratios.by`.
        layers: as `Ratios.layers`.
        negative: whether a coefficient may be below 0; if not, it is the absolute value of its
            number.
        normalize: whether those of a group are divided by their sum.
    """

    negative: bool = True
    normalize: bool = False

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """As `Vector.coding`."""
        _check_recipes(population, founders)
        return CoefficientCoding(
            population,
            founders,
            by=self.by,
            layers=self.layers,
            negative=self.negative,
            normalize=self.normalize,
        )


@dataclass(frozen=True)
class Genomes:
    """The genome itself: recipes of any stretches.

    It is for searches whose solutions may be objects, such as `evomerge.evotorch.M2N2`.
    """

    def coding(self, population: Population, founders: Sequence[Any]) -> Coding:
        """As `Vector.coding`."""
        return GenomeCoding(population, founders)


def _check_recipes(population: Population, founders: Sequence[Any]) -> None:
    """Checks that members are recipes, which have coefficients.

    Raises:
        ValueError: if not, or if they have settings besides.
    """
    if not isinstance(founders[0], Recipe):
        raise ValueError(
            f"expected members that are recipes, {type(population).__name__} breeds weights; "
            "choose evomerge.AllWeights"
        )
    if len(founders[0].settings):
        raise ValueError(
            "vectors hold coefficients alone, and numbers of the population's method are searched, "
            "too; choose evomerge.NaturalNiches or evomerge.Genomes, or give the method a number "
            "in the place of each range"
        )
