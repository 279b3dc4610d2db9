"""What a run cost: how much was scored, and how long births took."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evomerge.report import figures
from evomerge.report.figures import Curve
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import BLUE, ORANGE
from evomerge.report.tables import row
from evomerge.words import span

WORKERS = 40
"""Most workers that are shown."""

STRETCHES = 120
"""Most points of a curve; each is taken from ten births or more, where there are as many."""

SCORED = (
    "How much of the training split a child was scored on; a child that is certain to be the least "
    "fit is not scored to the end, so lower is cheaper."
)


def cards(run: Record) -> list[str]:
    """The share of datapoints that was scored, the time of a birth, and the workers."""
    return [_share_scored(run), _seconds(run), _workers(run)]


def _share_scored(run: Record) -> str:
    if not run.births:
        return ""
    line = _curve(run.births, "scored", "share scored", np.mean, BLUE)
    drawing = figures.curves([line], form="percent", top=1.02, fill=True)
    return card("Datapoints scored", drawing, SCORED)


def _seconds(run: Record) -> str:
    timed = [entry for entry in run.births if _is_timed(entry)]
    if not timed:
        return ""
    median, slow = np.percentile([entry["seconds"] for entry in timed], (50, 95))
    lines = [
        _curve(timed, "seconds", "median", np.median, BLUE),
        _curve(timed, "seconds", "95th percentile", _slow, ORANGE),
    ]
    caption = (
        f"Half of the births took less than {span(median)}, 19 of 20 less than {span(slow)}; each "
        "step up a marked line is ten times slower."
    )
    return card("Time of a birth", figures.curves(lines, form="seconds"), caption)


def _workers(run: Record) -> str:
    """Who raised how many births and how fast, the slowest first, where there were several."""
    # Who has a slow machine, or a neighbour on it, comes first.
    seconds: dict[int, list[float]] = {}
    for entry in run.births:
        if "worker" in entry and _is_timed(entry):
            seconds.setdefault(entry["worker"], []).append(entry["seconds"])
    if len(seconds) < 2:
        return ""
    slowest = sorted(seconds.items(), key=lambda item: -float(np.mean(item[1])))
    rows = row(("worker", "births", "median", "95 %"), "th")
    for worker, times in slowest[:WORKERS]:
        median, slow = span(float(np.median(times))), span(float(_slow(times)))
        rows += row((str(worker), f"{len(times):,}", median, slow))
    again = sum(entry.get("attempts", 1) - 1 for entry in run.births)
    caption = (
        f"{len(seconds):,} workers, those with the slowest births first; a worker that takes the "
        "place of a lost one has a number of its own."
    )
    # Only some kinds of workers count this.
    if run.workers.get("busy") is not None:
        caption += (
            f" They were busy {run.workers['busy']:.0%} of their time; "
            f"{run.workers['restarts']:,} were lost, {again:,} births raised again."
        )
    return card("Workers", f"<table>{rows}</table>", caption)


def _is_timed(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("seconds", 0) > 0)


def _slow(values: Any) -> Any:
    return np.percentile(values, 95)


def _curve(
    entries: Sequence[Mapping[str, Any]],
    key: str,
    label: str,
    reduce: Callable[[Any], Any],
    colour: str,
) -> Curve:
    """A value of the log's lines over births.

    Args:
        entries: the lines.
        key: which value.
        label: what it is called.
        reduce: makes one number of those of a stretch of births.
        colour: the curve's.
    """
    pairs = [(entry["birth"], entry[key]) for entry in entries]
    births, values = np.array(pairs, dtype=np.float64).T  # (n,) each
    # Birth by birth, the times of 50,000 births are a cloud.
    count = min(len(values), max(1, min(STRETCHES, len(values) // 10)))
    middles = []
    reduced = []
    for stretch in np.array_split(np.arange(len(values)), count):
        middles.append(births[stretch].mean())
        reduced.append(float(reduce(values[stretch])))
    return Curve(label, middles, reduced, colour)
