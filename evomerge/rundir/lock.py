"""Who writes a run directory: one process at a time, which keeps `.lock` locked and has its name in it meanwhile.

Whoever ends in order empties the file, so a name that nobody stands behind is that of a process that was killed. The lock is
the process's alone: a child that it forks lets go of it at once, and so cannot keep a run locked that was killed.

Where the file system has no locks, `.lock.held` stands in: only one process can make it, and it has that process's name. It
does so, too, where the lock is kept by children of a process that has gone, which were forked in a way that Python does not see.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shlex
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evomerge.errors import UserError
from evomerge.rundir.processes import Process

log = logging.getLogger(__name__)

NAME = ".lock"
STAND_IN = ".lock.held"
CLEARING = ".lock.clearing"
FILES = (NAME, STAND_IN, CLEARING)

TRIES, PAUSE = 10, 0.05
"""How often, and after how many seconds again, a lock is asked for: who looks at it (`holder`) has it for some microseconds."""

TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What a system says that has the lock given away, and what one says that has no locks to give."""

_ours: dict[int, Path | None] = {}
"""This process's open locks, each with the file that it made to stand in for it, if it made one."""
_gate = threading.Lock()
"""Held while a lock is opened or closed, so that a fork never falls in between."""


@dataclass(frozen=True)
class Holder:
    """Who is named in a lock.

    Attributes:
        host: name of its machine; empty where a version of evomerge that did not write it holds the lock.
        pid: number of its process; 0 likewise.
        locked: whether the lock is seen to be held. On another machine it may be held and not be seen.
        here: whether it is, or was, where it would be seen.
    """

    host: str
    pid: int
    locked: bool
    here: bool


def take(folder: Path) -> int:
    """Locks a folder for this process; gives what `release` needs.

    Raises:
        UserError: if another process has it, or this one has it already.
        OSError: if the lock cannot be written.
    """
    with _gate:
        lock = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
        _ours[lock] = None
    locked: bool | None = False
    try:
        locked = _ask(lock, fcntl.LOCK_EX)
        for _ in range(TRIES - 1):
            if locked is not False:
                break
            time.sleep(PAUSE)
            locked = _ask(lock, fcntl.LOCK_EX)
        if locked and not _is_at(folder / NAME, lock):  # its last user removed it, as below
            raise UserError(_used(folder, None))
        before = _named(folder / NAME)
        if locked is False and (before is None or not before.gone):
            raise UserError(_used(folder, before))

        # Each side writes its name first and looks for the other's then, so that of two at once one sees the other.
        if not locked:
            _stand_in(folder)
            _ours[lock] = folder / STAND_IN
            before = _named(folder / NAME)
            if before is not None and not before.gone:
                raise UserError(_used(folder, before, NAME))
            why = "this file system has no locks"
            if locked is False:
                why = "processes that outlived the run keep its lock"
            log.warning(
                "%s: %s; %s stands in, and is removed when the run ends", folder, why, STAND_IN
            )
        os.ftruncate(lock, 0)
        os.pwrite(lock, Process.this().text.encode(), 0)
        if locked and (other := _named(folder / STAND_IN)) is not None:
            _clear(folder, other)
    except BaseException:
        _let_go(lock, empty=locked is True)
        raise
    return lock


def release(lock: int) -> None:
    """Lets another process have the folder. In a child of the process that took it, it does nothing."""
    if lock in _ours:
        _let_go(lock, empty=True)


