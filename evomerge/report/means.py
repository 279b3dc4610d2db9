"""Mean scores of the best and of founders, with their 95 % intervals where these are known."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from evomerge.config.labels import titled
from evomerge.intervals import Mean, interval
from evomerge.report.record import Record


class MeanScore(NamedTuple):
    """A mean score, and its 95 % interval if that is known."""

    value: float
    interval: tuple[float, float] | None = None


class Lead(NamedTuple):
    """How far one is above another, and half of its 95 % interval if that is known."""

    value: float
    half: float | None = None


def mean_score(run: Record, entry: Mapping[str, Any], split: str) -> MeanScore:
    """The mean score of a founder or of the best on a split."""
    row, weights = row_of(run, entry, split), _weights(run, split)
    # The mean is in the log, even where its row was not kept.
    if row is None:
        return MeanScore(entry.get(split, math.nan))
    if weights is None:
        weights = np.ones(len(row))  # (D,)
    return MeanScore(entry[split], interval(row.astype(np.float64), weights))


def lead(run: Record, split: str, founders: Sequence[Mapping[str, Any]]) -> Lead:
    """How far the best is above the founder that is highest on a split.

    It is taken datapoint by datapoint, where both are known that well: what is hard for the one is
    hard for the other, and so the interval is narrower.
    """
    # Split by split, another founder may be the highest one.
    best = run.bests[-1]
    highest = max(founders, key=lambda entry: entry.get(split, -math.inf))
    row, row_of_highest = row_of(run, best, split), row_of(run, highest, split)
    if row is None or row_of_highest is None:
        return Lead(best[split] - highest[split])
    mean = Mean.over(row.astype(np.float64) - row_of_highest, _weights(run, split))
    return Lead(mean.value, mean.half)


def group_means(
    run: Record, members: Sequence[Mapping[str, Any]], split: str, most: int
) -> list[tuple[str, list[float]]]:
    """The mean scores of members in each group of datapoints.

    Args:
        run: the run.
        members: founders, or the best.
        split: of the datapoints.
        most: the most groups.

    Returns:
        For each group its name, with its size, and a mean for each member. Nothing where the groups
        or the scores are not known, where there is but one group, or where there are more.
    """
    founding = run.founding
    if founding is None or split not in founding.groups:
        return []
    codes = founding.groups[split]  # (D,)
    # A name may be that of a group of another split alone.
    numbers = [number for number in range(len(founding.names)) if (codes == number).any()]
    if not 1 < len(numbers) <= most:
        return []
    table = []
    for number in numbers:
        is_member = codes == number  # (D,)
        name = titled(founding.names[number], run.call.get("fitness"))
        means = _means_over(run, members, split, is_member)
        table.append((f"{name} ({is_member.sum():,})", means))
    return table


def has_row(run: Record, entry: Mapping[str, Any], split: str) -> bool:
    """Whether it is known what a founder or the best scored at each datapoint of a split."""
    return row_of(run, entry, split) is not None


def _means_over(
    run: Record, members: Sequence[Mapping[str, Any]], split: str, datapoints: np.ndarray
) -> list[float]:
    """A mean for each member over the datapoints that a (D,) mask has."""
    weights = _weights(run, split)
    if weights is not None:
        weights = weights[datapoints]
    means = []
    for entry in members:
        row = row_of(run, entry, split)
        if row is not None:
            means.append(float(np.average(row[datapoints], weights=weights)))
    return means


def row_of(run: Record, entry: Mapping[str, Any], split: str) -> np.ndarray | None:
    """(D,) scores of a founder or of the best, where they are known, and so are their weights."""
    founding = run.founding
    if founding is None:
        return None
    if "founder" not in entry:
        return run.best_rows.get(split)
    if split not in founding.scores:
        return None
    return founding.scores[split][entry["founder"]]


def _weights(run: Record, split: str) -> np.ndarray | None:
    """(D,) weights of the datapoints of a split; None where all weigh the same."""
    if run.founding is None:
        return None
    return run.founding.weights.get(split)
