"""Figures in words: times and sizes in the unit that suits them; and texts that any file can hold."""

from __future__ import annotations

from typing import Any


def span(seconds: float, digits: int = 3) -> str:
    """A time with its unit, from microseconds to hours, with so many digits that count."""
    for least, unit, name in (
        (5400, 3600, "hours"),
        (90, 60, "min"),
        (1, 1, "s"),
        (1e-3, 1e-3, "ms"),
    ):
        if seconds >= least:
            return f"{_rounded(seconds / unit, digits)} {name}"
    return f"{_rounded(1e6 * seconds, digits)} µs"


def size(count: float) -> str:
    """Bytes with their unit."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if count >= unit:
            return f"{_rounded(count / unit, 3)} {name}"
    return f"{count:.0f} bytes"


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def readable(value: Any) -> Any:
    r"""Data as JSON has them, with every half of a character (a lone surrogate) written out as \ud83d: no file of UTF-8 holds one."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode(errors="backslashreplace").decode()
    if isinstance(value, dict):
        return {readable(key): readable(item) for key, item in value.items()}
    return [readable(item) for item in value] if isinstance(value, list) else value


def _rounded(value: float, digits: int) -> str:
    return f"{float(f'{value:.{digits}g}'):g}"
