"""Where a view is shown again and again: on a terminal, or in a pipe."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from typing import TextIO

from evomerge.errors import Stopped

WIDEST = 80
"""Most columns of a view."""

NARROWEST = 20
"""Fewest columns, so that there is a place for words behind the labels."""

WITHOUT_UNICODE = str.maketrans("▁▂▃▄▅▆▇█…", "_.,-~=*#~")
"""What stands for our own characters where a terminal has only letters."""

LINE_UP = "\x1b[{}F"
"""Has a terminal go up so many lines, to the beginning of the line there."""

CLEAR_LINE = "\x1b[K"
"""Has a terminal clear the rest of a line."""

CLEAR_BELOW = "\x1b[J"
"""Has a terminal clear everything that comes behind."""


class Screen:
    """What shows views, one after another.

    On a terminal each view takes the place of the one before it. Elsewhere there are no escape
    codes, and views stand one below the other.
    """

    def __init__(self, out: TextIO) -> None:
        """Shows nothing yet."""
        self._out = out
        # A dumb terminal, such as an editor's, shows escape codes as text.
        self._terminal = out.isatty() and os.environ.get("TERM") != "dumb"
        self._lines = 0

    @property
    def columns(self) -> int:
        """Columns that a view may have now."""
        # The last column stays free: some terminals begin a new line behind it.
        there = shutil.get_terminal_size((WIDEST + 1, 24)).columns - 1
        return max(NARROWEST, min(WIDEST, there))

    def show(self, lines: Sequence[str]) -> None:
        """Shows a view.

        Raises:
            Stopped: if nobody reads it any more.
        """
        if self._terminal:
            # Lines that leave the top of a terminal could not be written over the next time.
            rows = shutil.get_terminal_size((WIDEST, 24)).lines - 1
            lines = lines[: max(1, rows)]
            text = self._in_place(lines)
        else:
            text = self._below(lines)
        self._lines = len(lines)
        try:
            self._out.write(text)
            self._out.flush()
        except BrokenPipeError:
            # Python writes what is left in the stream when it ends, and would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())
            raise Stopped(signal.SIGPIPE) from None

    def _in_place(self, lines: Sequence[str]) -> str:
        """A view that takes the place of the one before."""
        text = ""
        if self._lines:
            text = LINE_UP.format(self._lines)
        for line in lines:
            text += f"{CLEAR_LINE}{self._encodable(line)}\n"
        # The view before may have had more lines.
        return text + CLEAR_BELOW

    def _below(self, lines: Sequence[str]) -> str:
        """A view with an empty line between it and the one before."""
        text = ""
        if self._lines:
            text = "\n"
        for line in lines:
            text += f"{self._encodable(line)}\n"
        return text

    def _encodable(self, line: str) -> str:
        """A line in characters that the stream can take."""
        encoding = self._out.encoding or "utf-8"
        # A terminal may have letters of its encoding only, and may not end the watching.
        try:
            line.encode(encoding)
        except UnicodeEncodeError:
            letters = line.translate(WITHOUT_UNICODE)
            return letters.encode(encoding, "replace").decode(encoding)
        return line
