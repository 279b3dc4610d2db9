"""Text for a terminal: what others wrote made harmless, lines of so many columns, sparklines, times; and a view that renews itself."""

from __future__ import annotations

import math
import os
import shutil
import signal
import unicodedata
from collections.abc import Sequence
from typing import TextIO

from evomerge.errors import Stopped

BLOCKS = "▁▂▃▄▅▆▇█"
WITHOUT_UNICODE = str.maketrans("▁▂▃▄▅▆▇█…", "_.,-~=*#~")
"""What stands for our own characters where a terminal has only letters."""

WIDEST = 80
"""Most columns of a view."""


def plain(text: str) -> str:
    """A text without what a terminal would act on: control and formatting characters are question marks, breaks are spaces."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))


def width(text: str) -> int:
    """Columns that a text takes."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def clip(text: str, columns: int) -> str:
    """The beginning of a text that has room in so many columns, with an ellipsis where something is missing."""
    if width(text) <= columns:
        return text
    while text and width(text) > columns - 1:
        text = text[:-1]
    return f"{text}…"


def wrap(text: str, columns: int, most: int = 3) -> list[str]:
    """A text, made `plain`, in lines of so many columns, broken between words where that is possible; at most so many lines."""
    lines = [""]
    for word in plain(text).split():
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and width(longer) > columns:
            lines.append(word)
        else:
            lines[-1] = longer
    if len(lines) > most:
        lines = [*lines[: most - 1], " ".join(lines[most - 1 :])]
    return [clip(line, columns) for line in lines]


def sparkline(values: Sequence[float], columns: int) -> str:
    """Values, one after another, as at most so many blocks, from the lowest value to the highest one; each shows the last of its stretch.

    Values that are not finite are left out.
    """
    values = [value for value in values if math.isfinite(value)]
    if not values:
        return ""
    cells = min(len(values), columns)
    shown = [values[(cell + 1) * len(values) // cells - 1] for cell in range(cells)]
    low, high = min(shown), max(shown)
    step = (len(BLOCKS) - 1) / (high - low) if high > low else 0.0
    return "".join(BLOCKS[round((value - low) * step)] for value in shown)


class Screen:
    """Where a view is shown again and again: in its own place on a terminal, one below the other, without escape codes, elsewhere."""

    def __init__(self, out: TextIO) -> None:
        """Shows nothing yet."""
        self._out = out
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._lines = 0

    @property
    def columns(self) -> int:
        """Columns that a view may have now."""
        return max(20, min(WIDEST, shutil.get_terminal_size((WIDEST + 1, 24)).columns - 1))

    def show(self, lines: Sequence[str]) -> None:
        """Shows a view.

        Raises:
            Stopped: if nobody reads it any more.
        """
        if self._terminal:
            lines = lines[: max(1, shutil.get_terminal_size((WIDEST, 24)).lines - 1)]
            up = f"\x1b[{self._lines}F" if self._lines else ""
            text = up + "".join(f"\x1b[K{self._fit(line)}\n" for line in lines) + "\x1b[J"
        else:
            text = "\n" * bool(self._lines) + "".join(f"{self._fit(line)}\n" for line in lines)
        self._lines = len(lines)
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            os.dup2(
                os.open(os.devnull, os.O_WRONLY), self._out.fileno()
            )  # where what is left goes when Python ends
            raise Stopped(signal.SIGPIPE) from None

    def _fit(self, line: str) -> str:
        """A line in characters that there are."""
        encoding = self._out.encoding or "utf-8"
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            return line.translate(WITHOUT_UNICODE).encode(encoding, "replace").decode(encoding)
        return line
