"""What is at a path: whether a run is there, can begin there, or a new folder can be made."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from evomerge.errors import UserError
from evomerge.files import beside, place
from evomerge.rundir import lock
from evomerge.rundir.births import read_births
from evomerge.rundir.places import (
    CLEARING,
    CONFIG,
    FOUNDERS,
    GALLERY,
    GRAMS,
    IDENTITY,
    LATEST,
    LOCK,
    LOG,
    PREVIOUS,
    STAND_IN,
    STATE,
)

WRITTEN_WHOLE = (GRAMS, FOUNDERS, IDENTITY, LOG, CONFIG)
"""Files that are filled beside their place first."""

BEGINNING = (
    LOCK,
    STAND_IN,
    CLEARING,
    LOG,
    STATE,
    GALLERY,
    GRAMS,
    FOUNDERS,
    IDENTITY,
    *(beside(Path(name)).name for name in WRITTEN_WHOLE),
)
"""What a run directory has before it has config.yaml and is a run."""

MOST_NAMES = 10_000
"""How many names `free_name` tries."""


def check_run(path: Path) -> None:
    """Checks that there is a run.

    Raises:
        UserError: if there is none.
    """
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run directory")
    if not (path / CONFIG).is_file():
        raise UserError(f"{path}: not a run directory, it has no config.yaml")


def check_free(path: Path) -> None:
    """Checks that a run can begin here: there is nothing, or only a beginning that failed.

    Raises:
        UserError: if there is a run, or anything else.
    """
    check_place(path)
    if (path / CONFIG).exists():
        raise UserError(
            f"{path}: there is a run in it already; go on with "
            f"`evomerge resume {shlex.quote(str(path))}`, or name another run_dir"
        )
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: expected a run directory, this is a file")
    if _has_lost_its_config(path):
        raise UserError(
            f"{path}: a run is in it that has lost its config.yaml; "
            "put it back, or name another run_dir"
        )
    # Files of somebody else's would be taken for the run's, or written over.
    if not path.is_dir():
        return
    for entry in path.iterdir():
        if entry.name not in BEGINNING:
            raise UserError(
                f"{path}: a new run needs an empty directory, this one has other files in it"
            )


def check_new(path: Path) -> None:
    """Checks that a folder can be made here, and would be a new one.

    Raises:
        UserError: if it is there already, or the path leads through a file.
    """
    # The folder is filled beside its place, so the longer name must be possible, too. The root
    # has no name, and nothing beside it.
    if path.name:
        check_place(beside(path))
    else:
        check_place(path)
    if os.path.lexists(path):
        raise UserError(f"{path}: expected a folder that is not there yet")


def check_place(path: Path) -> None:
    """Checks that a folder could be made here.

    Raises:
        UserError: if the path is none, leads through a file or a link to nothing, or leads into a
            folder in which nobody may write.
    """
    path = place(path)
    nearest = _nearest_that_exists(path)
    # A link to nothing is there, but no folder can be made below it.
    if not nearest.exists():
        raise UserError(
            f"{path}: expected a path through folders, {nearest} is a link to "
            f"{os.readlink(nearest)}, which is not there"
        )
    if nearest != path and not nearest.is_dir():
        raise UserError(f"{path}: expected a path through folders, {nearest.name} is a file")
    if nearest.is_dir() and not os.access(nearest, os.W_OK | os.X_OK):
        raise UserError(f"{path}: expected a folder to write in, {nearest} is read-only here")


def free_name(path: Path) -> Path:
    """The first of path, path-2, path-3, ... that is free, or has a run of which nothing had begun.

    Raises:
        UserError: if all of them are taken.
    """
    candidate = path
    for number in range(2, MOST_NAMES + 1):
        if not os.path.lexists(candidate) or _unbegun(candidate):
            return candidate
        candidate = path.with_name(f"{path.name}-{number}")
    raise UserError(f"{path}: there are {MOST_NAMES} of this name already")


def _has_lost_its_config(path: Path) -> bool:
    """Whether births were raised here, though there is no config.yaml."""
    latest = path / STATE / LATEST
    previous = path / STATE / PREVIOUS
    if not latest.exists() and not previous.exists():
        return False
    if not (path / LOG).is_file():
        return True
    # Births took time and cannot be had again, so nobody may write over them unasked.
    # A snapshot of the founders alone is a beginning: the first one is written before config.yaml.
    return any("founder" not in entry for entry in read_births(path))


def _nearest_that_exists(path: Path) -> Path:
    """The path itself, or the nearest folder above it that is there; a link to nothing counts."""
    for candidate in (path, *path.parents):
        if os.path.lexists(candidate):
            return candidate
    return Path("/")


def _unbegun(path: Path) -> bool:
    """Whether a run was stopped here while it was founded, and nobody is at it now."""
    if not (path / LOG).is_file():
        return False
    # Whatever cannot be read there is not ours to take.
    try:
        check_free(path)
        who = lock.holder(path)
    except (UserError, ValueError, OSError):
        return False
    return who is None or not who.locked
