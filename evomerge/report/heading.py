"""What stands above all sections: a run's name, its state, and a row of numbers."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np

from evomerge.report.record import Record
from evomerge.words import figure


def heading(run: Record) -> str:
    """The head of the page, as HTML."""
    subtitle = _state(run)
    classes = _classes(run)
    if classes:
        subtitle = f"{escape(' bred for '.join(classes))}, {subtitle}"
    tiles = ""
    for name, value in _numbers(run).items():
        # Not every run has a validation split, or births, or an end.
        if value is not None:
            tiles += f"<div><dd>{value}</dd><dt>{name}</dt></div>"
    return f'<h1>{escape(run.name)}</h1><p class="sub">{subtitle}</p><dl>{tiles}</dl>'


def _state(run: Record) -> str:
    """How far it is."""
    births, planned = len(run.births), run.call.get("births")
    count = f"{births:,}"
    if isinstance(planned, int) and planned != births:
        count += f" of {planned:,}"
    # The summary is of its last end; the log may have more births since a resume.
    if run.ended == births:
        return f"ended after {count} births"
    return f"not ended: {count} births so far"


def _classes(run: Record) -> list[str]:
    """What its population and its fitness are called, as far as the config says it."""
    classes = []
    for name in ("population", "fitness"):
        part = run.call.get(name)
        if isinstance(part, dict) and "_target_" in part:
            classes.append(str(part["_target_"]).rpartition(".")[2])
    return classes


def _numbers(run: Record) -> dict[str, str | None]:
    """The numbers by what they are; None for one that is not known."""
    best: dict[str, Any] = next(reversed(run.bests), {})
    newest: dict[str, Any] = next(reversed(run.births), {})
    coverage = newest.get("coverage")
    # Before the first birth, the founders' scores are known.
    if not run.births and run.scores.size:
        coverage = float(run.scores.max(axis=0).mean())
    # Failed births have a line, too; they cost time, and are never admitted.
    failed = [entry for entry in run.births if "failure" in entry]
    return {
        "best, test": _score(best.get("test")),
        "best, validation": _score(best.get("validation")),
        "best, train": _score(best.get("train")),
        "births": f"{len(run.births):,}",
        "births a second": _pace(run),
        "coverage": _score(coverage),
        "entropy": _score(newest.get("entropy")),
        "datapoints scored": _share_scored(run),
        "failed births": f"{len(failed):,}",
    }


def _pace(run: Record) -> str | None:
    # Both are the snapshot's: the log may be ahead of it.
    seconds, decided = run.counters.get("seconds"), run.counters.get("decided", 0)
    if not seconds or not decided:
        return None
    return figure(decided / seconds)


def _share_scored(run: Record) -> str | None:
    shares = [entry["scored"] for entry in run.births]
    if not shares:
        return None
    return f"{100 * float(np.mean(shares)):.0f} %"


def _score(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
