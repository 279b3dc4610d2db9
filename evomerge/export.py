"""What leaves a run: the best member, or another, with a card that says where it comes from; the run in numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge import recipe
from evomerge.archive import Archive
from evomerge.contracts import Genome, Population
from evomerge.errors import UserError, blame, reason
from evomerge.files import saving, write_folder
from evomerge.genome import Recipe
from evomerge.record import id_of
from evomerge.rundir import check_new, check_run, read_births, read_snapshot
from evomerge.snapshot import State, unpack
from evomerge.workers import Workers

log = logging.getLogger(__name__)

PICTURES = 40
"""How many wrong answers are kept with what they were asked."""


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


def write_best(path: Path, population: Population, state: State, texts: Mapping[str, str | None]) -> None:
    """Writes best/ of a run directory: the member, its card and lineage, and texts by the name of their file, None for no file."""

    def fill(folder: Path) -> None:
        write_member(folder, population, state.best.id, state.best.genome, read_births(path))
        for name, text in texts.items():
            if text is not None:
                (folder / name).write_text(text)

    write_folder(path / "best", fill)


def answers(workers: Workers, genome: Genome, size: int) -> str | None:
    """What a member answers on the test split, as JSON lines: its score at each of `size` datapoints, and what the fitness explains.

    Returns:
        None if that fails, with a warning; it may not cost the member.
    """
    datapoints = np.arange(size)
    try:
        scores, explained = workers.explain(genome, datapoints, "test")
        lost = set(np.flatnonzero(scores < 1)[:PICTURES].tolist())  # pictures of the first few of these
        lines = [
            {"datapoint": j, "score": float(scores[j])} | {k: v for k, v in entry.items() if k != "picture" or j in lost}
            for j, entry in enumerate(explained)
        ]
        return "".join(json.dumps(line, default=plain) + "\n" for line in lines)
    except Exception as error:
        log.warning("the answers of the best member are not kept: %s", reason(error))
        return None


def export(path: Path, out: Path, population: Population, archive: Archive, member: int | None = None) -> int:
    """Writes a member of a run, the best one if none is named, in the ecosystem's own format.

    Args:
        path: the run directory.
        out: the folder to make.
        population: the run's population.
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
    state = unpack(data["state"], tensors, archive)
    alive: dict[int, Genome] = {member.id: member.genome for member in state.archive.members}
    alive[state.best.id] = state.best.genome
    chosen = state.best.id if member is None else member
    if chosen not in alive:
        raise UserError(f"--member: {chosen} is not alive in {path}; there are {', '.join(map(str, sorted(alive)))}")
    blame("population", lambda: population.express(alive[chosen]))  # a device that is not here is no failure to write
    with saving(out):
        write_folder(out, lambda folder: write_member(folder, population, chosen, alive[chosen], read_births(path)))
    return chosen


def write_member(folder: Path, population: Population, id: int, genome: Genome, births: list[dict[str, Any]]) -> None:
    """Writes one member into a folder: its weights, its recipe if it is one, lineage.json, and README.md, its card."""
    population.save(genome, folder)
    if isinstance(genome, Recipe) and hasattr(population, "sources"):
        recipe.write(folder, population, genome)
    ancestors = lineage(id, births)
    (folder / "lineage.json").write_text(json.dumps(list(ancestors.values())) + "\n")
    (folder / "README.md").write_text(_card(id, population, genome, ancestors))


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


def _card(id: int, population: Population, genome: Genome, ancestors: Mapping[int, dict[str, Any]]) -> str:
    me = ancestors[id]
    alone = [entry for entry in ancestors.values() if not entry.get("parents") and "made" not in entry]
    founders = sum("founder" in entry for entry in alone)
    immigrants = f" and {len(alone) - founders} immigrants" if len(alone) > founders else ""
    between = len(ancestors) - len(alone) - bool(me.get("parents"))
    bred = f" from {founders} founder{'s' * (founders != 1)}{immigrants}, {between} ancestors between" if alone else ""
    scores = "".join(f"| {name} | {me[name]:.4f} |\n" for name in ("train", "validation", "test") if me.get(name) is not None)
    alone_as = "a founder" if "founder" in me else "what a search found" if "made" in me else "an immigrant"
    parents = ", ".join(map(str, me.get("parents", ()))) or f"none, it is {alone_as}"
    facts = population.card() if hasattr(population, "card") else {}
    head = f"---\n{yaml.safe_dump(dict(facts), sort_keys=False)}---\n" if facts else ""
    return f"""{head}# Member {id}

Bred with evomerge{bred}. Parents: {parents}.

| split | mean score |
|---|---|
{scores}
{_shares(genome, facts.get("base_model", ()))}Population: `{type(population).__module__}.{type(population).__qualname__}`. Every ancestor, with its parents, mixing ratios
and split points, is in `lineage.json`.
"""


def _shares(genome: Genome, seeds: Sequence[str]) -> str:
    """A table of the seeds, with the mean of each one's coefficients over all parameters, for a recipe over named seeds."""
    if not isinstance(genome, Recipe) or len(seeds) != genome.coefficients.shape[1]:
        return ""
    means = np.average(genome.coefficients, axis=0, weights=np.diff(genome.bounds))
    rows = "".join(f"| {seed} | {mean:.4f} |\n" for seed, mean in zip(seeds, means, strict=True))
    return f"| seed | mean coefficient |\n|---|---|\n{rows}\n"


def plain(value: Any) -> Any:
    """Numbers and arrays of numpy and torch as JSON has them; anything else as text."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
