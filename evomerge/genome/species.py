"""What crossing two genomes needs to know of their population."""

from __future__ import annotations

from typing import Protocol

from evomerge.genome.axis import Axis
from evomerge.genome.grams import Grams


class Species(Protocol):
    """A population, as far as crossing is concerned."""

    @property
    def axis(self) -> Axis:
        """The order of the parameters."""


class SpeciesOfRecipes(Species, Protocol):
    """A species whose members are linear combinations of its seeds."""

    @property
    def grams(self) -> Grams:
        """Inner products of the seeds along the axis."""
