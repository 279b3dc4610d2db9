"""Figures in words, in the unit that suits them; tables; and texts that any file can hold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

TIMES = ((5400, 3600, "hours"), (90, 60, "min"), (1, 1, "s"), (1e-3, 1e-3, "ms"))
"""For each unit of time from how many seconds on it is used, its seconds, and its name."""

SIZES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))
"""For each unit of size its bytes, from which on it is used, and its name."""


def span(seconds: float, digits: int = 3) -> str:
    """A time with its unit, from microseconds to hours, with so many digits that count."""
    for least, unit, name in TIMES:
        if seconds >= least:
            return f"{_rounded(seconds / unit, digits)} {name}"
    return f"{_rounded(1e6 * seconds, digits)} µs"


def size(count: float) -> str:
    """Bytes with their unit."""
    for unit, name in SIZES:
        if count >= unit:
            return f"{_rounded(count / unit, 3)} {name}"
    return f"{count:.0f} bytes"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def readable(value: Any) -> Any:
    r"""Data as JSON has them, with every half of a character written out as \ud83d.

    Such a half, a lone surrogate, is in no file of UTF-8.
    """
    if isinstance(value, str):
        # Most texts are ASCII, which takes no time to find out.
        if value.isascii():
            return value
        return value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    if isinstance(value, list):
        return [readable(item) for item in value]
    return value


def aligned(cells: Sequence[Sequence[str]]) -> str:
    """A table for a terminal: its lines, with each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for line in cells:
        padded = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        lines.append("  ".join(padded).rstrip())
    return "\n".join(lines)


def figure(value: float) -> str:
    """A number with three digits that count, and with all that stand before the point."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _rounded(value: float, digits: int) -> str:
    """A number with so many digits that count, without zeros at its end."""
    return f"{float(f'{value:.{digits}g}'):g}"