def holder(folder: Path) -> Holder | None:
    """Who writes a folder or was killed while it did; None if nobody. Changes nothing.

    Raises:
        UserError: if the lock cannot be read.
    """
    try:
        if (other := _named(folder / STAND_IN)) is not None:
            return Holder(other.host, other.pid, other.near and not other.gone, other.near)
        with _gate:  # a child forked now would have the lock as long as it lives
            lock = os.open(folder / NAME, os.O_RDONLY)
            try:
                locked = _ask(lock, fcntl.LOCK_SH) is False
            finally:
                os.close(lock)
        named = _named(folder / NAME)
        if locked and named is not None and named.gone:
            time.sleep(PAUSE)  # who has just got the lock writes its name next
            named = _named(folder / NAME)
            locked = named is None or not named.gone
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{folder / NAME}: cannot be read ({error.strerror or error})") from error
    if named is None:
        return Holder("", 0, locked, here=False) if locked else None
    return Holder(named.host, named.pid, locked, named.host == socket.gethostname())


def _ask(lock: int, kind: int) -> bool | None:
    """Whether the lock is given; None if there are no locks here.

    Raises:
        OSError: if the system refuses for another reason.
    """
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in TAKEN:
            return False
        if error.errno in NO_LOCKS:
            return None
        raise
    return True


def _is_at(path: Path, file: int) -> bool:
    """Whether an open file is the one that is at a path now."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _named(path: Path) -> Process | None:
    """The process that a file names; None if there is no file, or no name in it."""
    try:
        return Process.parse(path.read_bytes()[:1000].decode(errors="replace"))
    except FileNotFoundError:
        return None


def _stand_in(folder: Path) -> None:
    """Makes the file that stands in for a lock.

    Raises:
        UserError: if there is one of a process that may be alive.
    """
    path = folder / STAND_IN
    for _ in range(TRIES):
        try:
            new = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            if (other := _named(path)) is None:
                time.sleep(PAUSE)  # it gets its name next, or has just been removed
            else:
                _clear(folder, other)
            continue
        try:
            with open(new, "w") as file:
                file.write(Process.this().text)
                file.flush()
                os.fsync(new)
        except BaseException:
            path.unlink()
            raise
        return
    raise UserError(_used(folder, None, STAND_IN))


def _clear(folder: Path, other: Process) -> None:
    """Removes the file that stands in for the lock of a process that has gone.

    Raises:
        UserError: if that is not certain, or another process is about to remove it.
    """
    if not other.gone:
        raise UserError(_used(folder, other, STAND_IN))

    # Only who makes this file may remove the other, so that nobody removes one that was made since.
    try:
        os.close(os.open(folder / CLEARING, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
    except FileExistsError:
        raise UserError(_used(folder, None, CLEARING)) from None
    try:
        if _named(folder / STAND_IN) == other:
            (folder / STAND_IN).unlink()
            log.warning(
                "%s: process %d, whose %s is here, has gone; it is removed",
                folder,
                other.pid,
                STAND_IN,
            )
    finally:
        (folder / CLEARING).unlink()


def _used(folder: Path, who: Process | None, file: str = "") -> str:
    """What is said where another process has a folder; `file` is what says so, if that is no lock of the system's."""
    named = "" if who is None else f": process {who.pid} on {who.host}"
    if not file or (who is not None and who.near):
        return f"{folder}: another process is using this run directory{named}"
    path = shlex.quote(str(folder / file))
    return f"{folder}: another process is using this run directory{named}; if it has ended, `rm {path}` and try again"


def _let_go(lock: int, *, empty: bool) -> None:
    """Closes an open lock of this process, and takes back its name."""
    with _gate:
        made = _ours.pop(lock)
        try:
            if made is not None and _named(made) == Process.this():
                if (
                    _ask(lock, fcntl.LOCK_EX) is False
                ):  # children of one that has gone have it still: the next gets a new one
                    made.with_name(NAME).unlink()
                made.unlink()
            if empty:
                os.ftruncate(lock, 0)
            with suppress(
                OSError
            ):  # closing alone would leave it to a child that has it nevertheless
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)


def _forget() -> None:
    """In a child that was forked: the lock is its parent's."""
    for lock in _ours:
        with suppress(OSError):
            os.close(lock)
    _ours.clear()
    _gate.release()


os.register_at_fork(before=_gate.acquire, after_in_parent=_gate.release, after_in_child=_forget)
