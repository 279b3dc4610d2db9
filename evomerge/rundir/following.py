"""Reading along with a run in progress: each line of births.jsonl once, as it is written.

Nothing of the run is touched, and nothing but its files is asked.

A resume cuts the log back to the run's last snapshot and raises the births behind it again. Whoever
reads along then goes back, too. What comes next is the first line that is not as it was. A birth
that is not above the last one replaces that birth and all behind it.
"""

from __future__ import annotations

import json
import math
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from evomerge.errors import UserError
from evomerge.rundir import lock
from evomerge.rundir.places import LOG, SUMMARY
from evomerge.rundir.tail import Tail, unreadable

Condition = Literal["running", "silent", "ended", "stopped", "killed"]

GOING: tuple[Condition, ...] = ("running", "silent")
"""Of a run that writes, or may yet do so."""

SILENT = 300.0
"""Seconds without a new line after which a run on another machine is called silent.

The lock of such a run may not be seen here.
"""


def find_log(path: Path | str) -> Path:
    """The births.jsonl of a run directory, or itself.

    Raises:
        UserError: if there is none, or the system does not let anybody look.
    """
    path = Path(path)
    try:
        if path.is_file():
            return path
        if not path.is_dir():
            raise UserError(f"{path}: there is no such run directory")
        if not (path / LOG).is_file():
            raise UserError(f"{path}: not a run directory, it has no births.jsonl")
    except OSError as error:
        raise unreadable(path, error) from error
    return path / LOG


def check_every(seconds: float) -> None:
    """Checks the time between two looks at a log.

    Raises:
        UserError: if nobody can wait so long.
    """
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise UserError(f"every: expected a number of seconds above 0, got {seconds!r}")


def condition(log_path: Path, decided: int) -> Condition:
    """How a run is, by its files.

    A run that stopped or was killed before it had a config.yaml cannot be resumed.

    Args:
        log_path: its births.jsonl.
        decided: the last birth in it.

    Returns:
        "running"; "silent", if it seems to run on another machine and has not written for `SILENT`
        seconds; "ended", with a summary.json; "stopped", saved and ready to be resumed; or
        "killed", ready to be resumed, too.

    Raises:
        UserError: if its lock or its log cannot be read.
    """
    folder = log_path.parent
    who = lock.holder(folder)
    if who is not None and who.locked:
        return "running"
    # Who ends in order takes back its name.
    if who is not None and who.here:
        return "killed"
    if who is not None:
        # Whether the lock is held is not seen from here, so the log has to tell.
        if time.time() - _last_written(log_path) > SILENT:
            return "silent"
        return "running"
    # A summary of fewer births is from before a resume.
    with suppress(OSError, ValueError, AttributeError):
        summary = json.loads((folder / SUMMARY).read_bytes())
        if summary.get("births") == decided:
            return "ended"
    return "stopped"


def follow(
    path: Path | str,
    *,
    every: float = 1.0,
    linger: float = 0.0,
    stop: threading.Event | None = None,
) -> Iterator[dict[str, Any]]:
    """The lines of births.jsonl, from its first, as they are written; ends when the run has.

    A resume of a run that was killed cuts its log back. Then the first line that is not as it was
    comes next: a birth that is not above the last one replaces that birth and all behind it.

    Args:
        path: a run directory, or its births.jsonl.
        every: seconds between two looks at it.
        linger: seconds for which a run that was stopped or killed may yet be resumed.
        stop: ends it when set, from another thread.

    Returns:
        An iterator of the lines, as `evomerge.rundir.FIELDS` has them.

    Raises:
        UserError: if there is no run, a line is damaged, or `every` is no time to wait.
    """
    # What is wrong with the arguments is said at once, not where the first line is asked for.
    log_path = find_log(path)
    check_every(every)
    return _follow(log_path, every, linger, stop or threading.Event())


def _follow(
    path: Path, every: float, linger: float, stop: threading.Event
) -> Iterator[dict[str, Any]]:
    """The lines of a log; as `follow`, whose arguments are right."""
    decided = 0
    over_since = math.inf
    with Tail(path) as tail:
        while not stop.is_set():
            # The condition is asked before reading, too: if the run was over by then, nothing
            # comes behind what is read now.
            before = condition(path, decided)
            for entry in tail.new():
                decided = entry.get("birth", 0)
                yield entry
            now = condition(path, decided)

            # A run that stopped or was killed may be resumed while somebody lingers; one that ended
            # is over.
            if before in GOING or now in GOING:
                over_since = math.inf
            else:
                over_since = min(over_since, time.monotonic())
                if now == "ended" or time.monotonic() - over_since >= linger:
                    return
            stop.wait(every)


def _last_written(log_path: Path) -> float:
    """When a log was last written to, in seconds since 1970.

    Raises:
        UserError: if it is gone.
    """
    try:
        # On a network disk, opening the file is what makes the system ask for its time anew.
        with open(log_path, "rb") as file:
            return os.fstat(file.fileno()).st_mtime
    except OSError as error:
        raise unreadable(log_path, error) from error
