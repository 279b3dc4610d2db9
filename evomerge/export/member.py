"""A member of a run, written into a folder: its weights, its recipe, its lineage and its card."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.config import config
from evomerge.config.targets import path_of
from evomerge.contracts import Carded, Fitness, Genome, NamesSeeds, Population, can
from evomerge.errors import reason
from evomerge.export import card, recipe_file
from evomerge.export.measured import Row, measured
from evomerge.export.subject import Subject
from evomerge.genome.recipe import Recipe
from evomerge.run.state import State
from evomerge.rundir.births import id_of, read_births

log = logging.getLogger(__name__)

LINEAGE = "lineage.json"
"""The file of the log's lines of a member, which is the first, and of all its ancestors."""


def write_member(
    folder: Path,
    path: Path,
    population: Population,
    fitness: Fitness,
    state: State,
    id: int,
    answers: str | None,
) -> None:
    """Writes one member into a folder: its weights, its recipe if it is one, lineage, and card.

    Args:
        folder: where to.
        path: the run directory.
        population: the run's population.
        fitness: the run's fitness.
        state: the run's state, in which the member is alive.
        id: the member's.
        answers: what it answered on the test split, as `evomerge.run.kept.answers` gives it, if
            that is known.
    """
    genome, births = alive(state)[id], read_births(path)
    population.save(genome, folder)
    if isinstance(genome, Recipe) and can(population, NamesSeeds):
        recipe_file.write(folder, population, genome)
    # The card names parents by their ids; here is what these were.
    ancestors = lineage(id, births)
    (folder / LINEAGE).write_text(json.dumps(list(ancestors.values())) + "\n")
    train, test = _train_row(state, id), _test_scores(answers)
    call = config.load(path / "config.yaml")
    facts = _facts(population)
    subject = Subject(
        run=path.resolve().name,
        id=id,
        genome=genome,
        population=path_of(type(population)),
        facts=facts,
        config=(path / "config.yaml").read_text(encoding="utf-8"),
        call=call,
        births=state.decided,
        ancestors=ancestors,
        founders=[entry for entry in births if "founder" in entry],
        scores=measured(ancestors[id], train, test, fitness, call.get("fitness")),
    )
    try:
        card.write(folder, subject)
    # A full disk is no fault of the population.
    except OSError:
        raise
    # A population's facts may be of another kind than they have to be.
    except Exception as error:
        _warn(error)
        card.write(folder, replace(subject, facts={}))


def lineage(id: int, births: Sequence[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The log's lines of a member and all its ancestors by id, the youngest first."""
    by_id = {id_of(birth): birth for birth in births}
    ancestors: dict[int, dict[str, Any]] = {}
    waiting = {id}
    while waiting:
        # Nobody is older than its parents, so nobody is met again that was taken.
        youngest = max(waiting)
        waiting.remove(youngest)
        ancestors[youngest] = by_id[youngest]
        waiting.update(by_id[youngest].get("parents", ()))
    return ancestors


def alive(state: State) -> dict[int, Genome]:
    """The genomes of the members alive, and of the best, by id."""
    genomes = {member.id: member.genome for member in state.archive.members}
    # The best may have left the archive.
    genomes[state.best.id] = state.best.genome
    return genomes


def _facts(population: Population) -> Mapping[str, Any]:
    """What a population says for its card; nothing, with a warning, where that fails."""
    # It may not cost the member.
    try:
        if can(population, Carded):
            return dict(population.card())
        return {}
    except Exception as error:
        _warn(error)
        return {}


def _warn(error: Exception) -> None:
    log.warning("the card is without what the population says of itself: %s", reason(error))


def _train_row(state: State, id: int) -> Row | None:
    """(D,) scores of a member and (D,) weights; None of a best that is not in the archive."""
    weights = state.archive.competition.weights
    for member in state.archive.members:
        if member.id == id:
            scores = member.scores.astype(np.float64)  # (D,)
            if weights is None:
                weights = np.ones(len(scores))
            return scores, weights
    return None


def _test_scores(answers: str | None) -> np.ndarray | None:
    """(D,) scores in what a member answered.

    None where they are not known: a fitness may have explained something else by that name.
    """
    if answers is None:
        return None
    scores = [json.loads(line)["score"] for line in answers.splitlines()]
    if not scores or not all(map(_is_score, scores)):
        return None
    return np.array(scores, dtype=np.float64)


def _is_score(value: Any) -> bool:
    return isinstance(value, float) and 0 <= value <= 1
