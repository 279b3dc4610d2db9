"""How a run is doing, from the lines of its log, one after another.

What is kept of a line is a few numbers, so that a log of any length can be watched.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

WINDOW = 60.0
"""Seconds over which a rate is taken, unless fewer than `ENOUGH` births were decided in them."""

ENOUGH = 10
"""Births from which a rate can be taken."""

QUIET = 60.0
"""Seconds without a birth after which a worker may be silent, if `SLOWER` says so too."""

SLOWER = 10.0
"""How many times its median a silent worker has been at a birth."""

GONE = 3600.0
"""Seconds without a birth after which nobody asks for a worker any more."""

REMEMBERED = 31
"""Last births of a worker of which the median is taken."""


@dataclass
class Worker:
    """Who raises births.

    Attributes:
        time: when its last birth was decided, in seconds since 1970.
        seconds: what its last births took.
    """

    time: float = 0.0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    @property
    def median(self) -> float:
        """The median time of its last births, in seconds."""
        return median(self.seconds)

    def silent(self, now: float) -> bool:
        """Whether it should have raised another birth by now."""
        return now - self.time > max(QUIET, SLOWER * self.median)


class Vitals:
    """A run as far as its log was read.

    Attributes:
        decided: births decided.
        best: the line of the best member, None before there is one.
        scores: for each line since the first best, the score by which the best of then was chosen.
        coverage: for each birth the archive's coverage behind it.
        last: the last line.
        first_time: when the first line was written; None of a log without times.
        scored: sum of the shares of the datapoints that were scored.
        failures: births that failed.
        failure: the line of the last one that failed, None before there is one.
        workers: by their numbers.
    """

    def __init__(self) -> None:
        """No line was read."""
        self.decided = 0
        self.best: Mapping[str, Any] | None = None
        self.scores = array("f")
        self.coverage = array("f")
        self.last: Mapping[str, Any] = {}
        self.first_time: float | None = None
        self.scored = 0.0
        self.failures = 0
        self.failure: Mapping[str, Any] | None = None
        self.workers: dict[int, Worker] = {}
        self._times: deque[float] = deque()

    @property
    def last_time(self) -> float:
        """When the last line was written, in seconds since 1970; 0 of a log without times."""
        return float(self.last.get("time", 0.0))

    def take(self, entry: Mapping[str, Any]) -> None:
        """Takes the next line, in which all is of its type.

        Raises:
            LookupError: if it lacks what a line has to have.
        """
        self.last = entry
        if self.first_time is None and "time" in entry:
            self.first_time = float(entry["time"])
        if entry.get("best"):
            self.best = entry
        # Best is chosen by the validation split where there is one.
        if self.best is not None:
            self.scores.append(self.best.get("validation", self.best["train"]))
        if "founder" not in entry:
            self._take_birth(entry)

    def _take_birth(self, entry: Mapping[str, Any]) -> None:
        """Takes the line of a birth."""
        self.decided = int(entry["birth"])
        self.coverage.append(entry["coverage"])
        self.scored += entry["scored"]
        if "failure" in entry:
            self.failures += 1
            self.failure = entry
        worker = self.workers.setdefault(entry["worker"], Worker())
        worker.seconds.append(float(entry["seconds"]))
        # Logs of old runs have no times, and no rates then.
        if "time" in entry:
            worker.time = float(entry["time"])
            self._times.append(worker.time)
            self._forget_old_times()

    def _forget_old_times(self) -> None:
        """Forgets the times that no rate will be taken from."""
        times = self._times
        while len(times) > ENOUGH + 1 and times[1] <= times[-1] - WINDOW:
            times.popleft()

    def rate(self, now: float) -> float | None:
        """Births a second lately; None if fewer than two were decided.

        It is taken over the last minute, or since the last `ENOUGH` births where those took longer.
        """
        times = list(self._times)
        if len(times) < 2:
            return None
        # A run that is slow has few births in a minute, and its rate would jump with each.
        before_window = bisect_right(times, now - WINDOW) - 1
        before_enough = len(times) - 1 - ENOUGH
        first = max(0, min(before_window, before_enough))
        return (len(times) - 1 - first) / max(now - times[first], 1e-9)

    def silent(self, now: float) -> dict[int, float]:
        """By number, the seconds since the last birth of each worker that is silent."""
        silent = {}
        for number, worker in self.workers.items():
            ago = now - worker.time
            # A worker that went long ago, such as before a resume, is not missed.
            if worker.silent(now) and ago < GONE:
                silent[number] = ago
        return silent

    def lately(self, now: float) -> dict[int, float]:
        """By number, the median seconds of a birth of each other worker, the slowest first."""
        medians = {}
        for number, worker in self.workers.items():
            if not worker.silent(now):
                medians[number] = worker.median
        return dict(sorted(medians.items(), key=lambda item: -item[1]))
