"""How a run is asked to stop: Ctrl-C, SIGTERM, or a terminal that goes away.

It stops between two tiles, saved, and says how to go on.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType
from typing import Any

from evomerge.errors import Stopped


class StopRequest:
    """True once the process was asked to stop; a second request ends it at once, whatever it is at.

    Attributes:
        urgent: whether there was a second one.
    """

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self.urgent = False
        self._number: int | None = None
        self._before: dict[int, Any] = {}

    def __bool__(self) -> bool:
        """Whether the run is to stop."""
        return self._number is not None

    def __enter__(self) -> StopRequest:
        """Listens, where this is the main thread."""
        # Python takes handlers from the main thread alone.
        if threading.current_thread() is threading.main_thread():
            asking = [signal.SIGINT, signal.SIGTERM]
            # Under nohup the signal is ignored: the run is to outlive its terminal.
            if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
                asking.append(signal.SIGHUP)
            for number in asking:
                self._before[number] = signal.signal(number, self._ask)
            _listening.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Stops listening."""
        if self in _listening:
            _listening.remove(self)
        self.unlisten()

    def unlisten(self) -> None:
        """Lets signals do what they did before."""
        for number, handler in self._before.items():
            # A handler that was not set by Python is None here, and cannot be set again.
            signal.signal(number, handler or signal.SIG_DFL)

    def error(self) -> Stopped:
        """What to raise once everything is saved."""
        assert self._number is not None
        return Stopped(self._number)

    def _ask(self, number: int, _frame: FrameType | None) -> None:
        """Hears a signal."""
        if self._number is not None:
            self.urgent = True
            # The way out of here may not end. So a third signal is the system's again.
            for other in self._before:
                signal.signal(other, signal.SIG_DFL)
            raise Stopped(number)
        self._number = number


_listening: list[StopRequest] = []
"""Those that listen in this process."""


def _unlisten_in_child() -> None:
    """Lets signals do in a forked process what they did before.

    A process that a fitness has forked has our handlers, and is none of ours to save. A handler of
    Python's waits there for what is at hand to end, and a child that waits for work never does.
    """
    for request in _listening:
        request.unlisten()
    _listening.clear()


# Windows has no fork.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlisten_in_child)
