"""founders.safetensors: what a run knows when it begins, and its report needs at its end.

It has the founders' scores at each datapoint, the datapoints' weights and groups, and what lies
where on the parameter axis. A run goes on without it, and has a report without it, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from evomerge.files import saving, write_file
from evomerge.genome.groups import Stretch
from evomerge.rundir.places import FOUNDERS

SCORES = "scores."
"""What the names of the tensors of scores begin with; the split follows."""

WEIGHTS = "weights."
"""Likewise, of the datapoints' weights."""

GROUPS = "groups."
"""Likewise, of the datapoints' groups."""

ABOUT = "about"
"""The key of the metadata that has what is no array, as JSON."""

SOLVED = 0.5
"""A datapoint is solved from this score on."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Founding:
    """What is known when a run begins.

    Attributes:
        scores: by split (K, D) float32: each founder's at each datapoint.
        weights: by split (D,) float64; none where all datapoints weigh the same.
        groups: by split (D,) int64, the place in `names` of the group that a datapoint belongs to,
            -1 for none; none where the fitness has no groups. A datapoint of several groups
            belongs to the first.
        names: of the groups.
        stretches: the whole axis, in order.
    """

    scores: Mapping[str, np.ndarray]
    weights: Mapping[str, np.ndarray] = field(default_factory=dict)
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] = ()
    stretches: tuple[Stretch, ...] = ()

    def keep(self, path: Path) -> None:
        """Writes founders.safetensors into a run directory.

        Raises:
            Interrupted: if the system refuses to write.
        """
        from safetensors.numpy import save

        tensors = {}
        parts = ((SCORES, self.scores), (WEIGHTS, self.weights), (GROUPS, self.groups))
        for prefix, rows_by_split in parts:
            for split, rows in rows_by_split.items():
                # safetensors writes an array's memory as it lies there.
                tensors[prefix + split] = np.ascontiguousarray(rows)
        about = json.dumps({"groups": self.names, "axis": self.stretches})
        with saving(path):
            write_file(path / FOUNDERS, save(tensors, metadata={ABOUT: about}))

    @classmethod
    def read(cls, path: Path) -> Founding | None:
        """What `keep` wrote into a run directory.

        Returns:
            None if there is nothing, or, with a warning, if it cannot be read.
        """
        from safetensors import SafetensorError

        file = path / FOUNDERS
        if not file.is_file():
            return None
        try:
            return cls._parsed(file)
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            log.warning(
                "%s cannot be read (%s); the report has no scores of the founders by datapoint",
                file,
                error,
            )
            return None

    @classmethod
    def _parsed(cls, path: Path) -> Founding:
        """What a file has.

        Raises:
            OSError, SafetensorError, ValueError, LookupError, TypeError: if it is damaged.
        """
        from safetensors import safe_open

        with safe_open(path, framework="numpy") as file:
            # The file is no mapping, it only has its keys.
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            about = json.loads(file.metadata()[ABOUT])
        return cls(
            scores=_by_split(tensors, SCORES),
            weights=_by_split(tensors, WEIGHTS),
            groups=_by_split(tensors, GROUPS),
            names=tuple(about["groups"]),
            stretches=tuple(Stretch(*stretch) for stretch in about["axis"]),
        )


def differing(best: np.ndarray, founders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The datapoints that only the best solves, and those that only founders solve.

    Args:
        best: (D,) its scores.
        founders: (K, D) theirs.

    Returns:
        Indices of both, where the difference is greatest first.
    """
    ahead = founders.max(axis=0)  # (D,)
    margin = np.abs(best - ahead)  # (D,)
    # Scores need not be 0 and 1, so a datapoint is solved or not by a threshold.
    won = (best >= SOLVED) & (ahead < SOLVED)  # (D,)
    lost = (best < SOLVED) & (ahead >= SOLVED)  # (D,)
    return _by_margin(won, margin), _by_margin(lost, margin)


def _by_margin(chosen: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Indices of chosen datapoints, by how great the difference is there; ties stay in order."""
    order = np.argsort(-margin[chosen], kind="stable")
    return np.flatnonzero(chosen)[order]


def _by_split(tensors: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """Tensors whose names begin with a prefix, by the rest of their names."""
    rows = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            rows[name.removeprefix(prefix)] = tensor
    return rows
