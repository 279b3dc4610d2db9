"""The state of a run as plain data and tensors, which a snapshot stores, and back.

Scores and genomes are stored once by id, although members, views and plans share them. What a value
is as data stands beside how it is read again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Member, View
from evomerge.archives.competition import Competition
from evomerge.archives.tiling import Tiling
from evomerge.config.targets import import_path, path_of
from evomerge.contracts import Genome
from evomerge.errors import UserError
from evomerge.genome.crossover import Crossing
from evomerge.run.best import Best
from evomerge.run.state import COUNTERS, State
from evomerge.rundir.snapshots import BEST, best_rows
from evomerge.strategies.strategy import Birth
from evomerge.workers.job import Job

GENOME, TILING = "genome.", "tiling."
"""How the names of tensors begin: `genome.ID.FIELD`, `tiling.NUMBER`."""


def pack(state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """A state as JSON data and as torch tensors by name."""
    import torch

    jobs = list(state.jobs.values())
    # Births in flight were planned from archives as they were, of which members may be gone by now.
    views = _distinct(job.view for job in jobs if job.view is not None)
    tilings = _distinct([state.tiling, *(job.tiling for job in jobs)])
    members: dict[int, Member] = {}
    for view in (state.archive.view, *views):
        members |= {member.id: member for member in view.members}

    data = {
        "genome": path_of(type(state.best.genome)),
        "counters": {name: getattr(state, name) for name in COUNTERS},
        "archive": [member.id for member in state.archive.members],
        "members": [{"id": member.id, "parents": member.parents} for member in members.values()],
        "best": state.best.summary,
        "tilings": [_tiling_data(tiling) for tiling in tilings],
        "views": [_view_data(view) for view in views],
        "jobs": [_job_data(job, views) for job in jobs],
    }

    rows = np.stack([member.scores for member in members.values()])  # (N, D)
    tensors = {"scores": torch.from_numpy(rows)}
    for tiling in tilings:
        tensors[f"{TILING}{tiling.number}"] = torch.from_numpy(np.concatenate(tiling.tiles))
    # Nothing is resumed from the weights, but a report needs them to tell who is fit.
    if state.archive.competition.weights is not None:
        tensors["weights"] = torch.from_numpy(state.archive.competition.weights)
    for split, row in state.best.rows.items():
        tensors[BEST + split] = torch.from_numpy(row)
    for id, genome in _genomes(state).items():
        for name, tensor in genome.tensors().items():
            tensors[f"{GENOME}{id}.{name}"] = tensor
    return data, tensors


def unpack(data: Mapping[str, Any], tensors: Mapping[str, Any], archive: Archive) -> State:
    """The state that `pack` gave as data and tensors.

    Args:
        data: the JSON data.
        tensors: the tensors by name.
        archive: an empty archive of the run's size and competition.

    Raises:
        UserError: if the genomes' class is not there.
    """
    try:
        # An early version of evomerge had a colon before the class's name.
        kind = import_path(data["genome"].replace(":", "."))
    except ValueError as error:
        raise UserError(f"the genomes of the snapshot: {error}") from None
    genomes = _read_genomes(kind, tensors)
    members = {}
    for entry, row in zip(data["members"], tensors["scores"].numpy(), strict=True):
        id = entry["id"]
        members[id] = Member(id, tuple(entry["parents"]), genomes.get(id), row)

    tilings = {}
    for entry in data["tilings"]:
        order = tensors[f"{TILING}{entry['number']}"].numpy()  # (D,)
        tilings[entry["number"]] = _read_tiling(entry, order)
    views = [_read_view(entry, members, archive.competition) for entry in data["views"]]
    jobs = {}
    for entry in data["jobs"]:
        job = _read_job(entry, genomes, tilings, views)
        jobs[job.birth.number] = job

    best = Best(genome=genomes[data["best"]["id"]], **data["best"], rows=best_rows(tensors))
    archive = replace(archive, members=tuple(members[id] for id in data["archive"]))
    # The tiling that was cut last is the one for births that are still to be planned.
    return State(archive, best, tilings[max(tilings)], jobs=jobs, **data["counters"])


def _genomes(state: State) -> dict[int, Genome]:
    """The genomes that are needed to go on, by id: of members, the best, and births in flight."""
    genomes = {member.id: member.genome for member in state.archive.members}
    genomes[state.best.id] = state.best.genome
    for job in state.jobs.values():
        birth = job.birth
        if birth.made is not None:
            genomes[birth.number] = birth.made
        # Its parents may have left the archive since it was planned.
        else:
            genomes |= dict(zip(birth.parents, birth.genomes, strict=True))
    return genomes


def _read_genomes(kind: Any, tensors: Mapping[str, Any]) -> dict[int, Genome]:
    """What `_genomes` gave, by id.

    Args:
        kind: the genomes' class.
        tensors: all tensors of a snapshot by name.
    """
    parts: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith(GENOME):
            _, id, name = key.split(".", 2)
            parts.setdefault(int(id), {})[name] = tensor
    return {id: kind.from_tensors(part) for id, part in parts.items()}


def _tiling_data(tiling: Tiling) -> dict[str, Any]:
    return {"number": tiling.number, "sizes": [len(tile) for tile in tiling.tiles]}


def _read_tiling(entry: Mapping[str, Any], order: np.ndarray) -> Tiling:
    ends = np.cumsum(entry["sizes"])[:-1]
    return Tiling(entry["number"], tuple(np.split(order, ends)))


def _view_data(view: View) -> dict[str, Any]:
    return {"ids": [member.id for member in view.members], "full": view.full}


def _read_view(
    entry: Mapping[str, Any], members: Mapping[int, Member], competition: Competition
) -> View:
    present = tuple(members[id] for id in entry["ids"])
    scores = np.array([member.scores for member in present], dtype=np.float64)  # (N, D)
    return View(present, scores, competition, entry["full"])


def _job_data(job: Job, views: list[View]) -> dict[str, Any]:
    birth = job.birth
    crossing = view = None
    if birth.crossing is not None:
        crossing = asdict(birth.crossing)
    if job.view is not None:
        view = views.index(job.view)
    plan = {
        "number": birth.number,
        "parents": birth.parents,
        "crossing": crossing,
        "mutation": birth.mutation,
        "mutation_seed": birth.mutation_seed,
        "noise": birth.noise,
    }
    return {
        "birth": plan,
        "tiling": job.tiling.number,
        "view": view,
        "best": job.best,
    }


def _read_job(
    entry: Mapping[str, Any],
    genomes: Mapping[int, Genome],
    tilings: Mapping[int, Tiling],
    views: list[View],
) -> Job:
    plan = dict(entry["birth"])
    crossing = plan.pop("crossing")
    if crossing is not None:
        splits = tuple(tuple(points) for points in crossing["splits"])
        crossing = Crossing(tuple(crossing["ratios"]), splits, crossing["angle"])
    parents = tuple(plan.pop("parents"))
    # Nobody alive has the id of a birth in flight, so a genome of that id is the strategy's.
    made = genomes.get(plan["number"])
    if made is None:
        plan["genomes"] = tuple(genomes[id] for id in parents)
    birth = Birth(parents=parents, crossing=crossing, made=made, **plan)
    view = None
    if entry["view"] is not None:
        view = views[entry["view"]]
    return Job(birth, tilings[entry["tiling"]], view, entry["best"])


def _distinct(values: Iterable[Any]) -> list[Any]:
    """The values, each object once, in order."""
    return list({id(value): value for value in values}.values())
