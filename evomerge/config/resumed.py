"""What a resume may change of a run's call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge.config.config import load, plain
from evomerge.config.mistakes import join
from evomerge.config.targets import names_the_same
from evomerge.errors import UserError

CONFIG = "config.yaml"
"""The call of a run, in its directory: `evomerge.rundir.places`, which this room stands below."""

CHANGEABLE = ("births", "workers", "trackers", "hours", "patience", "save_every")
"""What a resume may change."""


def changes(path: Path, call: Mapping[str, Any]) -> list[str]:
    """What a call has otherwise than the run in `path`, and a resume may not change.

    Returns:
        A line for each.

    Raises:
        UserError: if there is no such run.
    """
    if not (path / CONFIG).is_file():
        raise UserError(f"{path}: there is no run to go on with, it has no config.yaml")
    lines = []
    for key, old, new in differences(load(path / CONFIG), plain(call)):
        # A class that may be changed may have other settings, too.
        if key.split(".")[0] not in CHANGEABLE:
            lines.append(
                f"{key}: the run in {path} has {old!r}, a resume cannot make it {new!r}; "
                f"it may change only {', '.join(CHANGEABLE)}"
            )
    return lines


def check_same(path: Path, call: Mapping[str, Any]) -> bool:
    """Checks that a call may go on with the run in `path`.

    Returns:
        Whether it is the very call that made the run. Otherwise births or workers were changed.

    Raises:
        UserError: if there is no such run, births went down, or anything was changed that a resume
            may not change.
    """
    # Births may change, but only up: those that there are stay.
    problems = changes(path, call)
    before = load(path / CONFIG)
    after = plain(call)
    if after["births"] < before.get("births", 0):
        problems.append(
            f"births: the run in {path} has {before['births']}, "
            f"a resume can only raise it, got {after['births']}"
        )
    if problems:
        raise UserError("\n".join(problems))
    return not differences(before, after)


def differences(before: Any, after: Any, where: str = "") -> list[tuple[str, Any, Any]]:
    """Everything in which two described calls differ: (key, old, new) each.

    The later one's classes and functions are loaded. So a class that has moved since is the same.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        # A setting that only one of them has is none, to the other.
        differing = []
        for key in before | after:
            differing += differences(before.get(key), after.get(key), join(where, key))
        return differing
    if before == after or names_the_same(before, after):
        return []
    return [(where, before, after)]
