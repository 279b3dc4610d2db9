"""What stands in for a lock where the system gives none: a file that only one process can make.

It has that process's name. What is left by a process that has gone is removed by the next one.
"""

from __future__ import annotations

import logging
import os
import shlex
import time
from pathlib import Path

from evomerge.errors import UserError
from evomerge.rundir.places import CLEARING, STAND_IN
from evomerge.rundir.processes import Process

TRIES = 10
"""How often something is asked for that another process has for some microseconds."""

PAUSE = 0.05
"""Seconds between two tries."""

LONGEST_NAME = 1000
"""Bytes of a file in which the name of a process is looked for."""

log = logging.getLogger(__name__)


def make(folder: Path) -> None:
    """Makes the file that stands in for a lock, with this process's name in it.

    Raises:
        UserError: if there is one of a process that may be alive.
        OSError: if it cannot be written.
    """
    path = folder / STAND_IN
    for _ in range(TRIES):
        try:
            new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            other = named_in(path)
            if other is not None:
                clear(folder, other)
            else:
                # It gets its name next, or has just been removed.
                time.sleep(PAUSE)
            continue
        # A file without a name in it would keep everybody out.
        try:
            with open(new, "w") as file:
                file.write(Process.this().text)
                file.flush()
                os.fsync(new)
        except BaseException:
            path.unlink()
            raise
        return
    raise UserError(in_use(folder, None, STAND_IN))


def clear(folder: Path, other: Process) -> None:
    """Removes the file that stands in for the lock of a process that has gone.

    Raises:
        UserError: if that is not certain, or another process is about to remove it.
    """
    if not other.gone:
        raise UserError(in_use(folder, other, STAND_IN))

    # Only who makes this file may remove the stand-in, so that nobody removes a later one.
    try:
        os.close(os.open(folder / CLEARING, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        raise UserError(in_use(folder, None, CLEARING)) from None
    try:
        if named_in(folder / STAND_IN) == other:
            (folder / STAND_IN).unlink()
            log.warning(
                "%s: process %d, whose %s is here, has gone; it is removed",
                folder,
                other.pid,
                STAND_IN,
            )
    finally:
        (folder / CLEARING).unlink()


def named_in(path: Path) -> Process | None:
    """The process that a file names; None if there is no file, or no name in it."""
    try:
        return Process.parse(path.read_bytes()[:LONGEST_NAME].decode(errors="replace"))
    except FileNotFoundError:
        return None


def in_use(folder: Path, who: Process | None, file: str = "") -> str:
    """The message where another process has a folder.

    Args:
        folder: the run directory.
        who: the process, if it is known.
        file: the name of the file that says so, if that is no lock of the system's.
    """
    message = f"{folder}: another process is using this run directory"
    if who is not None:
        message += f": process {who.pid} on {who.host}"
    # Where nobody can find out here whether the process lives, the user has to.
    if file and (who is None or not who.near):
        message += f"; if it has ended, `rm {shlex.quote(str(folder / file))}` and try again"
    return message
