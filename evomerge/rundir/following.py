"""births.jsonl of a run in progress: each line once, as it is written, from the run's files alone, which stay as they are.

A resume cuts the log back to the run's last snapshot and raises the births behind it again. Whoever reads along then goes back, too: what
comes next is the first line that is not as it was, and a birth that is not above the last one replaces that birth and all behind it.
"""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from array import array
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal
from zlib import crc32

from evomerge.errors import UserError
from evomerge.rundir import lock

log = logging.getLogger(__name__)

Condition = Literal["running", "silent", "ended", "stopped", "killed"]

GOING: tuple[Condition, ...] = ("running", "silent")
"""Of a run that writes, or may yet do so."""

SILENT = 300.0
"""Seconds without a new line after which a run on another machine, whose lock may not be seen here, is called silent."""

RECENT = 4096
"""Bytes before the place reached by which it is known that the log is still the one that was read."""


class Tail:
    """What was read of a births.jsonl, and what is new."""

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path
        self.cuts = 0
        """How often the log was found cut back."""
        self._place = 0
        self._lines = array("I")  # a checksum each
        self._recent = b""

    @property
    def count(self) -> int:
        """Lines that were read: the number of the last one."""
        return len(self._lines)

    def new(self) -> Iterator[dict[str, Any]]:
        """The lines that were not read yet, but for a last one that is not whole; from the first that is not as it was, if there is one.

        Raises:
            UserError: if the log is gone, or a line is damaged.
        """
        self._go_back()
        while True:
            damaged = None
            with _opened(self.path) as file:
                file.seek(self._place)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    entry = _parsed(line)
                    if entry is None:
                        damaged = line
                        break
                    self._place += len(line)
                    self._lines.append(crc32(line))
                    self._recent = (self._recent + line)[-RECENT:]
                    yield entry
            if damaged is None:
                return
            if not self._go_back():  # else it was cut back while it was read
                shown = damaged[:60].decode(errors="replace").rstrip()
                raise UserError(
                    f"{self.path}: line {len(self._lines) + 1} is damaged, expected a JSON object, got {shown!r}"
                )

    def _go_back(self) -> bool:
        """Whether the log is not as it was; then what is left of it is all that was read."""
        with _opened(self.path) as file:
            file.seek(self._place - len(self._recent))
            if file.read(len(self._recent)) == self._recent:
                return False
            file.seek(0)
            place, kept, recent = 0, 0, b""
            for line, known in zip(file, self._lines, strict=False):
                if crc32(line) != known:
                    break
                place, kept, recent = place + len(line), kept + 1, (recent + line)[-RECENT:]
        log.info(
            "%s was cut back from %d to %d lines by a resume", self.path, len(self._lines), kept
        )
        self._place, self._recent = place, recent
        del self._lines[kept:]
        self.cuts += 1
        return True


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
        if not (path / "births.jsonl").is_file():
            raise UserError(f"{path}: not a run directory, it has no births.jsonl")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
    return path / "births.jsonl"


def check_every(seconds: float) -> None:
    """Checks the time between two looks at a log.

    Raises:
        UserError: if nobody can wait so long.
    """
    if not 0 < seconds <= threading.TIMEOUT_MAX:
        raise UserError(f"every: expected a number of seconds above 0, got {seconds!r}")


def condition(log_path: Path, decided: int) -> Condition:
    """How a run is, by its files.

    Args:
        log_path: its births.jsonl.
        decided: the last birth in it.

    Returns:
        "running"; "silent", if it seems to run on another machine and has not written for `SILENT` seconds; "ended", with a summary.json;
        "stopped", saved and ready to be resumed; or "killed", ready to be resumed, too. One that stopped or was killed before it had
        a config.yaml cannot be resumed.

    Raises:
        UserError: if its lock or its log cannot be read.
    """
    folder = log_path.parent
    who = lock.holder(folder)
    if who is not None and who.locked:
        return "running"
    if who is not None and who.here:
        return "killed"
    if who is not None:
        with _opened(log_path) as file:
            return "silent" if time.time() - os.stat(file.fileno()).st_mtime > SILENT else "running"
    with suppress(OSError, ValueError, AttributeError):
        if json.loads((folder / "summary.json").read_bytes()).get("births") == decided:
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

    A resume of a run that was killed cuts its log back. Then the first line that is not as it was comes next: a birth that is not above the
    last one replaces that birth and all behind it.

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
    log_path = find_log(path)
    check_every(every)
    return _follow(log_path, every, linger, threading.Event() if stop is None else stop)


def _follow(
    path: Path, every: float, linger: float, stop: threading.Event
) -> Iterator[dict[str, Any]]:
    tail, decided, over_since = Tail(path), 0, math.inf
    while not stop.is_set():
        before = condition(
            path, decided
        )  # asked first, too: once it is over, nothing comes behind what is read now
        for entry in tail.new():
            decided = entry.get("birth", 0)
            yield entry
        now = condition(path, decided)
        if before in GOING or now in GOING:
            over_since = math.inf
        else:
            over_since = min(over_since, time.monotonic())
            if now == "ended" or time.monotonic() - over_since >= linger:
                return
        stop.wait(every)


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    return entry if isinstance(entry, dict) else None


def _opened(path: Path) -> BinaryIO:
    """A log, for reading.

    Raises:
        UserError: if it is gone.
    """
    try:
        return open(path, "rb")
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error})") from error
