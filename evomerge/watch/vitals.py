"""How a run is doing, from the lines of its log, one after another; what is kept of a line is a few numbers."""

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

QUIET, SLOWER, GONE = 60.0, 10.0, 3600.0
"""Seconds without a birth, and how many times its median, after which a worker is silent; and after which nobody asks for it any more."""


@dataclass
class Worker:
    """Who raises births.

    Attributes:
        time: when its last birth was decided, in seconds since 1970.
        seconds: that its last births took.
    """

    time: float = 0.0
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=31))

    @property
    def median(self) -> float:
        """Of its last births."""
        return median(self.seconds)

    def silent(self, now: float) -> bool:
        """Whether it should have raised another one by now."""
        return now - self.time > max(QUIET, SLOWER * self.median)


class Vitals:
    """A run as far as its log was read.

    Attributes:
        decided: births decided.
        best: the line of the best member, None before there is one.
        scores: for each line since the first best, the score that the best had then: the one by which it is chosen.
        coverage: for each birth the archive's behind it.
        last: the last line.
        first_time: when the first line was written; None of a log without times.
        scored: sum of the shares of the datapoints that were scored.
        failures: births that failed.
        failure: the line of the last one.
        workers: by their numbers.
    """

    def __init__(self) -> None:
        """No line was read."""
        self.decided, self.failures, self.scored = 0, 0, 0.0
        self.best: Mapping[str, Any] | None = None
        self.failure: Mapping[str, Any] | None = None
        self.last: Mapping[str, Any] = {}
        self.first_time: float | None = None
        self.scores, self.coverage = array("f"), array("f")
        self.workers: dict[int, Worker] = {}
        self._times: deque[float] = deque()

    def take(self, entry: Mapping[str, Any]) -> None:
        """Takes the next line, of which all is of its type.

        Raises:
            LookupError: if it lacks what a line has to have.
        """
        self.last = entry
        if self.first_time is None:
            self.first_time = float(entry["time"]) if "time" in entry else None
        if entry.get("best"):
            self.best = entry
        if self.best is not None:
            self.scores.append(self.best.get("validation", self.best["train"]))
        if "founder" in entry:
            return
        self.decided = int(entry["birth"])
        self.coverage.append(entry["coverage"])
        self.scored += entry["scored"]
        if "failure" in entry:
            self.failures += 1
            self.failure = entry
        worker = self.workers.setdefault(entry["worker"], Worker())
        worker.seconds.append(float(entry["seconds"]))
        if "time" in entry:
            worker.time = float(entry["time"])
            self._times.append(worker.time)
            while len(self._times) > ENOUGH + 1 and self._times[1] <= self._times[-1] - WINDOW:
                self._times.popleft()

    def rate(self, now: float) -> float | None:
        """Births a second lately: over the last minute, or since the last `ENOUGH` births where those took longer."""
        times = list(self._times)
        if len(times) < 2:
            return None
        first = max(0, min(bisect_right(times, now - WINDOW) - 1, len(times) - 1 - ENOUGH))
        return (len(times) - 1 - first) / max(now - times[first], 1e-9)

    def silent(self, now: float) -> dict[int, float]:
        """For each worker that should have raised another birth by now the seconds since its last one."""
        return {
            number: now - worker.time
            for number, worker in self.workers.items()
            if worker.silent(now) and now - worker.time < GONE
        }

    def lately(self, now: float) -> dict[int, float]:
        """The median seconds of a birth of each other worker, the slowest first."""
        there = {
            number: worker.median
            for number, worker in self.workers.items()
            if not worker.silent(now)
        }
        return dict(sorted(there.items(), key=lambda item: -item[1]))
