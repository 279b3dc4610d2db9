"""Checks for whoever adds a population, a fitness or a strategy: call them in a test of your own.

>>> from evomerge.testing import check_population
>>> from fitness.images import SklearnDigits
>>> from populations.mnist import Classifiers
>>> check_population(Classifiers(SklearnDigits(), hidden=(8,)))

Each raises an AssertionError that says what was expected, and what came. What they check is what a
run relies on: all of it may be pickled and sent to a worker, killed, and done again elsewhere.
"""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.contracts import (
    Explains,
    Fitness,
    Genome,
    Grouped,
    Immigrants,
    LinearOnly,
    Population,
    Recipes,
    Stacks,
    can,
)
from evomerge.datapoints import sizes_of, weights_of
from evomerge.errors import reason
from evomerge.evolution import evolve
from evomerge.genome.crossover import Crossover
from evomerge.strategies.strategy import Strategy, founders_rng
from evomerge.workers.partial_score import check_scores

SEED = 0
SMALL_RUN = 6
"""Births of the runs by which a strategy is checked."""


def check_population(population: Population) -> None:
    """Checks that a population can be bred.

    Args:
        population: a small one. Its founders are made, two of them are crossed, and what the child
            is expressed as is saved.

    Raises:
        AssertionError: if it cannot; the message says what was expected.
    """
    _expect(can(population, Population), f"expected a Population, got {population!r}")
    elsewhere = _sent(population, "population")
    with _what_it_raises():
        _check_breeding(population, elsewhere)


def _check_breeding(population: Population, elsewhere: Any) -> None:
    """Checks founders, children, and what they are expressed as.

    Args:
        population: the population.
        elsewhere: the same, as it arrives in another process.
    """
    # A worker makes the founders from the run's seed alone.
    founders = population.founders(founders_rng(SEED))
    again = elsewhere.founders(founders_rng(SEED))
    _expect(len(founders) >= 2, f"founders: expected two or more, got {len(founders)}")
    _expect(len(again) == len(founders), "founders: expected as many in another process")
    for index, (one, other) in enumerate(zip(founders, again, strict=True)):
        _expect(one.finite(), f"founders: founder {index} has numbers that are not finite")
        _expect_same(one, other, f"founder {index} in another process")

    # A birth is raised by whoever is free, and again after a kill: it is the same child.
    child = _child(population, founders)
    _expect(child.finite(), "cross: the child has numbers that are not finite")
    _expect_same(child, _child(elsewhere, again), "the same child in another process")
    _expect_same(child, _stored(child), "a child that a snapshot has stored")

    _check_expressed(population, child)
    if can(population, Stacks):
        _check_stack(population, founders)
    if can(population, Immigrants):
        one = population.immigrant(np.random.default_rng(SEED))
        other = elsewhere.immigrant(np.random.default_rng(SEED))
        _expect_same(one, other, "an immigrant in another process")
    if can(population, Recipes):
        # A resume gives another process what the run has kept, and no seed is read again there.
        elsewhere.restore_grams(population.grams.units)
        _expect_same(child, _child(elsewhere, again), "a child from restored Gram matrices")


def check_fitness(fitness: Fitness, model: Any) -> None:
    """Checks that a fitness can score a model.

    Args:
        fitness: a small one; every split that it has is scored.
        model: what its population expresses.

    Raises:
        AssertionError: if it cannot; the message says what was expected.
    """
    _expect(can(fitness, Fitness), f"expected a Fitness, got {fitness!r}")
    elsewhere = _sent(fitness, "fitness")
    with _what_it_raises():
        _check_scoring(fitness, elsewhere, model)


