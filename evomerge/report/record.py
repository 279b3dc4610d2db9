"""What the files of a run directory say, as one value: what a report is drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge.errors import UserError
from evomerge.genome.groups import Stretch
from evomerge.report.names import founder_names
from evomerge.rundir.births import id_of, read_births
from evomerge.rundir.founders import Founding
from evomerge.rundir.places import ANSWERS, CHANGES, GALLERY
from evomerge.rundir.snapshots import best_rows, read_snapshot
from evomerge.words import readable


@dataclass(frozen=True)
class Record:
    """What the files of a run directory say.

    Attributes:
        name: of the directory.
        founders: the log's lines of the founders.
        births: the log's lines of the births.
        config: text of config.yaml.
        call: the same as data.
        counters: of the newest snapshot; none if there is no snapshot.
        alive: ids of the members alive then.
        scores: (N, D) their scores.
        weights: (D,) of the datapoints, None if all are one.
        ended: how many births it had when it ended, None if it has not.
        workers: what they said of themselves then, if they are of a kind that does.
        answers: what the best member answered on the test split.
        answered_by: that member's id.
        gallery: what members make of a few datapoints, by id (`evomerge.run.kept.keep`).
        founding: what is known of its beginning, if that was kept.
        best_rows: by split (D,) the scores of who was best in the newest snapshot.
        recipe: the best member's, if it is one (`evomerge.export.recipe_file`).
        changes: where the best and the founders differ (`evomerge.run.kept.explained`).
    """

    name: str
    founders: list[dict[str, Any]]
    births: list[dict[str, Any]]
    config: str
    call: dict[str, Any]
    counters: dict[str, Any]
    alive: list[int]
    scores: np.ndarray
    weights: np.ndarray | None
    ended: int | None
    workers: dict[str, Any]
    answers: list[dict[str, Any]]
    answered_by: int | None
    gallery: dict[int, list[dict[str, Any]]]
    founding: Founding | None
    best_rows: dict[str, np.ndarray]
    recipe: dict[str, Any] | None
    changes: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Record:
        """Reads a run directory, of a run that has ended or not.

        Raises:
            FileNotFoundError: if it has no log or no config.
        """
        # All text goes through `readable`: one half of a character would make the page no UTF-8.
        log = readable(read_births(path))
        founders = [entry for entry in log if "founder" in entry]
        config = (path / "config.yaml").read_text(encoding="utf-8")
        call = readable(yaml.safe_load(config))
        snapshot = _Snapshot.read(path)
        summary = _data(path / "summary.json", {})
        return cls(
            name=readable(path.resolve().name),
            founders=founders,
            births=[entry for entry in log if "founder" not in entry],
            config=config,
            call=_as_dict(call),
            counters=snapshot.counters,
            alive=snapshot.alive,
            scores=snapshot.scores,
            weights=snapshot.weights,
            ended=summary.get("births"),
            workers=summary.get("workers", {}),
            answers=_lines(path / "best" / ANSWERS),
            answered_by=_member_in(path / "best"),
            gallery=_gallery(path / GALLERY),
            founding=_founding(path, len(founders)),
            best_rows=snapshot.rows_of_the_best(log),
            recipe=_data(path / "best" / "recipe.json", None),
            changes=_lines(path / "best" / CHANGES),
        )

    @cached_property
    def by_id(self) -> dict[int, dict[str, Any]]:
        """The log's lines of founders and births, by the member's id."""
        return {id_of(entry): entry for entry in (*self.founders, *self.births)}

    @cached_property
    def bests(self) -> list[dict[str, Any]]:
        """The log's lines of those that were best when they were born."""
        return [entry for entry in (*self.founders, *self.births) if entry.get("best")]

    @cached_property
    def alone(self) -> set[int]:
        """The ids of those without parents: founders and immigrants, but not what a search made."""
        ids = set()
        for id, entry in self.by_id.items():
            if not entry.get("parents") and not entry.get("made"):
                ids.add(id)
        return ids

    @property
    def stretches(self) -> Sequence[Stretch]:
        """What lies where on the parameter axis, in order; nothing where that was not kept."""
        if self.founding is None:
            return ()
        return self.founding.stretches

    @property
    def answers_are_of_the_best(self) -> bool:
        """Whether what is in best/ is the member that the log has as the best."""
        return bool(self.bests) and self.answered_by == id_of(self.bests[-1])

    @property
    def strategy(self) -> dict[str, Any]:
        """The settings of its strategy, as far as config.yaml has them."""
        return _as_dict(self.call.get("strategy"))

    @property
    def competes(self) -> bool:
        """Whether who is least fit has to leave."""
        return str(self.strategy.get("_target_", "NaturalNiches")).endswith("NaturalNiches")

    def label(self, id: int) -> str:
        """A member's name."""
        return self._labels.get(id, str(id))

    @cached_property
    def _labels(self) -> dict[int, str]:
        # A founder has no parents either; its own name comes last, and stays.
        labels = {id: f"immigrant {id}" for id in self.alone}
        names = founder_names(self.call, self.founders)
        for entry, name in zip(self.founders, names, strict=True):
            labels[entry["id"]] = name
        return labels


