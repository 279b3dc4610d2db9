"""What a resume may change of a run's call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge.config.config import load, plain
from evomerge.config.targets import names_the_same
from evomerge.errors import UserError

CHANGEABLE = ("births", "workers", "trackers", "hours", "patience", "save_every")
"""What a resume may change."""


def changes(path: Path, call: Mapping[str, Any]) -> list[str]:
    """What a call has otherwise than the run in `path`, and a resume may not change: a line for each.

    Raises:
        UserError: if there is no such run.
    """
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path}: there is no run to go on with, it has no config.yaml")
    return [
        f"{key}: the run in {path} has {old!r}, a resume cannot make it {new!r}; it may change only {', '.join(CHANGEABLE)}"
        for key, old, new in differences(load(path / "config.yaml"), plain(call))
        if key.split(".")[0] not in CHANGEABLE
    ]


def check_same(path: Path, call: Mapping[str, Any]) -> bool:
    """Checks that a call may go on with the run in `path`.

    Returns:
        Whether it is the very call that made the run; otherwise births or workers were changed.

    Raises:
        UserError: if there is no such run, births went down, or anything else but the workers was changed.
    """
    problems = changes(path, call)
    before, after = load(path / "config.yaml"), plain(call)
    if after["births"] < before.get("births", 0):
        problems.append(
            f"births: the run in {path} has {before['births']}, a resume can only raise it, got {after['births']}"
        )
    if problems:
        raise UserError("\n".join(problems))
    return not differences(before, after)


def differences(before: Any, after: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """(key, old, new) of everything in which two described calls differ; the later one's classes and functions are loaded."""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = [*before, *(key for key in after if key not in before)]
        return [
            d
            for key in keys
            for d in differences(
                before.get(key), after.get(key), f"{where}.{key}" if where else str(key)
            )
        ]
    if before == after or names_the_same(before, after):
        return []
    return [(where, before, after)]
