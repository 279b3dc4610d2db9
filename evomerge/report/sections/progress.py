"""How a run went on: scores, coverage and entropy over births."""

from __future__ import annotations

import numpy as np

from evomerge.report import figures
from evomerge.report.figures import Curve
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import BLUE, GREEN, MUTED, ORANGE

POINTS = 400
"""Most points of a curve."""

SCORES = (
    "Each step is a child that became the best one; nothing is chosen by the test score, so that "
    "line may fall. The grey line is the mean training score of the members alive."
)
DIVERSITY = (
    "Coverage is the share of training datapoints that some member solves; entropy is high where "
    "members solve different ones, and falls as they become alike."
)


def cards(run: Record) -> list[str]:
    """The scores of the best and of the members alive, and how much the members differ."""
    return [_scores(run), _diversity(run)]


def _scores(run: Record) -> str:
    lines = [
        _best(run, "test", ORANGE),
        _best(run, "validation", GREEN),
        _best(run, "train", BLUE),
        _mean_alive(run),
    ]
    known = [line for line in lines if len(line.births)]
    if not known:
        return ""
    return card("Score", figures.curves(known), SCORES)


def _best(run: Record, split: str, colour: str) -> Curve:
    """The score of who was best, step by step; empty where there is no such split."""
    births: list[int] = []
    values: list[float] = []
    for entry in run.bests:
        if entry.get(split) is not None:
            births.append(entry["birth"])
            values.append(entry[split])
    if births:
        # The last one has been the best ever since.
        births.append(max(len(run.births), 1))
        values.append(values[-1])
    return Curve(f"best, {split}", births, values, colour, step=True)


def _mean_alive(run: Record) -> Curve:
    """The mean training score of the members alive, as the log tells who came and who left."""
    size = run.strategy.get("size")
    # Of more founders than there is room for, the log does not say who found none.
    all_had_room = isinstance(size, int) and len(run.founders) <= size
    if not run.births or not all_had_room:
        return Curve("mean alive", [], [], MUTED)
    # The snapshots are overwritten; only the log still tells who was alive at which birth.
    train = {entry["id"]: entry["train"] for entry in run.founders}
    total = sum(train.values())
    births = [0]
    means = [total / len(train)]
    for entry in run.births:
        if entry["admitted"]:
            train[entry["birth"]] = entry["train"]
            gain = entry["train"]
            if "replaced" in entry:
                gain -= train.pop(entry["replaced"])
            total += gain
        births.append(entry["birth"])
        means.append(total / len(train))
    drawn = _thinned(len(births))
    return Curve("mean alive", np.array(births)[drawn], np.array(means)[drawn], MUTED)


def _diversity(run: Record) -> str:
    if not run.births:
        return ""
    births = []
    coverage = []
    entropy = []
    for row in _thinned(len(run.births)):
        births.append(run.births[row]["birth"])
        coverage.append(run.births[row]["coverage"])
        entropy.append(run.births[row]["entropy"])
    lines = [Curve("coverage", births, coverage, BLUE), Curve("entropy", births, entropy, ORANGE)]
    return card("Coverage and entropy", figures.curves(lines, top=1.02), DIVERSITY)


def _thinned(count: int) -> np.ndarray:
    """(n,) which of so many points are drawn, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))
