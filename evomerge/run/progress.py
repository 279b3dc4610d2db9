"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import suppress
from typing import Any

from tqdm import tqdm

from evomerge.run.state import State
from evomerge.watch.terminal import clock
from evomerge.workers.job import Watched

log = logging.getLogger(__name__)

BAR_SECONDS = 0.2
LINE_SECONDS = 60.0
"""How often a bar, or a line where there is no terminal, is renewed; a line also at every tenth of the births."""


class Progress:
    """Shows births per second, best scores, coverage and the time left, on standard error."""

    def __init__(self, births: int, hours: float | None, shown: bool = True) -> None:
        """Takes how many births there are to be, and how many hours for them."""
        self._births, self._hours = births, hours
        self._bar: Any = None
        self._terminal = shown and sys.stderr is not None and sys.stderr.isatty()
        self._lines = shown and not self._terminal
        self._next = 0.0
        self._tenth: int | None = None

    def __enter__(self) -> Progress:
        """Starts the clock."""
        self._started = time.monotonic()
        self._first: int | None = None
        return self

    def __exit__(self, *_: object) -> None:
        """Leaves the bar as it is last."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()

    def update(self, state: State, workers: Any = None) -> None:
        """Shows where the run is, and what workers that can say so are at, if it is time to."""
        now = time.monotonic()
        tenth = 10 * state.decided // max(self._births, 1)
        if self._first is None:
            self._first, self._tenth = state.decided - 1, tenth
            self._next = now if self._terminal else now + LINE_SECONDS
        due = now >= self._next or state.decided == self._births
        if self._terminal and due:
            self._next = now + BAR_SECONDS
            try:
                self._show_bar(state, _scores(state) + _status(workers))
            except OSError:  # a terminal that is gone may not cost the run
                self._terminal, self._bar = False, None
        elif self._lines and (due or tenth != self._tenth):
            self._next, self._tenth = now + LINE_SECONDS, tenth
            rate = (state.decided - self._first) / max(now - self._started, 1e-9)
            left = clock((self._births - state.decided) / rate)
            told = _scores(state) + _status(workers)
            log.info(
                "birth %d of %d, %.3g a second, %s left, %s",
                state.decided,
                self._births,
                rate,
                left,
                told,
            )

    def _show_bar(self, state: State, text: str) -> None:
        if self._bar is None:
            self._bar = tqdm(
                total=self._births,
                initial=self._first or 0,
                unit=" births",
                dynamic_ncols=True,
                smoothing=0.05,
            )
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(state.decided - self._bar.n)
        self._bar.refresh()


def _scores(state: State) -> str:
    test = "" if state.best.test is None else f", test {state.best.test:.4f}"
    return f"best train {state.best.train:.4f}{test}, coverage {state.archive.view.coverage:.3f}"


def _status(workers: Any) -> str:
    if not isinstance(workers, Watched):
        return ""
    now = workers.status()
    busy = f", busy {now['busy']:.0%}" if now["busy"] is not None else ""
    slow = (
        f", a birth {now['median']:.3g} s (95 %: {now['p95']:.3g} s)"
        if now["median"] is not None
        else ""
    )
    lost = f", {now['restarts']} restarted" if now["restarts"] else ""
    return f", {now['alive']} of {now['count']} workers, {now['in_flight']} births in flight{busy}{slow}{lost}"
