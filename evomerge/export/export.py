"""What leaves a run: the best member, or another; and the run in numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from evomerge.archives.archive import Archive
from evomerge.contracts import Fitness, Population
from evomerge.errors import UserError, as_user_error
from evomerge.export.member import LINEAGE, alive, write_member
from evomerge.files import saving, write_folder
from evomerge.run.snapshot import unpack
from evomerge.run.state import State
from evomerge.rundir.births import id_of
from evomerge.rundir.checks import check_new, check_run
from evomerge.rundir.places import ANSWERS
from evomerge.rundir.snapshots import read_snapshot


def summary(
    state: State,
    workers: Mapping[str, Any] | None = None,
    watched: Mapping[str, Any] | None = None,
) -> str:
    """summary.json: the run in numbers.

    Args:
        state: the run's state.
        workers: what its workers say of themselves, if they do.
        watched: what the founders and the best score on what is only watched, if anything is.
    """
    view = state.archive.view
    # A run that was stopped before its first birth has no mean.
    pace = None
    if state.seconds:
        pace = round(state.decided / state.seconds, 3)
    share_scored = None
    if state.decided:
        share_scored = state.scored / state.decided
    numbers: dict[str, Any] = {
        "births": state.decided,
        "seconds": round(state.seconds, 3),
        "births_per_second": pace,
        "best": state.best.summary,
        "coverage": view.coverage,
        "entropy": view.entropy,
        "share_scored": share_scored,
        "failures": state.failures,
        "peak_memory": state.memory,
    }
    if watched:
        numbers["watched"] = watched
    if workers is not None:
        numbers["workers"] = dict(workers)
    return json.dumps(numbers, indent=2) + "\n"


def write_best(
    path: Path,
    population: Population,
    fitness: Fitness,
    state: State,
    texts: Mapping[str, str | None],
) -> None:
    """Writes best/ of a run directory: the member with its card and lineage, and other texts.

    Args:
        path: the run directory.
        population: the run's population.
        fitness: the run's fitness.
        state: the run's state.
        texts: by the name of their file; None for no file.
    """

    # The folder is filled under another name and then renamed: best/ is never half a member.
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
    state = _newest_state(path, archive)
    genomes = alive(state)
    chosen = state.best.id
    if member is not None:
        chosen = member
    if chosen not in genomes:
        ids = ", ".join(map(str, sorted(genomes)))
        raise UserError(f"--member: {chosen} is not alive in {path}; there are {ids}")
    # Here it fails for want of a device; below, that would read as a failure to write.
    as_user_error("population", lambda: population.express(genomes[chosen]))
    answers = _answers_of(path, chosen)

    def fill(folder: Path) -> None:
        write_member(folder, path, population, fitness, state, chosen, answers)

    with saving(out):
        write_folder(out, fill)
    return chosen


def _newest_state(path: Path, archive: Archive) -> State:
    """The state of a run in its newest snapshot; its archive is like an empty one that is given."""
    _, data, tensors = read_snapshot(path)
    if "weights" in tensors:
        # The snapshot's are those that the run began with; the fitness is not asked again.
        competition = replace(archive.competition, weights=tensors["weights"].numpy())
        archive = replace(archive, competition=competition)
    return unpack(data["state"], tensors, archive)


def _answers_of(path: Path, member: int) -> str | None:
    """What a member answered on the test split, if it is the one whose answers the run has kept."""
    # Only the best is asked, when the run ends; it may be another one since.
    lineage, answers = path / "best" / LINEAGE, path / "best" / ANSWERS
    if not lineage.is_file() or not answers.is_file():
        return None
    first = json.loads(lineage.read_text(encoding="utf-8"))[0]
    if id_of(first) != member:
        return None
    return answers.read_text(encoding="utf-8")
