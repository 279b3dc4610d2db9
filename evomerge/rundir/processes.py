"""A process by a name that others can read.

The name has its machine, its number, and what tells it from a later process of that number.
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

PROC = Path("/proc")
"""Where Linux says what it knows of processes."""

MOST_DIGITS = 9
"""Digits that the number of a process has at most."""

ENDED = ("Z", "X")
"""States of a process that has ended, though nobody has waited for it yet."""

START = 19
"""The place in /proc/*/stat, behind the program's name, of when a process began."""


@dataclass(frozen=True)
class Process:
    """A process, as it names itself in a file.

    Attributes:
        host: name of its machine.
        pid: its number there.
        kernel: which start of which machine it runs on, and among which processes (containers
            count their own); empty where the system does not tell.
        start: when it began, in the kernel's ticks; empty likewise.
    """

    host: str
    pid: int
    kernel: str = ""
    start: str = ""

    @classmethod
    def this(cls) -> Process:
        """The process that asks."""
        return cls(socket.gethostname(), os.getpid(), _kernel(), _stat(os.getpid())[1])

    @classmethod
    def parse(cls, text: str) -> Process | None:
        """The process that a text names; None if it names none."""
        # Older versions of evomerge wrote machine and number only, and a file may be empty.
        host, pid, kernel, start, *_ = [*text.split(), "", "", "", ""]
        if not pid.isdecimal() or len(pid) > MOST_DIGITS:
            return None
        return cls(host, int(pid), kernel, start)

    @property
    def text(self) -> str:
        """What `parse` reads: one line."""
        return " ".join((self.host, str(self.pid), self.kernel, self.start)).rstrip() + "\n"

    @property
    def near(self) -> bool:
        """Whether it is among the processes that can be asked for here."""
        return self.host == socket.gethostname() and self.kernel in ("", _kernel())

    @property
    def gone(self) -> bool:
        """Whether it is certain that it has ended. Of a process elsewhere, nothing is."""
        if not self.near or not self.pid:
            return False
        try:
            # Signal 0 is sent to nobody; it only asks whether there is such a process.
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            # It lives, and is somebody else's.
            pass
        # Signals reach a process that has ended, as long as nobody has waited for it.
        state, start = _stat(self.pid)
        if state in ENDED:
            return True
        # A process that began at another time only has the same number.
        return bool(start and self.start) and start != self.start


@cache
def _kernel() -> str:
    """The start of this machine, and the processes that can be seen here.

    Empty where the system does not tell.
    """
    with suppress(OSError):
        started = (PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{started}/{os.readlink(PROC / 'self/ns/pid')}"
    return ""


def _stat(pid: int) -> tuple[str, str]:
    """State and start of a process; empty texts where the system does not tell."""
    with suppress(OSError, IndexError):
        text = (PROC / str(pid) / "stat").read_text(errors="replace")
        # The program's name stands in brackets, and may have spaces and brackets in it.
        fields = text.rpartition(")")[2].split()
        return fields[0], fields[START]
    return "", ""
