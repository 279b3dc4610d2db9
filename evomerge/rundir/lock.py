"""Who writes a run directory: one process at a time, which keeps `.lock` locked.

Meanwhile the file has the process's name. Whoever ends in order empties it, so a name that nobody
stands behind is that of a process that was killed. The lock is the process's alone: a child that it
forks lets go of it at once, and so cannot keep a run locked that was killed.

Where the file system has no locks, `.lock.held` stands in: only one process can make it, and it has
that process's name. It does so, too, where children of a process that has gone keep the lock. Such
were forked in a way that Python does not see.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evomerge.errors import UserError
from evomerge.rundir import stand_in
from evomerge.rundir.places import LOCK, STAND_IN
from evomerge.rundir.processes import Process
from evomerge.rundir.stand_in import PAUSE, TRIES, in_use, named_in

TAKEN = {errno.EAGAIN, errno.EWOULDBLOCK, errno.EACCES}
"""What a system says that has given the lock away."""

NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
"""What a system says that has no locks to give."""

_ours: dict[int, Path | None] = {}
"""This process's open locks, each with the stand-in that it made for it, if it made one."""

_gate = threading.Lock()
"""Held while a lock is opened or closed, so that a fork never falls in between."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Holder:
    """Who is named in a lock.

    Attributes:
        host: name of its machine; empty where a version of evomerge holds the lock that did not
            write it.
        pid: number of its process; 0 likewise.
        locked: whether the lock is seen to be held. On another machine it may be held unseen.
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
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        _ours[lock] = None
    locked: bool | None = False
    try:
        locked = _ask_again(lock)
        # Its last user may have removed the file meanwhile (`_let_go`). Then the next one locks
        # another file, and so this lock keeps nobody out.
        if locked and not _is_at(folder / LOCK, lock):
            raise UserError(in_use(folder, None))
        before = named_in(folder / LOCK)
        if locked is False and (before is None or not before.gone):
            raise UserError(in_use(folder, before))

        # Each side writes its name first and looks for the other's then, so that of two at once
        # one sees the other.
        if not locked:
            _stand_in(folder, lock, no_locks=locked is None)
        # The name of the process before may be longer.
        os.ftruncate(lock, 0)
        os.pwrite(lock, Process.this().text.encode(), 0)
        # A process that had no lock here, and was killed, has left its stand-in.
        if locked:
            other = named_in(folder / STAND_IN)
            if other is not None:
                stand_in.clear(folder, other)
    except BaseException:
        _let_go(lock, empty=locked is True)
        raise
    return lock


def release(lock: int) -> None:
    """Lets another process have the folder. A child of the process that took it changes nothing."""
    if lock in _ours:
        _let_go(lock, empty=True)


def holder(folder: Path) -> Holder | None:
    """Who writes a folder or was killed while it did; None if nobody. Changes nothing.

    Raises:
        UserError: if the lock cannot be read.
    """
    try:
        other = named_in(folder / STAND_IN)
        if other is not None:
            return Holder(other.host, other.pid, other.near and not other.gone, other.near)
        locked = _is_locked(folder)
        named = named_in(folder / LOCK)
        if locked and named is not None and named.gone:
            # The name is of the process before. Who has just got the lock writes its own next.
            time.sleep(PAUSE)
            named = named_in(folder / LOCK)
            locked = named is None or not named.gone
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UserError(f"{folder / LOCK}: cannot be read ({error.strerror or error})") from error
    # A lock may not be seen from another machine, but the name in it is.
    if named is not None:
        return Holder(named.host, named.pid, locked, named.host == socket.gethostname())
    if locked:
        return Holder("", 0, locked, here=False)
    return None


def _is_locked(folder: Path) -> bool:
    """Whether somebody has the lock, as far as it is seen from here.

    Raises:
        OSError: if it cannot be read; there may be none.
    """
    # A child that is forked now would have the lock as long as it lives, so none is.
    with _gate:
        lock = os.open(folder / LOCK, os.O_RDONLY)
        try:
            return _ask(lock, fcntl.LOCK_SH) is False
        finally:
            os.close(lock)


def _ask_again(lock: int) -> bool | None:
    """Asks for a lock until it is given, or was asked for `TRIES` times; as `_ask`.

    Raises:
        OSError: if the system refuses for another reason.
    """
    for _ in range(TRIES - 1):
        locked = _ask(lock, fcntl.LOCK_EX)
        if locked is not False:
            return locked
        time.sleep(PAUSE)
    return _ask(lock, fcntl.LOCK_EX)


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


def _stand_in(folder: Path, lock: int, *, no_locks: bool) -> None:
    """Makes the file that stands in for a lock, which is then this process's.

    Args:
        folder: the run directory.
        lock: the open lock, which the system does not give.
        no_locks: whether the system has none; otherwise processes that nobody knows have it.

    Raises:
        UserError: if another process that may be alive has such a file, or the lock.
        OSError: if the file cannot be written.
    """
    # It is noted at once, so that it is removed whatever comes next.
    stand_in.make(folder)
    _ours[lock] = folder / STAND_IN
    other = named_in(folder / LOCK)
    if other is not None and not other.gone:
        raise UserError(in_use(folder, other, LOCK))
    if no_locks:
        why = "this file system has no locks"
    else:
        why = "processes that outlived the run keep its lock"
    log.warning("%s: %s; %s stands in, and is removed when the run ends", folder, why, STAND_IN)


def _let_go(lock: int, *, empty: bool) -> None:
    """Closes an open lock of this process, and takes back its name."""
    with _gate:
        made = _ours.pop(lock)
        try:
            if made is not None and named_in(made) == Process.this():
                # Where children of a process that has gone have the lock still, the next one gets
                # a new file to lock.
                if _ask(lock, fcntl.LOCK_EX) is False:
                    made.with_name(LOCK).unlink()
                made.unlink()
            if empty:
                os.ftruncate(lock, 0)
            # Closing alone would leave the lock to a child that has it nevertheless.
            with suppress(OSError):
                fcntl.flock(lock, fcntl.LOCK_UN)
        finally:
            os.close(lock)


def _forget() -> None:
    """In a child that was forked: the lock is its parent's."""
    # The lock belongs to all who have it open, so it would outlive the parent here.
    for lock in _ours:
        with suppress(OSError):
            os.close(lock)
    _ours.clear()
    _gate.release()


# A fork waits until no lock is just being opened, since such a one would be in no list yet.
os.register_at_fork(before=_gate.acquire, after_in_parent=_gate.release, after_in_child=_forget)
