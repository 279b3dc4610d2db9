"""What the files of a run directory say, as one value: what a report is drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from evomerge.errors import UserError
from evomerge.rundir import read_births, read_snapshot

GALLERY = "gallery"
"""The folder in which members show themselves, a file each."""


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
        gallery: what members show of themselves, by id (`evomerge.gallery`).
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

    @classmethod
    def read(cls, path: Path) -> Record:
        """Reads a run directory, of a run that has ended or not."""
        log = read_births(path)
        config = (path / "config.yaml").read_text()
        counters, alive, scores, weights = {}, [], np.zeros((0, 0)), None
        try:
            _, data, tensors = read_snapshot(path)
        except UserError:  # killed before the first one
            pass
        else:
            state = data["state"]
            rows = {member["id"]: row for member, row in zip(state["members"], tensors["scores"].numpy(), strict=True)}
            counters, alive = state["counters"], state["archive"]
            scores = np.array([rows[id] for id in alive], dtype=np.float64)
            weights = tensors["weights"].numpy() if "weights" in tensors else None
        summary, answers, line = (path / name for name in ("summary.json", "best/test.jsonl", "best/lineage.json"))
        numbers = json.loads(summary.read_text()) if summary.is_file() else {}
        lineage = json.loads(line.read_text()) if line.is_file() else []
        call = yaml.safe_load(config)
        return cls(
            path.resolve().name,
            [entry for entry in log if "founder" in entry],
            [entry for entry in log if "founder" not in entry],
            config,
            call if isinstance(call, dict) else {},
            counters,
            alive,
            scores,
            weights,
            numbers.get("births"),
            numbers.get("workers", {}),
            [json.loads(entry) for entry in answers.read_text().splitlines()] if answers.is_file() else [],
            id_of(lineage[0]) if lineage else None,
            {
                int(file.stem): json.loads(file.read_text())
                for file in (path / GALLERY).glob("*.json")
                if file.stem.lstrip("-").isdigit()
            },
        )

    @cached_property
    def bests(self) -> list[dict[str, Any]]:
        """The log's lines of those that were best when they were born."""
        return [entry for entry in (*self.founders, *self.births) if entry.get("best")]

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
        return {id_of(entry) for entry in (*self.founders, *self.births) if not entry.get("parents") and not entry.get("made")}

    @cached_property
    def _labels(self) -> dict[int, str]:
        immigrants = {id: f"immigrant {id}" for id in self.alone}
        return immigrants | {entry["id"]: f"founder {entry['founder']}" for entry in self.founders}


def id_of(entry: Mapping[str, Any]) -> int:
    """The id of the member that a line of the log is about."""
    return int(entry.get("id", entry["birth"]))
