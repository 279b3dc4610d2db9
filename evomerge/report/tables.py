"""Tables of a report: plain ones, numbers in colours, and answers of members."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from evomerge.report.page import LETTERS, short
from evomerge.report.svg import RAW_BLUE, RAW_ORANGE

STRONGEST = 0.6
"""How opaque the colour of a number of 1 is; a text on it has to be read."""


def cells(texts: Iterable[str], tag: str = "td") -> str:
    """Cells of a row, from texts that are HTML."""
    return "".join(f"<{tag}>{text}</{tag}>" for text in texts)


def row(texts: Iterable[str], tag: str = "td") -> str:
    """A row of such cells."""
    return f"<tr>{cells(texts, tag)}</tr>"


def heat(head: str, columns: Sequence[str], rows: Sequence[tuple[str, Sequence[float]]]) -> str:
    """A table of numbers, coloured the more strongly the higher they are; those below 0 are orange.

    Args:
        head: what the rows are.
        columns: what the numbers are.
        rows: for each row its name and its numbers.
    """
    names = "".join(f'<th class="number">{escape(name)}</th>' for name in columns)
    # Names of founders and layers may be anything; numbers are ours.
    body = ""
    for name, numbers in rows:
        shaded = "".join(map(_shaded, numbers))
        body += f"<tr><td>{escape(name)}</td>{shaded}</tr>"
    table = f'<table class="heat"><tr><th>{head}</th>{names}</tr>{body}</table>'
    # A table of many columns scrolls by itself: the page stays as wide as a telephone.
    return f'<div class="table">{table}</div>'


def answer_table(names: Sequence[str], rows: Iterable[str]) -> str:
    """A table of answers, from the `answer_cell`s of each row.

    Args:
        names: what the columns are.
        rows: the cells of each row, as HTML.
    """
    head = row(map(escape, names), "th")
    body = "".join(f"<tr>{row_cells}</tr>" for row_cells in rows)
    return f'<table class="answers"><thead>{head}</thead><tbody>{body}</tbody></table>'


def answer_cell(name: str, value: Any) -> str:
    """A cell of such a table, with the name that stands beside it on a telephone."""
    return f'<td data-name="{escape(name)}">{answer_text(value)}</td>'


def answer_text(value: Any, most: int = LETTERS) -> str:
    """A value from a fitness as HTML: a number with four digits, or text of so many letters."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(short(value, most))


def _shaded(number: float) -> str:
    red, green, blue = RAW_BLUE if number >= 0 else RAW_ORANGE
    opacity = STRONGEST * min(abs(number), 1.0)
    # Adding 0.0 makes 0.00 of what rounds to -0.00.
    rounded = round(number, 2) + 0.0
    colour = f"rgba({red},{green},{blue},{opacity:.2f})"
    return f'<td style="background:{colour}">{rounded:.2f}</td>'
