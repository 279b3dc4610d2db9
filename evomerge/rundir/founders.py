"""founders.safetensors: what a run knows when it begins, and its report needs at its end.

The founders' scores at each datapoint, the datapoints' weights and groups, and what lies where on the parameter axis. A run goes on
without it, and what was run before there was such a file has a report, too.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from evomerge.files import saving, write_file
from evomerge.genome.groups import Stretch

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)

NAME = "founders.safetensors"
SCORES, WEIGHTS, GROUPS, ABOUT = "scores.", "weights.", "groups.", "about"


@dataclass(frozen=True, eq=False)
class Founding:
    """What is known when a run begins.

    Attributes:
        scores: by split (K, D) float32: each founder's at each datapoint.
        weights: by split (D,) float64; none where all datapoints weigh the same.
        groups: by split (D,) int64, the place in `names` of the group that a datapoint belongs to, -1 for none; none where the fitness
            has no groups. A datapoint of several groups belongs to the first.
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

        parts = ((SCORES, self.scores), (WEIGHTS, self.weights), (GROUPS, self.groups))
        tensors = {
            prefix + split: np.ascontiguousarray(rows)
            for prefix, part in parts
            for split, rows in part.items()
        }
        about = json.dumps({"groups": self.names, "axis": self.stretches})
        with saving(path):
            write_file(path / NAME, save(tensors, metadata={ABOUT: about}))

    @classmethod
    def read(cls, path: Path) -> Founding | None:
        """What `keep` wrote into a run directory; None if there is nothing, or, with a warning, if it cannot be read."""
        from safetensors import SafetensorError, safe_open

        if not (path / NAME).is_file():
            return None
        try:
            with safe_open(path / NAME, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                about = json.loads(file.metadata()[ABOUT])
            scores, weights, groups = (
                {
                    name.removeprefix(prefix): rows
                    for name, rows in tensors.items()
                    if name.startswith(prefix)
                }
                for prefix in (SCORES, WEIGHTS, GROUPS)
            )
            return cls(
                scores,
                weights,
                groups,
                tuple(about["groups"]),
                tuple(Stretch(*stretch) for stretch in about["axis"]),
            )
        except (OSError, SafetensorError, ValueError, LookupError, TypeError) as error:
            log.warning(
                "%s cannot be read (%s); the report has no scores of the founders by datapoint",
                path / NAME,
                error,
            )
            return None


def differing(best: np.ndarray, founders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The datapoints that the best solves and no founder does, and those that some founder solves and the best does not.

    Args:
        best: (D,) its scores.
        founders: (K, D) theirs.

    Returns:
        Indices of both, where the difference is greatest first.
    """
    ahead = founders.max(axis=0)
    margin = np.abs(best - ahead)
    of = ((best >= SOLVED) & (ahead < SOLVED), (best < SOLVED) & (ahead >= SOLVED))
    won, lost = (np.flatnonzero(mask)[np.argsort(-margin[mask], kind="stable")] for mask in of)
    return won, lost


SOLVED = 0.5
"""A datapoint is solved from this score on."""
