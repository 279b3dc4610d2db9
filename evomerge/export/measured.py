"""What a member scored, for its card: means, of groups too, and how far they can be trusted."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from evomerge.config.labels import titled
from evomerge.contracts import Fitness
from evomerge.datapoints import SPLITS, WATCHED, groups_of, weights_of
from evomerge.errors import Interrupted, UserError
from evomerge.intervals import interval

log = logging.getLogger(__name__)

GROUPS = 32
"""Most groups that are listed one by one."""

Row: TypeAlias = tuple[np.ndarray, np.ndarray]
"""(D,) scores, and (D,) weights."""


@dataclass(frozen=True)
class Score:
    """A mean score.

    Attributes:
        split: "train", "validation" or "test"; "watched" of what counts in no mean.
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
        fitness: the run's fitness. It is asked for weights and groups of the test datapoints, if
            their scores are known.
        call: the same as config.yaml has it.
    """
    test_row = _with_weights(test, fitness)
    rows = {"train": train, "test": test_row}
    scores = []
    for split in SPLITS:
        if entry.get(split) is None:
            continue
        # Of the validation split, no scores by datapoint are at hand.
        row = rows.get(split)
        if row is None:
            scores.append(Score(split, entry[split]))
        else:
            scores.append(Score(split, entry[split], len(row[0]), interval(*row)))
    if test_row is not None and entry.get("test") is not None:
        scores += _by_group(*test_row, fitness, call)
    # Only who was best was scored on what is watched.
    for name, value in entry.get(WATCHED, {}).items():
        scores.append(Score(WATCHED, value, group=titled(name, call)))
    return scores


def _by_group(row: np.ndarray, weights: np.ndarray, fitness: Fitness, call: Any) -> list[Score]:
    """The scores on each group of test datapoints; none where there are too many groups.

    Args:
        row: (D,) scores.
        weights: (D,) weights.
        fitness: says which groups there are.
        call: the same as config.yaml has it, which names the parts of a combined fitness.
    """
    groups = groups_of(fitness, "test", len(row))
    if len(groups) > GROUPS:
        return []
    scores = []
    for name, places in groups.items():
        # A mean over nothing is no number.
        if not len(places):
            continue
        own_scores, own_weights = row[places], weights[places]  # (n,)
        score = Score(
            split="test",
            value=float(np.average(own_scores, weights=own_weights)),
            datapoints=len(own_scores),
            interval=interval(own_scores, own_weights),
            group=titled(name, call),
        )
        scores.append(score)
    return scores


def _with_weights(row: np.ndarray | None, fitness: Fitness) -> Row | None:
    """(D,) scores at each test datapoint, and (D,) weights; None where these are not known."""
    if row is None:
        return None
    # What fails here may not cost the member; the data may be others by now than were scored.
    try:
        weights = weights_of(fitness, "test", len(row))
    except (UserError, Interrupted) as error:
        log.warning("the card has no intervals of test scores: %s", error)
        return None
    if weights is None:
        weights = np.ones(len(row))
    return row, weights
