"""What a command is given: a config by its name, and the run directory that a config names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from evomerge.errors import UserError
from evomerge.files import place


def find(path: Path) -> Path:
    """A config as it is named, or the one of that name that came with evomerge."""
    if path.exists():
        return path
    # A wheel puts the configs of the demos there, without the folder that they have here.
    share = Path(sys.prefix) / "share" / "evomerge"
    for shipped in (share / path, share / "configs" / path):
        if shipped.is_file():
            return shipped
    return path


def take_run_dir(call: dict[str, Any]) -> Path | None:
    """The run directory that a config names, taken out of it; None if it names none.

    Raises:
        UserError: if it is no path.
    """
    named = call.pop("run_dir", None)
    if named is None:
        return None
    if not isinstance(named, str):
        raise UserError(f"run_dir: expected a path, got {named!r}")
    return place(named)
