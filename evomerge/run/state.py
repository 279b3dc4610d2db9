"""The state of a run as one value, and that value as plain data and tensors: what a snapshot stores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Competition, Member, Tiling, View
from evomerge.config.targets import import_path, path_of
from evomerge.contracts import Genome
from evomerge.genome.crossover import Crossing
from evomerge.rundir.snapshots import BEST, best_rows
from evomerge.strategies.strategy import Birth
from evomerge.workers.job import Job


@dataclass(frozen=True, eq=False)
class Best:
    """The best child so far.

    Attributes:
        id: its birth number.
        genome: what rebuilds it.
        train: its mean score on the training split.
        validation: on the validation split, if the run has one: what it is chosen by.
        test: on the test split, if there is one.
        rows: by split (D,) float32, its score at each datapoint, where they are known.
    """

    id: int
    genome: Genome
    train: float
    validation: float | None = None
    test: float | None = None
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def chosen_by(self) -> float:
        """The mean score that another child has to exceed."""
        return self.train if self.validation is None else self.validation

    @property
    def other_scores(self) -> dict[str, float]:
        """Mean scores on the splits that the run has besides the training split."""
        scores = {"validation": self.validation, "test": self.test}
        return {name: score for name, score in scores.items() if score is not None}


@dataclass
class State:
    """All that a run is between two births.

    Attributes:
        archive: the members alive.
        best: the best child so far.
        tiling: how births planned from now on are scored.
        decided: number of the last birth that was admitted, rejected or failed.
        jobs: births in flight, by number.
        since_best: births since best changed.
        failures: births that failed.
        failed_in_row: births that failed since the last that did not.
        scored: sum over births of the share of datapoints that was scored.
        seconds: time that the run has taken.
        memory: most bytes that the process which leads the run had in memory.
    """

    archive: Archive
    best: Best
    tiling: Tiling
    decided: int = 0
    jobs: dict[int, Job] = field(default_factory=dict)
    since_best: int = 0
    failures: int = 0
    failed_in_row: int = 0
    scored: float = 0.0
    seconds: float = 0.0
    memory: int = 0


COUNTERS = ("decided", "since_best", "failures", "failed_in_row", "scored", "seconds", "memory")


def pack(state: State) -> tuple[dict[str, Any], dict[str, Any]]:
    """A state as JSON data and as torch tensors by name.

    Scores and genomes are stored once by id, although members, views and plans share them.
    """
    import torch

    views = _distinct(job.view for job in state.jobs.values() if job.view is not None)
    tilings = _distinct([state.tiling, *(job.tiling for job in state.jobs.values())])
    members = {
        member.id: member for view in (state.archive.view, *views) for member in view.members
    }
    genomes = {member.id: member.genome for member in state.archive.members}
    genomes[state.best.id] = state.best.genome
    for birth in (job.birth for job in state.jobs.values()):
        genomes |= (
            dict(zip(birth.parents, birth.genomes, strict=True))
            if birth.made is None
            else {birth.number: birth.made}
        )
    data = {
        "genome": path_of(type(state.best.genome)),
        "counters": {name: getattr(state, name) for name in COUNTERS},
        "archive": [member.id for member in state.archive.members],
        "members": [{"id": member.id, "parents": member.parents} for member in members.values()],
        "best": {name: getattr(state.best, name) for name in ("id", "train", "validation", "test")},
        "tilings": [
            {"number": tiling.number, "sizes": [len(tile) for tile in tiling.tiles]}
            for tiling in tilings
        ],
        "views": [
            {"ids": [member.id for member in view.members], "full": view.full} for view in views
        ],
        "jobs": [
            {
                "birth": {
                    "number": job.birth.number,
                    "parents": job.birth.parents,
                    "crossing": None if job.birth.crossing is None else asdict(job.birth.crossing),
                    "mutation": job.birth.mutation,
                    "mutation_seed": job.birth.mutation_seed,
                    "noise": job.birth.noise,
                },
                "tiling": job.tiling.number,
                "view": None if job.view is None else views.index(job.view),
                "best": job.best,
            }
            for job in state.jobs.values()
        ],
    }
    tensors = {"scores": torch.from_numpy(np.stack([member.scores for member in members.values()]))}
    tensors |= {
        f"tiling.{tiling.number}": torch.from_numpy(np.concatenate(tiling.tiles))
        for tiling in tilings
    }
    if (
        state.archive.competition.weights is not None
    ):  # not to resume from, but so that a report can tell who is fit
        tensors["weights"] = torch.from_numpy(state.archive.competition.weights)
    tensors |= {BEST + split: torch.from_numpy(row) for split, row in state.best.rows.items()}
    for id, genome in genomes.items():
        tensors |= {f"genome.{id}.{name}": tensor for name, tensor in genome.tensors().items()}
    return data, tensors


def unpack(data: Mapping[str, Any], tensors: Mapping[str, Any], archive: Archive) -> State:
    """The state that `pack` gave as data and tensors.

    Args:
        data: the JSON data.
        tensors: the tensors by name.
        archive: an empty archive of the run's size and competition.
    """
    kind = import_path(data["genome"])
    parts: dict[int, dict[str, Any]] = {}
    for key, tensor in tensors.items():
        if key.startswith("genome."):
            _, id, field_name = key.split(".", 2)
            parts.setdefault(int(id), {})[field_name] = tensor
    genomes = {id: kind.from_tensors(part) for id, part in parts.items()}
    rows = tensors["scores"].numpy()
    members = {
        entry["id"]: Member(entry["id"], tuple(entry["parents"]), genomes.get(entry["id"]), row)
        for entry, row in zip(data["members"], rows, strict=True)
    }
    tilings = {}
    for entry in data["tilings"]:
        edges = np.cumsum(entry["sizes"])[:-1]
        tiles = np.split(tensors[f"tiling.{entry['number']}"].numpy(), edges)
        tilings[entry["number"]] = Tiling(entry["number"], tuple(tiles))
    views = [
        _view([members[id] for id in entry["ids"]], archive.competition, entry["full"])
        for entry in data["views"]
    ]
    jobs = {}
    for entry in data["jobs"]:
        plan = dict(entry["birth"])
        crossing = plan.pop("crossing")
        if crossing is not None:
            splits = tuple(tuple(points) for points in crossing["splits"])
            crossing = Crossing(tuple(crossing["ratios"]), splits, crossing["angle"])
        parents, made = (
            tuple(plan.pop("parents")),
            genomes.get(plan["number"]),
        )  # nobody else has that id yet
        plan["genomes"] = () if made is not None else tuple(genomes[id] for id in parents)
        birth = Birth(parents=parents, crossing=crossing, made=made, **plan)
        view = None if entry["view"] is None else views[entry["view"]]
        jobs[birth.number] = Job(birth, tilings[entry["tiling"]], view, entry["best"])
    best = Best(genome=genomes[data["best"]["id"]], **data["best"], rows=best_rows(tensors))
    archive = replace(archive, members=tuple(members[id] for id in data["archive"]))
    return State(archive, best, tilings[max(tilings)], jobs=jobs, **data["counters"])


def _view(members: list[Member], competition: Competition, full: bool) -> View:
    return View(
        tuple(members),
        np.array([member.scores for member in members], dtype=np.float64),
        competition,
        full,
    )


def _distinct(values: Iterable[Any]) -> list[Any]:
    """The values, each object once, in order."""
    return list({id(value): value for value in values}.values())