@dataclass(frozen=True, eq=False)
class _Snapshot:
    """The newest snapshot, as far as a report needs it; what it is without one is the default.

    Attributes:
        counters: the run's numbers.
        alive: ids of the members alive.
        scores: (N, D) their scores.
        weights: (D,) of the datapoints, None if all are one.
        best: the id of who is best.
        best_rows: by split (D,) its scores.
    """

    counters: dict[str, Any] = field(default_factory=dict)
    alive: list[int] = field(default_factory=list)
    scores: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    weights: np.ndarray | None = None
    best: int | None = None
    best_rows: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> _Snapshot:
        """The newest one in a run directory."""
        try:
            _, data, tensors = read_snapshot(path)
        except UserError:
            # The run was killed before the first one.
            return cls()
        # Some who have left have rows there, too: births in flight were planned from them.
        state = data["state"]
        rows = {}
        for member, scores in zip(state["members"], tensors["scores"].numpy(), strict=True):
            rows[member["id"]] = scores
        alive = state["archive"]
        weights = None
        if "weights" in tensors:
            weights = tensors["weights"].numpy()
        return cls(
            counters=state["counters"],
            alive=alive,
            scores=np.array([rows[id] for id in alive], dtype=np.float64),
            weights=weights,
            best=state["best"]["id"],
            best_rows=best_rows(tensors),
        )

    def rows_of_the_best(self, log: Sequence[Mapping[str, Any]]) -> dict[str, np.ndarray]:
        """By split (D,) the scores of who is best in a log; none where it became so later."""
        # Rows of one that was best earlier would stand beside the numbers of another.
        bests = [id_of(entry) for entry in log if entry.get("best")]
        if not bests or bests[-1] != self.best:
            return {}
        return self.best_rows


def _as_dict(value: Any) -> dict[str, Any]:
    """A part of a config; nothing where somebody has written something else in its place."""
    if isinstance(value, dict):
        return value
    return {}


def _member_in(folder: Path) -> int | None:
    """The id of the member that is in a folder, as its lineage has it first; None if none is."""
    lineage = _data(folder / "lineage.json", [])
    if not lineage:
        return None
    return id_of(lineage[0])


def _founding(path: Path, founders: int) -> Founding | None:
    """What is known of a run's beginning, if it is of as many founders as the log has."""
    # The file may be of other founders, where a directory was copied over another.
    founding = Founding.read(path)
    if founding is not None and len(founding.scores.get("train", ())) != founders:
        return None
    return founding


def _gallery(folder: Path) -> dict[int, list[dict[str, Any]]]:
    """What each member makes of a few datapoints, by its id, which is the name of its file."""
    shown = {}
    for file in folder.glob("*.json"):
        # Somebody may have put another file there. Ids of founders are not above 0.
        if file.stem.lstrip("-").isdigit():
            shown[int(file.stem)] = _data(file, [])
    return shown


def _data(path: Path, default: Any) -> Any:
    """A JSON file; the default where there is none."""
    if not path.is_file():
        return default
    return readable(json.loads(path.read_text(encoding="utf-8")))


def _lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines; none where there is no file."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    return [readable(json.loads(line)) for line in lines]
