"""What leaves a run: the best member, or another, with a card that says where it comes from; the run in numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive
from evomerge.config import config
from evomerge.config.targets import path_of
from evomerge.contracts import Carded, Fitness, Genome, NamesSeeds, Population
from evomerge.errors import UserError, as_user_error, reason
from evomerge.export import card, recipe_file
from evomerge.export.measured import measured
from evomerge.files import saving, write_folder
from evomerge.genome.recipe import Recipe
from evomerge.run.snapshot import unpack
from evomerge.run.state import State
from evomerge.rundir.births import id_of, read_births
from evomerge.rundir.checks import check_new, check_run
from evomerge.rundir.places import ANSWERS
from evomerge.rundir.snapshots import read_snapshot

log = logging.getLogger(__name__)


def summary(state: State, workers: Mapping[str, Any] | None = None) -> str:
    """summary.json: the run in numbers, with what its workers say of themselves."""
    view, best = state.archive.view, state.best
    numbers = {
        "births": state.decided,
        "seconds": round(state.seconds, 3),
        "births_per_second": round(state.decided / state.seconds, 3) if state.seconds else None,
        "best": {name: getattr(best, name) for name in ("id", "train", "validation", "test")},
        "coverage": view.coverage,
        "entropy": view.entropy,
        "share_scored": state.scored / state.decided if state.decided else None,
        "failures": state.failures,
        "peak_memory": state.memory,
    } | ({} if workers is None else {"workers": dict(workers)})
    return json.dumps(numbers, indent=2) + "\n"


def write_best(
    path: Path,
    population: Population,
    fitness: Fitness,
    state: State,
    texts: Mapping[str, str | None],
) -> None:
    """Writes best/ of a run directory: the member, its card and lineage, and texts by the name of their file, None for no file."""

    def fill(folder: Path) -> None:
        write_member(folder, path, population, fitness, state, state.best.id, texts.get(ANSWERS))
        for name, text in texts.items():
            if text is not None:
                (folder / name).write_text(text, encoding="utf-8")

    write_folder(path / "best", fill)


def export(
    path: Path,
    out: Path,
    population: Population,
    fitness: Fitness,
    archive: Archive,
    member: int | None = None,
) -> int:
    """Writes a member of a run, the best one if none is named, in the ecosystem's own format.

    Args:
        path: the run directory.
        out: the folder to make.
        population: the run's population.
        fitness: the run's fitness; it scores nothing.
        archive: an empty archive such as the run's.
        member: id of a member alive in the newest snapshot, or of the best.

    Returns:
        The member's id.

    Raises:
        UserError: if there is no such member, or the folder is there already.
    """
    check_run(path)
    check_new(out)
    _, data, tensors = read_snapshot(path)
    if "weights" in tensors:
        archive = replace(
            archive, competition=replace(archive.competition, weights=tensors["weights"].numpy())
        )
    state = unpack(data["state"], tensors, archive)
    alive = _alive(state)
    chosen = state.best.id if member is None else member
    if chosen not in alive:
        raise UserError(
            f"--member: {chosen} is not alive in {path}; there are {', '.join(map(str, sorted(alive)))}"
        )
    as_user_error(
        "population", lambda: population.express(alive[chosen])
    )  # a device that is not here is no failure to write
    answers = _answers_of(path, chosen)
    with saving(out):
        write_folder(
            out,
            lambda folder: write_member(folder, path, population, fitness, state, chosen, answers),
        )
    return chosen


def write_member(
    folder: Path,
    path: Path,
    population: Population,
    fitness: Fitness,
    state: State,
    id: int,
    answers: str | None,
) -> None:
    """Writes one member into a folder: its weights, its recipe if it is one, lineage.json, and README.md, its card.

    Args:
        folder: where to.
        path: the run directory.
        population: the run's population.
        fitness: the run's fitness.
        state: the run's state, in which the member is alive.
        id: the member's.
        answers: what it answered on the test split, as `answers` gives it, if that is known.
    """
    genome, births = _alive(state)[id], read_births(path)
    population.save(genome, folder)
    if isinstance(genome, Recipe) and isinstance(population, NamesSeeds):
        recipe_file.write(folder, population, genome)
    ancestors = lineage(id, births)
    (folder / "lineage.json").write_text(json.dumps(list(ancestors.values())) + "\n")
    row = next(
        (member.scores.astype(np.float64) for member in state.archive.members if member.id == id),
        None,
    )
    weights = state.archive.competition.weights
    train = None if row is None else (row, np.ones(len(row)) if weights is None else weights)
    test = None if answers is None else _scores_in(answers)
    call = config.load(path / "config.yaml")
    facts = _facts(population)
    subject = card.Subject(
        path.resolve().name,
        id,
        genome,
        path_of(type(population)),
        facts,
        (path / "config.yaml").read_text(encoding="utf-8"),
        call,
        state.decided,
        ancestors,
        [entry for entry in births if "founder" in entry],
        measured(ancestors[id], train, test, fitness, call.get("fitness")),
    )
    try:
        card.write(folder, subject)
    except OSError:
        raise
    except Exception as error:  # facts that are not of the kind that they have to be
        log.warning("the card is without what the population says of itself: %s", reason(error))
        card.write(folder, replace(subject, facts={}))


def lineage(id: int, births: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """The log's lines of a member and all its ancestors by id, the youngest first."""
    by_id = {id_of(birth): birth for birth in births}
    found: dict[int, dict[str, Any]] = {}
    waiting = {id}
    while waiting:
        youngest = max(waiting)
        waiting.remove(youngest)
        found[youngest] = by_id[youngest]
        waiting.update(by_id[youngest].get("parents", ()))
    return found


def _facts(population: Population) -> Mapping[str, Any]:
    """What a population says for its card; nothing, with a warning, where that fails, which may not cost the member."""
    try:
        return dict(population.card()) if isinstance(population, Carded) else {}
    except Exception as error:
        log.warning("the card is without what the population says of itself: %s", reason(error))
        return {}


def _alive(state: State) -> dict[int, Genome]:
    """The genomes of the members alive, and of the best, by id."""
    return {member.id: member.genome for member in state.archive.members} | {
        state.best.id: state.best.genome
    }


def _answers_of(path: Path, member: int) -> str | None:
    """What a member answered on the test split, if it is the one whose answers the run has kept."""
    line, kept = path / "best" / "lineage.json", path / "best" / ANSWERS
    if (
        not (line.is_file() and kept.is_file())
        or id_of(json.loads(line.read_text(encoding="utf-8"))[0]) != member
    ):
        return None
    return kept.read_text(encoding="utf-8")


def _scores_in(answers: str) -> np.ndarray | None:
    """(D,) the scores in what a member answered; None where a fitness explained something else by that name."""
    scores = [json.loads(line)["score"] for line in answers.splitlines()]
    numbers = all(isinstance(score, float) and 0 <= score <= 1 for score in scores)
    return np.array(scores, dtype=np.float64) if numbers and scores else None