def _check_scoring(fitness: Fitness, elsewhere: Any, model: Any) -> None:
    """Checks sizes, scores and all else that a fitness gives.

    Args:
        fitness: the fitness.
        elsewhere: the same, as it arrives in another process.
        model: what its population expresses.
    """
    for split, size in sizes_of(fitness).items():
        if not size:
            continue
        where = f"the {split} split"
        datapoints = np.arange(size)
        scores = _scored(fitness, model, datapoints, split)
        # All randomness of scoring comes from the fitness's seed, the split and the datapoint.
        _expect_equal(scores, _scored(fitness, model, datapoints, split), f"{where}, scored again")
        other = _scored(elsewhere, model, datapoints, split)
        _expect_equal(scores, other, f"{where}, scored in another process")
        # A part of a tile has as many scores. In other company, their last bits may differ.
        few = datapoints[: max(1, size // 2)]
        _expect(len(_scored(fitness, model, few, split)) == len(few), f"{where}: a part of it")

        weights_of(fitness, split, size)
        if can(fitness, Grouped):
            for name, places in fitness.groups(split).items():
                within = not len(places) or 0 <= np.min(places) <= np.max(places) < size
                _expect(within, f"groups({split!r}): {name!r} has places outside of the split")
        if can(fitness, Explains):
            rows = fitness.explain(model, few, split)
            _expect(len(rows) == len(few), f"explain: expected {len(few)} rows, got {len(rows)}")
            for row in rows:
                _expect(isinstance(row, dict), f"explain: expected dicts, got {row!r}")


def check_strategy(strategy: Strategy, population: Population, fitness: Fitness) -> None:
    """Checks that a strategy can lead a run, and comes to the same run again after a kill.

    Args:
        strategy: one whose archive is small.
        population: what it breeds.
        fitness: what members are worth.

    Raises:
        AssertionError: if it cannot; the message says what was expected.
    """
    elsewhere = _sent(strategy, "strategy")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "whole"
        parted = Path(folder) / "parted"
        parts: dict[str, Any] = {"trackers": [], "progress": False, "seed": SEED}
        one = evolve(
            population, fitness, births=SMALL_RUN, strategy=strategy, run_dir=whole, **parts
        )
        for births, resume in ((SMALL_RUN // 2, False), (SMALL_RUN, True)):
            other = evolve(
                population,
                fitness,
                births=births,
                strategy=elsewhere,
                run_dir=parted,
                resume=resume,
                **parts,
            )
    ids = [member.id for member in one.members]
    others = [member.id for member in other.members]
    _expect(ids == others, f"expected the members {ids} after a resume, too, got {others}")
    _expect_equal(one.scores, other.scores, "the archive's scores after a resume")


@contextmanager
def _what_it_raises() -> Iterator[None]:
    """Makes an AssertionError of whatever a part raises, so that a test says what was expected."""
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"expected no error, got {reason(error)}") from error


def _child(population: Population, founders: Any) -> Genome:
    """A child of the first two founders, merged and mutated."""
    linear = can(population, LinearOnly) and population.linear
    crossing = Crossover().draw(population.axis, np.random.default_rng(SEED), linear=linear)
    child: Genome = founders[0].cross(founders[1], crossing, population)
    return child.mutate(1e-3, SEED)


def _check_expressed(population: Population, child: Genome) -> None:
    """Checks that a genome becomes a model, and a folder."""
    _expect(population.express(child) is not None, "express: expected a model, got None")
    with tempfile.TemporaryDirectory() as folder:
        population.save(child, Path(folder))
        _expect(any(Path(folder).iterdir()), "save: expected files in the directory, it is empty")


def _check_stack(population: Stacks, founders: Any) -> None:
    """Checks that small models can be expressed as one stack."""
    models = population.express_many(founders[:2])
    _expect(models is not None, "express_many: expected a stack of models, got None")


def _scored(fitness: Fitness, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
    """The scores of a model, held against what a fitness has to give."""
    values = fitness(model, datapoints, split)
    try:
        return check_scores(values, datapoints.shape)
    except ValueError as error:
        raise AssertionError(f"fitness(model, datapoints, {split!r}): {error}") from None


def _sent(thing: Any, name: str) -> Any:
    """What arrives in another process: a copy by way of a pickle."""
    try:
        return pickle.loads(pickle.dumps(thing))  # noqa: S301, our own bytes
    except Exception as error:
        raise AssertionError(f"{name}: expected an object that can be pickled: {error}") from error


def _stored(genome: Genome) -> Genome:
    """A genome by way of the tensors that a snapshot stores."""
    kind: Any = type(genome)
    stored: Genome = kind.from_tensors(dict(genome.tensors()))
    return stored


def _expect_same(one: Genome, other: Genome, what: str) -> None:
    """Checks that two genomes are the same, to the bit."""
    mine, theirs = one.tensors(), other.tensors()
    _expect(mine.keys() == theirs.keys(), f"{what}: expected the same tensors")
    for name, tensor in mine.items():
        _expect(tensor.equal(theirs[name]), f"{what}: expected the same numbers in {name}")


def _expect_equal(one: np.ndarray, other: np.ndarray, what: str) -> None:
    """Checks that two arrays are the same, to the bit."""
    _expect(np.array_equal(one, other), f"{what}: expected the same scores, they differ")


def _expect(true: bool, sentence: str) -> None:
    """Checks that something is true.

    Raises:
        AssertionError: if not, with the sentence. It is raised where Python ignores `assert`, too.
    """
    if not true:
        raise AssertionError(sentence)
