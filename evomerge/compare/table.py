"""The table of a comparison: a line for each row, for a terminal and as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from evomerge.compare.rows import SWEEP
from evomerge.compare.tally import Row
from evomerge.export import markdown
from evomerge.intervals import Mean


def table(rows: Sequence[Row], at: Sequence[int], reach: Sequence[float]) -> list[list[str]]:
    """The table's head and its lines; a column that has nothing in it is left out.

    Args:
        rows: what the runs of each row came to.
        at: numbers of births, after which the test score is told.
        reach: test scores, to which births are counted.
    """
    tested = False
    births_of_runs: set[int] = set()
    for row in rows:
        if row.name != SWEEP:
            tested = tested or any(run.tested for run in row.runs)
            births_of_runs.update(run.born for run in row.runs)
    score = "test"
    idle = set()
    # Without a test split the training score is there already, under another name.
    if not tested:
        score = "train, without a test split"
        idle.add("train")
    # How many births there were says nothing where all runs have as many.
    if len(births_of_runs) < 2:
        idle.add("births")

    lines = [_line(row, rows[0], at, reach, score) for row in rows]
    head = []
    # Most comparisons have no failures, and a column without words takes room.
    for name in lines[0]:
        empty = not any(line[name] for line in lines)
        if name == "" or not (empty or name in idle):
            head.append(name)
    cells = [head]
    for line in lines:
        cells.append([line[name] for name in head])
    return cells


def as_markdown(cells: Sequence[Sequence[str]]) -> str:
    """A table as Markdown, in which what others wrote shows as text."""
    lines = []
    for line in cells:
        lines.append([escape(cell, quote=False).replace("|", "\\|") for cell in line])
    return markdown.table(lines[0], lines[1:])


def _line(
    row: Row, first: Row, at: Sequence[int], reach: Sequence[float], score: str
) -> dict[str, str]:
    """What the table says of a row, by column.

    Args:
        row: the row.
        first: the row with which it is compared.
        at: as `table`.
        reach: as `table`.
        score: what the score is called by which rows are compared.
    """
    line = {"": row.name, score: _interval(row.test)}
    ahead = ""
    # How far a row is ahead of itself is nothing to tell.
    if row is not first:
        ahead = _interval(row.ahead(first), "{:+.3f}")
    line[f"ahead of {first.name}"] = ahead
    line["train"] = _interval(row.train)
    for births in at:
        line[f"test after {births:,}"] = _interval(row.after(births))
    for goal in reach:
        line[f"births to {goal:g}"] = _births_to(row, goal)
    line |= _costs(row)
    line["runs"] = str(len(row.runs))
    line["failed"] = "; ".join(f"seed {seed}: {reason}" for seed, reason in row.failed)
    return line


def _births_to(row: Row, goal: float) -> str:
    """Births to a test score, and how many runs reach it."""
    if not row.runs:
        return ""
    mean, count = row.births_to(goal)
    if not count:
        return "never"
    return f"{_number(mean.value, '{:,.0f}')} ({count} of {len(row.runs)})"


def _costs(row: Row) -> dict[str, str]:
    """What the runs of a row cost, by column; a seed costs nothing."""
    if row.seed:
        return dict.fromkeys(("births", "scored", "seconds", "memory"), "")
    memory = max((run.memory for run in row.runs), default=0)
    return {
        "births": _number(row.mean("born"), "{:,.0f}"),
        "scored": _number(row.mean("scored"), "{:.2f}"),
        "seconds": _number(row.mean("seconds"), "{:,.0f}"),
        "memory": f"{memory / 1e9:.2f} GB" if memory else "",
    }


def _interval(mean: Mean, form: str = "{:.3f}") -> str:
    """A mean with half of its interval, as far as there are such."""
    text = _number(mean.value, form)
    if text and not math.isnan(mean.half):
        text += f" ± {mean.half:.3f}"
    return text


def _number(value: float, form: str) -> str:
    """A number in a given form; nothing for NaN."""
    if math.isnan(value):
        return ""
    return form.format(value)
