"""What a member scored, for its card: means on each split, on groups of test datapoints, and how far they can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.config.labels import titled
from evomerge.contracts import Fitness, Weighted
from evomerge.datapoints import groups_of
from evomerge.errors import reason
from evomerge.intervals import interval

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")

Row = tuple[np.ndarray, np.ndarray]
"""(D,) scores, and (D,) weights."""

GROUPS = 32
"""Most groups that are told one by one."""


@dataclass(frozen=True)
class Score:
    """A mean score.

    Attributes:
        split: "train", "validation" or "test".
        value: the mean.
        datapoints: over how many, None if that is not known.
        interval: its 95 % interval over datapoints, None if their scores are not known.
        group: the datapoints that it is the mean of, None if it is all of the split.
    """

    split: str
    value: float
    datapoints: int | None = None
    interval: tuple[float, float] | None = None
    group: str | None = None


def measured(
    entry: Mapping[str, Any],
    train: Row | None,
    test: np.ndarray | None,
    fitness: Fitness,
    call: Any,
) -> list[Score]:
    """The scores of a member.

    Args:
        entry: the log's line of it.
        train: (D,) its scores at each training datapoint and (D,) their weights, if they are known.
        test: (D,) its scores at each test datapoint, if they are known.
        fitness: the run's fitness, which is asked for weights and groups of the test datapoints, if their scores are known.
        call: the same as config.yaml has it.
    """
    weights = None if test is None else _weights(fitness, "test", len(test))
    rows = {"train": train, "test": None if test is None or weights is None else (test, weights)}
    scores = []
    for split in (split for split in SPLITS if entry.get(split) is not None):
        row = rows.get(split)
        if row is None:
            scores.append(Score(split, entry[split]))
        else:
            scores.append(Score(split, entry[split], len(row[0]), interval(*row)))
    row = rows["test"] if entry.get("test") is not None else None
    return scores if row is None else scores + _by_group(*row, fitness, call)


def _by_group(row: np.ndarray, weights: np.ndarray, fitness: Fitness, call: Any) -> list[Score]:
    """The scores on each group of test datapoints; on the parts of a combined fitness by their names."""
    groups = groups_of(fitness, "test", len(row))
    scores = []
    for name, places in groups.items() if len(groups) <= GROUPS else ():
        if len(places):
            of, w = row[places], weights[places]
            scores.append(
                Score(
                    "test",
                    float(np.average(of, weights=w)),
                    len(of),
                    interval(of, w),
                    titled(name, call),
                )
            )
    return scores


def _weights(fitness: Fitness, split: str, size: int) -> np.ndarray | None:
    """(D,) weights of a split's datapoints; None where the fitness does not tell those of as many."""
    if not isinstance(fitness, Weighted):
        return np.ones(size)
    try:
        weights = np.asarray(fitness.weights(split), dtype=np.float64)
    except Exception as error:  # which may not cost the member
        log.warning("weights(%r) of the fitness are not told: %s", split, reason(error))
        return None
    return weights if weights.shape == (size,) else None
