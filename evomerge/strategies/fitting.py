"""Whether a population can be bred with a setting: what strategies check before a run."""

from __future__ import annotations

import numpy as np

from evomerge.contracts import Immigrants, LinearOnly, Population, can
from evomerge.genome.crossover import Crossover


def linear_only(population: Population) -> bool:
    """Whether a population's genomes may be crossed linearly only."""
    return can(population, LinearOnly) and population.linear


def check_crossover(crossover: Crossover, population: Population) -> None:
    """Checks that a population's genomes can be crossed this way.

    Raises:
        ValueError: as `Crossover.fit`; or if they may only be crossed linearly, and are not.
    """
    if crossover.angle not in (None, "none") and linear_only(population):
        raise ValueError(
            "crossover.angle: expected 'none', or nothing, since coefficients are a method's "
            f"weights here, got {crossover.angle!r}"
        )
    # The user has set the angle below a key, which the message names, too.
    try:
        crossover.fit(population.axis)
    except ValueError as error:
        raise ValueError(f"crossover.{error}") from None


def check_immigrants(population: Population) -> None:
    """Checks that a population has random founders.

    Raises:
        ValueError: if not.
    """
    if not can(population, Immigrants):
        raise ValueError(
            "immigrants: expected a population with a method immigrant, "
            f"got {type(population).__name__}"
        )
    # The method may be there, and yet only random founders have more of their kind.
    try:
        population.immigrant(np.random.default_rng(0))
    except ValueError as error:
        raise ValueError(f"immigrants: {error}") from None
