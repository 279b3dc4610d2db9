"""How trackers are told of a run while it goes on, without the run waiting for them.

A point a second at most, one for each new best, and the last: curves of 50,000 births need no more.
Each tracker is called from a thread of its own, since a birth of a millisecond has no time for a
network. A server that does not answer costs a run some seconds when it begins and when it ends.
A tracker that fails is left out with a warning, and the run goes on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from evomerge.contracts import can
from evomerge.errors import reason
from evomerge.files import saving
from evomerge.run.aside import Aside
from evomerge.run.state import State
from evomerge.run.trackers import ANSWER, Offline, Tracker, default_trackers
from evomerge.rundir import identity

log = logging.getLogger(__name__)

SECONDS = 1.0
"""Least time between two points."""

BEGINNING = 5.0
"""Seconds for which a run waits at its beginning for its trackers to begin.

After that they begin while it goes on.
"""

ENDING = 30.0
"""Seconds for which a run waits at its end for all of its trackers."""

OFFLINE_ENDING = 600.0
"""The same for a tracker that asks no server: it will end, and a busy machine takes its time."""

SILENCE = 120.0
"""Seconds without an answer after which a tracker is left out while the run goes on."""

BEHIND = 3
"""Calls of a tracker that may wait before it gets the new bests only."""


@contextmanager
def tracked(
    tracking: Tracking, path: Path | None, call: Mapping[str, Any], birth: int
) -> Iterator[None]:
    """A block of a run that trackers are told of.

    Args:
        tracking: the trackers; none has begun yet.
        path: the run directory; nobody is told of a run that has none.
        call: the call of `evolve`, described.
        birth: number of the last birth that is decided.

    Raises:
        Interrupted: if the run's identity cannot be written.
    """
    try:
        if path is not None:
            tracking.begin(path, call, birth)
        yield
    finally:
        tracking.end()


class Tracking:
    """All trackers of a run. Who fails, or does not answer, is left out."""

    def __init__(self, trackers: Sequence[Tracker] | None) -> None:
        """None has begun yet.

        Args:
            trackers: who is told; the default ones if None.
        """
        self._trackers = default_trackers()
        if trackers is not None:
            self._trackers = list(trackers)
        self._asides = dict[int, Aside]()
        self._next_point = 0.0
        self._hurry = False

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`; waits a little, so that most have begun when this returns.

        Raises:
            Interrupted: if the run's identity cannot be written.
        """
        # Only now is anything written: a resume that was refused before has changed nothing.
        with saving(path):
            identity.keep(path)
        for number, tracker in enumerate(self._trackers):
            self._asides[number] = Aside()
            self._asides[number].add(partial(tracker.begin, path, call, birth))
        try:
            self._wait(BEGINNING, BEGINNING)
        except KeyboardInterrupt:
            self._hurry = True
            raise
        self._check(SILENCE)
        for number, aside in self._asides.items():
            if aside.waiting:
                log.info("%s has not answered yet; the run goes on meanwhile", self._name(number))

    def put(self, entry: Mapping[str, Any], state: State, *, last: bool) -> None:
        """Tells them of a birth, if it is time to.

        Args:
            entry: its line in the log.
            state: the run's state behind it.
            last: whether it is the last birth.
        """
        now = time.monotonic()
        matters = last or entry.get("best")
        if not self._asides or not (matters or now >= self._next_point):
            return
        self._next_point = now + SECONDS
        numbers = _numbers(entry, state)
        self._check(SILENCE)
        for number, aside in self._asides.items():
            # Who is behind gets what matters alone, so that the queue does not grow with the run.
            if matters or aside.waiting < BEHIND:
                aside.add(partial(self._trackers[number].put, entry["birth"], numbers))

    def end(self) -> None:
        """As `Tracker.end`. A signal ends the waiting."""
        for number, aside in self._asides.items():
            aside.add(self._trackers[number].end)
            aside.close()
        with suppress(KeyboardInterrupt):
            if not self._hurry:
                self._wait(ENDING, ANSWER)
                for number, aside in self._asides.items():
                    tracker = self._trackers[number]
                    if can(tracker, Offline) and tracker.offline:
                        aside.wait(OFFLINE_ENDING, OFFLINE_ENDING)
        self._check(0.0)
        self._asides.clear()

    def _wait(self, seconds: float, silence: float) -> None:
        """Waits for all calls, so long at most."""
        end = time.monotonic() + seconds
        for aside in self._asides.values():
            aside.wait(end - time.monotonic(), silence)

    def _check(self, silence: float) -> None:
        """Leaves out who has failed, or is at one call for longer than so many seconds."""
        for number, aside in list(self._asides.items()):
            seconds = aside.silent
            if aside.error is not None:
                self._leave_out(number, reason(aside.error))
            elif seconds > silence:
                self._leave_out(number, f"no answer for {seconds:.0f} s")

    def _leave_out(self, number: int, why: str) -> None:
        """Tells a tracker nothing any more."""
        self._asides.pop(number).close()
        log.warning("%s is left out from here on: %s", self._name(number), why)

    def _name(self, number: int) -> str:
        return type(self._trackers[number]).__name__


def _numbers(entry: Mapping[str, Any], state: State) -> dict[str, float]:
    """What is told of a birth."""
    best = state.best
    # The clock of a run that has just begun stands at 0.
    speed = state.decided / state.seconds if state.seconds else None
    numbers = {
        "best/train": best.train,
        "best/validation": best.validation,
        "best/test": best.test,
        "archive/coverage": entry.get("coverage"),
        "archive/entropy": entry.get("entropy"),
        "birth/train": entry.get("train"),
        "birth/scored": entry.get("scored"),
        "birth/seconds": entry.get("seconds"),
        "run/births_per_second": speed,
        "run/failures": state.failures,
    }
    return {name: float(number) for name, number in numbers.items() if number is not None}
