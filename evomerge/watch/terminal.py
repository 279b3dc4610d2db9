"""Text for a terminal: others' texts made harmless, lines of so many columns, and sparklines."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

BLOCKS = "▁▂▃▄▅▆▇█"
"""What a sparkline is made of, from the lowest value to the highest."""


def plain(text: str) -> str:
    """A text without what a terminal would act on.

    Control and formatting characters become question marks, and breaks become spaces.
    """
    # A failure is the text of somebody's exception, and may have escape codes in it.
    one_line = " ".join(text.split())
    return "".join(c if c.isprintable() else "?" for c in one_line)


def width(text: str) -> int:
    """Columns that a text takes."""
    if text.isascii():
        return len(text)
    columns = 0
    for character in text:
        # An accent stands on the letter before it, and most letters of East Asia take two columns.
        if not unicodedata.combining(character):
            columns += 2 if unicodedata.east_asian_width(character) in "WF" else 1
    return columns


def clip(text: str, columns: int) -> str:
    """The beginning of a text, in so many columns, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def wrap(text: str, columns: int, most: int = 3) -> list[str]:
    """A text, made `plain`, in lines of so many columns.

    Args:
        text: the text, which is broken between words where that is possible.
        columns: of each line, at most.
        most: how many lines there are at most; the last one is clipped.
    """
    lines = [""]
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and width(longer) > columns:
            lines.append(word)
        else:
            lines[-1] = longer
    # What is too much for the last line is clipped there, with an ellipsis.
    if len(lines) > most:
        rest = " ".join(lines[most - 1 :])
        lines = [*lines[: most - 1], rest]
    return [clip(line, columns) for line in lines]


def sparkline(values: Sequence[float], columns: int) -> str:
    """Values as a row of blocks, from the lowest value to the highest one.

    Args:
        values: one after another; those that are not finite are left out.
        columns: how many blocks there are at most. Each shows the last value of its stretch.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return ""
    cells = min(len(finite), columns)
    shown = []
    for cell in range(cells):
        end = (cell + 1) * len(finite) // cells
        shown.append(finite[end - 1])
    low = min(shown)
    high = max(shown)
    # Values that are all the same are a level line at the bottom.
    step = 0.0
    if high > low:
        step = (len(BLOCKS) - 1) / (high - low)
    return "".join(BLOCKS[round((value - low) * step)] for value in shown)
