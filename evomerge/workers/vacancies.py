"""When the workers that are missing may be started."""

from __future__ import annotations

import time
from heapq import heappop, heappush

PAUSE = 60.0
"""Most seconds before a worker that did not come to life is tried again."""


class Vacancies:
    """The places of a pool that no worker has.

    Attributes:
        failed_starts: workers that were lost one after another before they were of any use.
    """

    def __init__(self, count: int) -> None:
        """Begins with so many places, which may be taken at once."""
        self.failed_starts = 0
        # A heap of the times from which each place may be taken.
        self._times = [0.0] * count

    def take(self) -> bool:
        """Takes a place, if there is one by now."""
        if not self._times or self._times[0] > time.monotonic():
            return False
        heappop(self._times)
        return True

    def add(self) -> None:
        """Adds the place of a worker that was of use; it may be taken at once."""
        heappush(self._times, time.monotonic())

    def add_failed_start(self) -> None:
        """Adds the place of a worker that was of no use; it may be taken after a pause."""
        self.failed_starts += 1
        # Each pause is twice as long: what a start fails on rarely mends itself at once.
        pause = min(0.5 * 2**self.failed_starts, PAUSE)
        heappush(self._times, time.monotonic() + pause)
