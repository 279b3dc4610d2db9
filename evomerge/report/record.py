"""What the files of a run directory say, as one value: what a report is drawn from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge.errors import UserError
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
        gallery: what members show of themselves, by id (`evomerge.report.sections.gallery`).
        founding: what is known of its beginning, if that was kept.
        best_rows: by split (D,) the scores of who was best in the newest snapshot.
        recipe: the best member's, if it is one (`evomerge.export.recipe_file`).
        changes: where the best and the founders differ (`evomerge.report.sections.changes`).
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
        """Reads a run directory, of a run that has ended or not."""
        log = readable(read_births(path))
        config = (path / "config.yaml").read_text(encoding="utf-8")
        founders = [entry for entry in log if "founder" in entry]
        bests = [id_of(entry) for entry in log if entry.get("best")]
        counters, alive, scores, weights, of_best = {}, [], np.zeros((0, 0)), None, {}
        try:
            _, data, tensors = read_snapshot(path)
        except UserError:  # killed before the first one
            pass
        else:
            state = data["state"]
            rows = {
                member["id"]: row
                for member, row in zip(state["members"], tensors["scores"].numpy(), strict=True)
            }
            counters, alive = state["counters"], state["archive"]
            scores = np.array([rows[id] for id in alive], dtype=np.float64)
            weights = tensors["weights"].numpy() if "weights" in tensors else None
            if bests and state["best"]["id"] == bests[-1]:
                of_best = best_rows(tensors)
        numbers, lineage = (
            _read(path / "summary.json", {}),
            _read(path / "best" / "lineage.json", []),
        )
        founding = Founding.read(path)
        if founding is not None and len(founding.scores.get("train", ())) != len(
            founders
        ):  # not this log's
            founding = None
        call = readable(yaml.safe_load(config))
        return cls(
            readable(path.resolve().name),
            founders,
            [entry for entry in log if "founder" not in entry],
            config,
            call if isinstance(call, dict) else {},
            counters,
            alive,
            scores,
            weights,
            numbers.get("births"),
            numbers.get("workers", {}),
            _lines(path / "best" / ANSWERS),
            id_of(lineage[0]) if lineage else None,
            {
                int(file.stem): readable(json.loads(file.read_text(encoding="utf-8")))
                for file in (path / GALLERY).glob("*.json")
                if file.stem.lstrip("-").isdigit()
            },
            founding,
            of_best,
            _read(path / "best" / "recipe.json", None),
            _lines(path / "best" / CHANGES),
        )

    @cached_property
    def bests(self) -> list[dict[str, Any]]:
        """The log's lines of those that were best when they were born."""
        return [entry for entry in (*self.founders, *self.births) if entry.get("best")]

    @property
    def answers_are_of_the_best(self) -> bool:
        """Whether what is in best/ is the member that the log has as the best."""
        return bool(self.bests) and self.answered_by == id_of(self.bests[-1])

    @property
    def strategy(self) -> dict[str, Any]:
        """The settings of its strategy, as far as config.yaml has them."""
        strategy = self.call.get("strategy")
        return strategy if isinstance(strategy, dict) else {}

    @property
    def competes(self) -> bool:
        """Whether who is least fit has to leave."""
        return str(self.strategy.get("_target_", "NaturalNiches")).endswith("NaturalNiches")

    def label(self, id: int) -> str:
        """A member's name."""
        return self._labels.get(id, str(id))

    @cached_property
    def alone(self) -> set[int]:
        """The ids of those without parents: founders and immigrants, but not what a search made."""
        return {
            id_of(entry)
            for entry in (*self.founders, *self.births)
            if not entry.get("parents") and not entry.get("made")
        }

    @cached_property
    def _labels(self) -> dict[int, str]:
        immigrants = {id: f"immigrant {id}" for id in self.alone}
        names = self.seeds or [f"founder {entry['founder']}" for entry in self.founders]
        return immigrants | {
            entry["id"]: name for entry, name in zip(self.founders, names, strict=True)
        }

    @cached_property
    def seeds(self) -> list[str]:
        """What the founders are called where the config names a seed for each: the last parts of its path that tell it apart."""
        population = self.call.get("population")
        seeds = population.get("seeds") if isinstance(population, dict) else None
        if (
            not isinstance(seeds, list)
            or len(seeds) != len(self.founders)
            or not all(isinstance(seed, str) for seed in seeds)
        ):
            return []
        parts = [seed.removesuffix(".safetensors").strip("/").split("/") for seed in seeds]
        deepest = max(map(len, parts))
        kept = next(
            (n for n in range(1, deepest) if len({tuple(of[-n:]) for of in parts}) == len(parts)),
            deepest,
        )
        return ["/".join(of[-kept:]) for of in parts]


def _read(path: Path, default: Any) -> Any:
    """A JSON file; the default where there is none."""
    return readable(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else default


def _lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines; none where there is no file."""
    return (
        [readable(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()]
        if path.is_file()
        else []
    )
