"""The names of all files in a run directory, and whether a run, or a folder, can be at a path."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from evomerge.errors import UserError
from evomerge.files import place
from evomerge.rundir import founders, identity, lock
from evomerge.rundir.births import read_births
from evomerge.rundir.snapshots import SNAPSHOTS

GRAMS = "grams.safetensors"


WHOLE = (GRAMS, founders.NAME, identity.NAME, "config.yaml")


BEGINNING = (
    *lock.FILES,
    "births.jsonl",
    "state",
    "gallery",
    *WHOLE[:-1],
    *(f".{name}.new" for name in WHOLE),
)
"""What a run directory has before it has config.yaml and is a run."""


def check_run(path: Path) -> None:
    """Checks that there is a run.

    Raises:
        UserError: if there is none.
    """
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run directory")
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path}: not a run directory, it has no config.yaml")


def check_free(path: Path) -> None:
    """Checks that a run can begin here: there is nothing, or what is left of a beginning that failed.

    Raises:
        UserError: if there is a run, or anything else.
    """
    check_place(path)
    if (path / "config.yaml").exists():
        raise UserError(
            f"{path}: there is a run in it already; go on with `evomerge resume {shlex.quote(str(path))}`, or name another run_dir"
        )
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: expected a run directory, this is a file")
    saved = any((path / "state" / name).exists() for name in SNAPSHOTS)
    if saved and (
        not (path / "births.jsonl").is_file()
        or any("founder" not in entry for entry in read_births(path))
    ):
        raise UserError(
            f"{path}: a run is in it that has lost its config.yaml; put it back, or name another run_dir"
        )
    if path.is_dir() and any(entry.name not in BEGINNING for entry in path.iterdir()):
        raise UserError(
            f"{path}: a new run needs an empty directory, this one has other files in it"
        )


def check_new(path: Path) -> None:
    """Checks that a folder can be made here, and would be a new one.

    Raises:
        UserError: if it is there already, or the path leads through a file.
    """
    check_place(path.with_name(f".{path.name}.new") if path.name else path)  # in which it is filled
    if os.path.lexists(path):
        raise UserError(f"{path}: expected a folder that is not there yet")


def check_place(path: Path) -> None:
    """Checks that a folder could be made here.

    Raises:
        UserError: if the path is none, leads through a file or a link to nothing, or into a folder in which nobody may write.
    """
    path = place(path)
    near = next((parent for parent in (path, *path.parents) if os.path.lexists(parent)), Path("/"))
    if not near.exists():
        raise UserError(
            f"{path}: expected a path through folders, {near} is a link to {os.readlink(near)}, which is not there"
        )
    if near != path and not near.is_dir():
        raise UserError(f"{path}: expected a path through folders, {near.name} is a file")
    if near.is_dir() and not os.access(near, os.W_OK | os.X_OK):
        raise UserError(f"{path}: expected a folder to write in, {near} is read-only here")


def free_name(path: Path) -> Path:
    """The path, or path-2, path-3, ...: the first where nothing is, or a run of which nothing had begun."""
    candidates = (path if n == 1 else path.with_name(f"{path.name}-{n}") for n in range(1, 10_000))
    return next(
        candidate
        for candidate in candidates
        if not os.path.lexists(candidate) or _unbegun(candidate)
    )


def _unbegun(path: Path) -> bool:
    """Whether a run was stopped here while it was founded, and nobody is at it now."""
    if not (path / "births.jsonl").is_file():
        return False
    try:
        check_free(path)
        who = lock.holder(path)
    except (UserError, ValueError, OSError):
        return False
    return who is None or not who.locked


GALLERY = "gallery"
"""The folder in which members show themselves, a file each."""


ANSWERS = "test.jsonl"
"""The file, beside the best member's, of what it answers on the test split."""


CHANGES = "changes.jsonl"
"""The file, beside the best member's, of datapoints that it or a founder alone solves."""
