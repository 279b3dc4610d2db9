"""Calls that are made one after another by a thread of their own.

Whoever hands them in waits for none of them.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable


class Aside:
    """A thread and the calls that wait for it.

    A call that raises is the last one. The thread keeps no process alive.
    """

    def __init__(self) -> None:
        """Starts the thread."""
        self.error: BaseException | None = None
        """What the last call raised, if one did."""
        self._calls = deque[Callable[[], None] | None]()
        self._since = 0.0
        self._changed = threading.Condition()
        threading.Thread(target=self._work, name="evomerge-aside", daemon=True).start()

    @property
    def waiting(self) -> int:
        """Calls that are not done, the one at hand among them."""
        return len(self._calls)

    @property
    def silent(self) -> float:
        """Seconds since the call at hand was begun; 0 where there is none."""
        with self._changed:
            if not self._calls:
                return 0.0
            return time.monotonic() - self._since

    def add(self, call: Callable[[], None]) -> None:
        """Hands in a call."""
        self._add(call)

    def close(self) -> None:
        """Ends the thread behind the last call."""
        self._add(None)

    def wait(self, seconds: float, silence: float) -> bool:
        """Waits until all calls are done, or one has raised.

        Args:
            seconds: at most, in all.
            silence: at most, for one call since it was begun.

        Returns:
            Whether they are, or one has.
        """
        end = time.monotonic() + seconds
        # A call that is at its end says so, and wakes whoever waits here.
        with self._changed:
            while self._calls and self.error is None:
                left = min(end, self._since + silence) - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _add(self, call: Callable[[], None] | None) -> None:
        with self._changed:
            # A call that comes while another is at hand has not been begun yet.
            if not self._calls:
                self._since = time.monotonic()
            self._calls.append(call)
            self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._calls:
                    self._changed.wait()
                call = self._calls[0]
            error: BaseException | None = None
            if call is not None:
                try:
                    call()
                # A library that exits the process, too, is no reason to wait for it.
                except BaseException as raised:
                    error = raised
            # Only now is the call taken out: until then, whoever waits has to wait for it.
            with self._changed:
                self.error = error
                self._calls.popleft()
                self._since = time.monotonic()
                self._changed.notify_all()
            if call is None or error is not None:
                return
