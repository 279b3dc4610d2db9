"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from evomerge.contracts import can
from evomerge.run.state import State
from evomerge.words import clock, figure
from evomerge.workers.job import Watched

log = logging.getLogger(__name__)

BAR_SECONDS = 0.2
LINE_SECONDS = 60.0
"""How often a bar, or a line where there is no terminal, is renewed; a line also at every tenth."""


class Progress:
    """Shows births per second, best scores, coverage and the time left, on standard error."""

    def __init__(self, births: int, hours: float | None, shown: bool = True) -> None:
        """The clock starts with the block.

        Args:
            births: how many there are to be.
            hours: how many hours there are for them; None if as many as they take.
            shown: whether anything is shown.
        """
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._births = births
        self._hours = hours
        self._shows_bar = shown and terminal
        self._shows_lines = shown and not terminal
        self._bar: Any = None
        self._started = time.monotonic()
        self._first: int | None = None
        self._next = 0.0
        self._tenth = 0

    def __enter__(self) -> Progress:
        """Starts the clock."""
        self._started = time.monotonic()
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the bar as it is last."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()

    def update(self, state: State, workers: Any = None) -> None:
        """Shows where the run is, if it is time to.

        Args:
            state: where the run is.
            workers: who raises births; some can say what they are at.
        """
        now = time.monotonic()
        tenth = 10 * state.decided // max(self._births, 1)
        if self._first is None:
            # A run that goes on has births behind it, which are none of this clock's.
            self._first = state.decided - 1
            self._tenth = tenth
            # A bar is there from the first birth on, a line has time.
            self._next = now
            if not self._shows_bar:
                self._next += LINE_SECONDS
        due = now >= self._next or state.decided == self._births
        if self._shows_bar and due:
            self._next = now + BAR_SECONDS
            try:
                self._draw(state, workers)
            # A terminal that is gone may not cost the run.
            except OSError:
                self._shows_bar = False
                self._bar = None
        elif self._shows_lines and (due or tenth != self._tenth):
            self._next = now + LINE_SECONDS
            self._tenth = tenth
            self._log(state, workers, now)

    def _draw(self, state: State, workers: Any) -> None:
        """Brings the bar up to date."""
        if self._bar is None:
            self._bar = tqdm(
                total=self._births,
                initial=self._first or 0,
                unit=" births",
                dynamic_ncols=True,
                smoothing=0.05,
            )
        self._bar.set_postfix_str(_scores(state) + _status(workers), refresh=False)
        self._bar.update(state.decided - self._bar.n)
        self._bar.refresh()

    def _log(self, state: State, workers: Any, now: float) -> None:
        """Writes a line."""
        assert self._first is not None
        rate = (state.decided - self._first) / max(now - self._started, 1e-9)
        left = clock((self._births - state.decided) / rate)
        log.info(
            "birth %d of %d, %s a second, %s left, %s",
            state.decided,
            self._births,
            figure(rate),
            left,
            _scores(state) + _status(workers),
        )


def _scores(state: State) -> str:
    """How good the best and the archive are."""
    text = f"best train {state.best.train:.4f}"
    # Some fitnesses have no test split.
    if state.best.test is not None:
        text += f", test {state.best.test:.4f}"
    return text + f", coverage {state.archive.view.coverage:.3f}"


def _status(workers: Any) -> str:
    """What workers are at, where they can say so."""
    if not can(workers, Watched):
        return ""
    now = workers.status()
    text = f", {now['alive']} of {now['count']} workers, {now['in_flight']} births in flight"
    # Some figures are there once a birth has come back.
    if now["busy"] is not None:
        text += f", busy {now['busy']:.0%}"
    if now["median"] is not None:
        text += f", a birth {now['median']:.3g} s (95 %: {now['p95']:.3g} s)"
    if now["restarts"]:
        text += f", {now['restarts']} restarted"
    return text
