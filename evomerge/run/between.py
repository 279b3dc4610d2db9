"""What happens between two tiles: a signal is heard, and what takes long says how far it is."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tqdm import tqdm

from evomerge.run.progress import BAR_SECONDS, LINE_SECONDS
from evomerge.run.stop import StopRequest
from evomerge.words import clock

log = logging.getLogger(__name__)

LOOK = 0.5
"""Seconds between looks at a stage from which nothing comes."""

SOON = 10.0
"""Seconds after which a stage that has said nothing yet does."""

GAP = 5.0
"""Least seconds between two lines, but for the first one."""

FLICKER = 0.5
"""Seconds that a stage lasts before it has a bar."""


class Between:
    """What is called between two tiles, and while workers are waited for.

    It raises where the run was asked to stop. It also shows the stages of a run in which no birth
    is decided. On a terminal a stage has a bar. Elsewhere it has a line behind the first tile, at
    every tenth of the stage, and now and then. Some stages call nobody, such as loading: a thread
    looks at them while no births are decided (`alone`).
    """

    def __init__(self, stop_request: StopRequest, shown: bool = True) -> None:
        """Shows nothing until there is a stage.

        Args:
            stop_request: true once the run was asked to stop.
            shown: whether stages are shown.
        """
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._stop_request = stop_request
        self._shows_bars = shown and terminal
        self._shows_lines = shown and not terminal
        self._deaf = False
        self._alone = False
        self._stage = _Stage("")
        self._spoken = False
        self._bar: Any = None
        # The thread that looks at stages shows them, too.
        self._lock = threading.Lock()
        self._ended = threading.Event()

    def __call__(self, scored: int = 0) -> None:
        """Hears signals.

        Args:
            scored: datapoints that were scored since the last call.

        Raises:
            Stopped: if the run was asked to stop.
        """
        if self._stop_request and not self._deaf:
            raise self._stop_request.error()
        if scored and self._stage.name:
            with self._lock:
                self._stage.scored += scored
                self._show()

    @contextmanager
    def unheard(self) -> Iterator[None]:
        """A block that goes on to its end although the run was asked to stop."""
        self._deaf = True
        try:
            yield
        finally:
            self._deaf = False

    @contextmanager
    def stage(self, what: str, size: int = 0) -> Iterator[None]:
        """A block that may take long.

        Args:
            what: what goes on in it, such as "founder 1 of 2".
            size: datapoints that are scored in it; 0 where none are counted.
        """
        # The thread that looks must not see half of a stage.
        with self._lock:
            self._stage = _Stage(what, size)
        try:
            yield
        finally:
            with self._lock:
                self._stage = _Stage("")
                self._close_bar()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which no birth is decided, so that the terminal is free."""
        self._alone = True
        self._ended.clear()
        thread = threading.Thread(target=self._look, name="evomerge-stages", daemon=True)
        if self._shows_bars or self._shows_lines:
            thread.start()
        try:
            yield
        finally:
            self._alone = False
            self._ended.set()
            if thread.is_alive():
                thread.join()

    def _look(self) -> None:
        """Shows stages that call nobody, until no births are decided no more."""
        while not self._ended.wait(LOOK):
            with self._lock:
                if self._stage.name:
                    self._show()

    def _show(self) -> None:
        """Says how far the stage is, if it is time to."""
        now = time.monotonic()
        if self._shows_bars and self._bar_is_due(now):
            self._stage.shown_at = now
            self._draw()
        if self._shows_lines and self._line_is_due(now):
            self._stage.shown_at = now
            self._stage.shown_tenth = self._stage.tenth
            self._spoken = self._spoken or self._stage.scored > 0
            log.info("%s", self._stage.sentence(now))

    def _bar_is_due(self, now: float) -> bool:
        """Whether it is time to draw the bar; while births are decided, the bar is theirs."""
        stage = self._stage
        lasting = now >= stage.began_at + FLICKER
        return self._alone and lasting and now >= stage.shown_at + BAR_SECONDS

    def _line_is_due(self, now: float) -> bool:
        """Whether it is time for a line."""
        stage = self._stage
        # The first tile of all says at once that something goes on.
        if not self._spoken and stage.scored > 0:
            return True
        if stage.tenth != stage.shown_tenth:
            return now >= stage.shown_at + GAP
        silent = stage.shown_at == stage.began_at
        # A stage that has said nothing yet is not waited for as long as one that has.
        wait = SOON if silent else LINE_SECONDS
        return now >= stage.shown_at + wait

    def _draw(self) -> None:
        """Draws the stage's bar. A terminal may be gone by now, which costs no run."""
        with suppress(OSError):
            if self._bar is None:
                self._bar = self._stage.bar()
            self._bar.update(self._stage.scored - self._bar.n)
            self._bar.refresh()

    def _close_bar(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
            self._bar = None


class _Stage:
    """Something that may take long, and how far it is.

    Attributes:
        name: what goes on; nothing where no stage does.
        size: datapoints that are scored in it; 0 where none are counted.
        scored: how many are by now.
        began_at: when it began, in seconds of a monotonic clock.
        shown_at: when it was last shown; when it began, if it was not yet.
        shown_tenth: how many tenths of it were done then.
    """

    def __init__(self, name: str, size: int = 0) -> None:
        """A stage that begins now."""
        self.name = name
        self.size = size
        self.scored = 0
        self.began_at = time.monotonic()
        self.shown_at = self.began_at
        self.shown_tenth = 0

    @property
    def tenth(self) -> int:
        """How many tenths of it are done."""
        if not self.size:
            return 0
        return 10 * self.scored // self.size

    def sentence(self, now: float) -> str:
        """How far it is, in words."""
        if self.size:
            return f"{self.name}: {self.scored:,} of {self.size:,} datapoints"
        return f"{self.name}: {clock(now - self.began_at)} so far"

    def bar(self) -> Any:
        """A bar for it; a mere clock where no datapoints are counted."""
        settings: dict[str, Any] = {"desc": self.name, "dynamic_ncols": True, "leave": False}
        if self.size:
            return tqdm(total=self.size, unit=" datapoints", **settings)
        return tqdm(bar_format="{desc}: {elapsed}", **settings)
