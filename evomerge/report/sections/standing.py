"""How the best stands beside the founders: mean scores, split by split and group by group, with intervals where they are known."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from evomerge.config.labels import titled
from evomerge.intervals import Mean, interval
from evomerge.report import figures
from evomerge.report.page import card, heat
from evomerge.report.record import Record
from evomerge.report.svg import GREEN, ORANGE
from evomerge.rundir.births import id_of

SHOWN, COMPARED = 12, 5
"""Most founders that are shown; most beside the best, group by group."""

SPLITS = ("test", "validation", "train")
GROUPS = 40
"""Most groups that are shown."""


def cards(run: Record) -> list[str]:
    """A table, a drawing of it, and a table by group."""
    if not run.bests:
        return []
    best = run.bests[-1]
    splits = [split for split in SPLITS if best.get(split) is not None]
    founders = sorted(run.founders, key=lambda entry: -entry[splits[0]])
    child = [best] if "founder" not in best else []
    shown = [*child, *founders[:SHOWN]]
    means = {
        id_of(entry): {split: _mean(run, entry, split) for split in splits}
        for entry in (*child, *founders)
    }
    rows = [
        f'<tr><td class="{"orange" if entry is best else "green"}">{escape(_name(run, entry))}</td>'
        + "".join(f"<td>{means[id_of(entry)][split].text()}</td>" for split in splits)
        + "</tr>"
        for entry in shown
    ]
    if child:
        ahead = "".join(f"<td>{_ahead(run, split, founders)}</td>" for split in splits)
        rows.append(f"<tr><td>best minus the best founder</td>{ahead}</tr>")
    head = "".join(f"<th>{split}</th>" for split in ("", *splits))
    how = _how(
        run,
        known=means[id_of(shown[0])][splits[0]].interval is not None,
        child=bool(child),
        hidden=len(founders[SHOWN:]),
    )
    values = [means[id_of(entry)][splits[0]] for entry in shown]
    drawing = figures.intervals(
        [_name(run, entry) for entry in shown],
        [mean.value for mean in values],
        [mean.interval or (mean.value, mean.value) for mean in values],
        [ORANGE if entry is best else GREEN for entry in shown],
    )
    drawn = f"The {splits[0]} column as a picture: a dot is a mean score, the line its 95 % interval where that is known."
    return [
        card("Scores", f'<table class="scores"><tr>{head}</tr>{"".join(rows)}</table>', how),
        card(f"Mean score, {splits[0]}", drawing, drawn),
        _by_group(run, founders, splits[0]),
    ]


@dataclass(frozen=True)
class Told:
    """A mean score, and its 95 % interval if that is known."""

    value: float
    interval: tuple[float, float] | None = None

    def text(self) -> str:
        """Both for a cell of a table."""
        between = (
            ""
            if self.interval is None
            else " <small>{:.3f} to {:.3f}</small>".format(*self.interval)
        )
        return f"{self.value:.3f}{between}"


def _how(run: Record, *, known: bool, child: bool, hidden: int) -> str:
    chosen = "validation" if run.bests[-1].get("validation") is not None else "training"
    how = [
        f"Mean scores. The best was chosen by its {chosen} score, which is flattered by that; nothing was chosen by the test score."
    ]
    if not child:
        how = ["Mean scores. The best is one of the founders; no child has beaten it yet."]
    if known:
        how.append("Beside each is its 95 % interval over datapoints: how far it could be off because these datapoints are a sample. "
                   "Another random seed may differ by more.")  # fmt: skip
        how += [
            "The last line is taken datapoint by datapoint, against the founder that is highest in that column."
        ] * child
    else:
        how.append("There are no intervals, since this run did not keep its scores by datapoint.")
    how += [f"{hidden:,} more founders score less."] * bool(hidden)
    return " ".join(how)


def _name(run: Record, entry: Mapping[str, Any]) -> str:
    if "founder" in entry:
        return run.label(id_of(entry))
    return f"best, birth {id_of(entry):,}"


def _row(run: Record, entry: Mapping[str, Any], split: str) -> np.ndarray | None:
    """A founder's or the best's scores by datapoint, where they are known, and so are their weights."""
    if run.founding is None:
        return None
    if "founder" in entry:
        return (
            run.founding.scores[split][entry["founder"]] if split in run.founding.scores else None
        )
    return run.best_rows.get(split)


def _weights(run: Record, split: str) -> np.ndarray | None:
    return run.founding.weights.get(split) if run.founding is not None else None


def _mean(run: Record, entry: Mapping[str, Any], split: str) -> Told:
    row, weights = _row(run, entry, split), _weights(run, split)
    if row is None:
        return Told(entry.get(split, math.nan))
    return Told(
        entry[split],
        interval(row.astype(np.float64), np.ones(len(row)) if weights is None else weights),
    )


def _ahead(run: Record, split: str, founders: list[dict[str, Any]]) -> str:
    """How far the best is above the founder that is highest on a split, paired where rows are known."""
    highest = max(founders, key=lambda entry: entry.get(split, -math.inf))
    mine, theirs = _row(run, run.bests[-1], split), _row(run, highest, split)
    if mine is None or theirs is None:
        return f"{run.bests[-1][split] - highest[split]:+.3f}"
    mean = Mean.over(mine.astype(np.float64) - theirs, _weights(run, split))
    return f"{mean.value:+.3f} <small>± {mean.half:.3f}</small>"


def _by_group(run: Record, founders: list[dict[str, Any]], split: str) -> str:
    """The best's and the founders' mean scores in each group of datapoints."""
    best, founding = run.bests[-1], run.founding
    if founding is None or split not in founding.groups or _row(run, best, split) is None:
        return ""
    codes, weights = founding.groups[split], _weights(run, split)
    members = [entry for entry in (best, *founders[:COMPARED]) if entry is best or entry != best]
    found = [number for number in range(len(founding.names)) if (codes == number).any()]
    if not 1 < len(found) <= GROUPS:
        return ""
    table = []
    for number in found:
        own = codes == number
        rows = [_row(run, entry, split) for entry in members]
        means = [
            float(np.average(row[own], weights=None if weights is None else weights[own]))
            for row in rows
            if row is not None
        ]
        table.append(
            (f"{titled(founding.names[number], run.call.get('fitness'))} ({own.sum():,})", means)
        )
    how = f"Mean {split} scores in each group of datapoints, as the fitness names them, with their number; the stronger the colour, the higher."
    columns = ["best" if entry is best else run.label(id_of(entry)) for entry in members]
    return card("By group", heat("group", columns, table), how, wide=True)
