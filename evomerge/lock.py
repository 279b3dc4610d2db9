"""Who writes a run directory: one process at a time, which keeps `.lock` locked and has its machine and its number in it meanwhile.

Whoever ends in order empties the file, so a name that nobody stands behind is that of a process that was killed.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

from evomerge.errors import UserError

NAME = ".lock"

TRIES, PAUSE = 10, 0.05
"""How often, and after how many seconds again, a lock is asked for: who looks at it (`holder`) has it for some microseconds."""


@dataclass(frozen=True)
class Holder:
    """Who is named in a lock.

    Attributes:
        host: name of its machine; empty where a version of evomerge that did not write it holds the lock.
        pid: number of its process; 0 likewise.
        locked: whether the lock is seen to be held. On another machine it may be held and not be seen.
    """

    host: str
    pid: int
    locked: bool

    @property
    def here(self) -> bool:
        """Whether it is, or was, on this machine."""
        return self.host == socket.gethostname()


def take(folder: Path) -> int:
    """Locks a folder for this process; gives what `release` needs.

    Raises:
        UserError: if another process has it.
    """
    lock = os.open(folder / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    for attempt in range(TRIES):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if attempt < TRIES - 1:
                time.sleep(PAUSE)
    else:
        os.close(lock)
        raise UserError(f"{folder}: another process is using this run directory")
    try:
        os.ftruncate(lock, 0)
        os.pwrite(lock, f"{socket.gethostname()} {os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(lock)
        raise
    return lock


def release(lock: int) -> None:
    """Lets another process have the folder."""
    os.ftruncate(lock, 0)
    os.close(lock)


def holder(folder: Path) -> Holder | None:
    """Who writes a folder or was killed while it did; None if nobody. Changes nothing.

    Raises:
        UserError: if the lock cannot be read.
    """
    try:
        lock = os.open(folder / NAME, os.O_RDONLY)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _unreadable(folder, error) from error
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            locked = False
        except OSError:
            locked = True
        host, _, pid = os.pread(lock, 1000, 0).decode(errors="replace").strip().rpartition(" ")
    except OSError as error:
        raise _unreadable(folder, error) from error
    finally:
        os.close(lock)
    return Holder(host, int(pid) if pid.isdecimal() else 0, locked) if locked or host else None


def _unreadable(folder: Path, error: OSError) -> UserError:
    return UserError(f"{folder / NAME}: cannot be read ({error.strerror or error})")
