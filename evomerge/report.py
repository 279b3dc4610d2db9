"""report.html: what happened in a run, in one file."""

from __future__ import annotations

from pathlib import Path


def write(path: Path) -> Path:
    """Draws report.html of a run directory; gives its path."""
    return path / "report.html"
