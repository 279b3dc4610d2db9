"""Between two tiles: a signal is heard, and what takes long without being a birth says how far it is."""

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
from evomerge.watch.terminal import clock

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
    """What is called between two tiles, and while workers are waited for: raises where the run was asked to stop.

    It also shows the stages of a run in which no birth is decided: a bar on a terminal; elsewhere a line behind the first tile, at every
    tenth of a stage, and now and then. While births are not decided (`alone`), a thread looks at stages that call nobody, such as loading.
    """

    def __init__(self, stop_request: StopRequest, shown: bool = True) -> None:
        """Shows nothing until there is a stage."""
        self._stop_request = stop_request
        terminal = sys.stderr is not None and sys.stderr.isatty()
        self._bars, self._lines = shown and terminal, shown and not terminal
        self._deaf = self._alone = False
        self._what, self._size, self._scored = "", 0, 0
        self._began = self._said = 0.0
        self._tenth, self._spoken = 0, False
        self._bar: Any = None
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
        if scored and self._what:
            with self._lock:
                self._scored += scored
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
            what: what goes on, such as "founder 1 of 2".
            size: datapoints that are scored in it; 0 where none are counted.
        """
        with self._lock:
            self._what, self._size, self._scored, self._tenth = what, size, 0, 0
            self._began = self._said = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._what = ""
                self._close_bar()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """A block in which no birth is decided, so that the terminal is free."""
        self._alone = True
        self._ended.clear()
        thread = threading.Thread(target=self._look, name="evomerge-stages", daemon=True)
        if self._bars or self._lines:
            thread.start()
        try:
            yield
        finally:
            self._alone = False
            self._ended.set()
            if thread.is_alive():
                thread.join()

    def _look(self) -> None:
        while not self._ended.wait(LOOK):
            with self._lock:
                if self._what:
                    self._show()

    def _show(self) -> None:
        """Says how far the stage is, if it is time to."""
        now = time.monotonic()
        if self._bars:
            if self._alone and now >= self._began + FLICKER and now >= self._said + BAR_SECONDS:
                self._said = now
                self._draw()
            return
        if not self._lines:
            return
        tenth = 10 * self._scored // self._size if self._size else 0
        first = not self._spoken and self._scored > 0
        wait = SOON if self._said == self._began else LINE_SECONDS
        if first or now >= self._said + (GAP if tenth != self._tenth else wait):
            self._said, self._tenth = now, tenth
            self._spoken = self._spoken or self._scored > 0
            log.info("%s", self._told(now))

    def _told(self, now: float) -> str:
        if self._size:
            return f"{self._what}: {self._scored:,} of {self._size:,} datapoints"
        return f"{self._what}: {clock(now - self._began)} so far"

    def _draw(self) -> None:
        with suppress(OSError):  # a terminal that is gone
            if self._bar is None:
                form: dict[str, Any] = {} if self._size else {"bar_format": "{desc}: {elapsed}"}
                total = self._size or None
                self._bar = tqdm(
                    total=total,
                    desc=self._what,
                    unit=" datapoints",
                    dynamic_ncols=True,
                    leave=False,
                    **form,
                )
            self._bar.update(self._scored - self._bar.n)
            self._bar.refresh()

    def _close_bar(self) -> None:
        if self._bar is not None:
            with suppress(OSError):
                self._bar.close()
            self._bar = None
