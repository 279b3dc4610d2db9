"""Runs side by side, so many at a time.

What is there is gone on with, and what has failed says why. All runs end, saved, when this process
is stopped or dies.
"""

from __future__ import annotations

import json
import logging
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from evomerge.compare import process
from evomerge.compare.rows import Run
from evomerge.config import config, resumed
from evomerge.errors import Interrupted, UserError
from evomerge.run.stop import StopRequest
from evomerge.rundir.checks import check_free

log = logging.getLogger(__name__)

LOOK = 0.2
"""Seconds between looks at who has ended."""

LIMITS = ("patience", "hours")
"""Settings by which a run may end before its last birth."""


def check(runs: Sequence[Run]) -> None:
    """Checks that what is there already was made by the same calls, and that nothing else is.

    Raises:
        UserError: if not.
    """
    problems = []
    for run in runs:
        if not run.ours:
            continue
        # A run of another call would be taken for this one, and a file of a user's is not ours.
        if (run.path / "config.yaml").is_file():
            problems += resumed.changes(run.path, run.call)
        else:
            check_free(run.path)
    if problems:
        problems.append("compare into another folder with --out, or remove these runs")
        raise UserError("\n".join(problems))


def run_all(runs: Sequence[Run], jobs: int) -> dict[Path, str]:
    """Makes the runs that are not there, and goes on with those that have not ended.

    Args:
        runs: the runs, in the order in which they begin.
        jobs: how many go on at once.

    Returns:
        Why each that failed did, by its directory.

    Raises:
        Stopped: if this process was asked to stop, once all have saved.
    """
    waiting: list[Run] = []
    failed: dict[Path, str] = {}
    for run in runs:
        if _ended(run):
            continue
        if run.ours:
            waiting.append(run)
        else:
            command = f"evomerge resume {shlex.quote(str(run.path))}"
            failed[run.path] = f"it has not ended; go on with `{command}`"
    there = len(runs) - len(waiting) - len(failed)
    if there:
        log.info("%d of %d runs are there already", there, len(runs))
    return _Processes(waiting, jobs).run() | failed


class _Processes:
    """The processes of runs, so many at a time."""

    def __init__(self, waiting: Sequence[Run], jobs: int) -> None:
        """Starts none yet."""
        self._waiting = list(waiting)
        self._jobs = jobs
        self._going: dict[Path, tuple[Run, subprocess.Popen[bytes]]] = {}
        self._failed: dict[Path, str] = {}
        self._asked_to_stop = False

    def run(self) -> dict[Path, str]:
        """Starts all, and waits for them; gives why each that failed did, by its directory.

        Raises:
            Stopped: if this process was asked to stop, once all have saved.
        """
        with StopRequest() as stop_request:
            try:
                while self._going or (self._waiting and not stop_request):
                    while self._waiting and len(self._going) < self._jobs and not stop_request:
                        self._start(self._waiting.pop(0))
                    time.sleep(LOOK)
                    self._collect()
                    # A signal may come at any time. Each process is asked once: a second signal
                    # would end it without saving.
                    if stop_request and not self._asked_to_stop:
                        self._stop()
            finally:
                # Whatever was raised here, nobody would wait for them any more.
                for _, child in self._going.values():
                    child.kill()
            if stop_request:
                raise stop_request.error()
        return self._failed

    def _start(self, run: Run) -> None:
        """Starts the process of a run."""
        try:
            # A run whose files cannot be written is one that failed; the others go on.
            self._going[run.path] = run, process.start(run)
        except Interrupted as error:
            self._failed[run.path] = str(error)
        else:
            log.info("%s begins, %d more wait", run.path, len(self._waiting))

    def _collect(self) -> None:
        """Takes what the processes that have ended came to."""
        for path, (run, child) in list(self._going.items()):
            code = child.poll()
            if code is None:
                continue
            del self._going[path]
            if code == 0:
                log.info("%s %s", path, _result(run))
            else:
                self._failed[path] = process.failure(run, code)
                log.info("%s %s", path, self._failed[path])

    def _stop(self) -> None:
        """Asks all processes to save and end."""
        log.info("stopping: waiting for %d runs to save", len(self._going))
        for _, child in self._going.values():
            child.terminate()
        self._asked_to_stop = True


def _ended(run: Run) -> bool:
    """Whether a run has all its births, or has ended before them by what the call says."""
    try:
        summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
        births = summary["births"]
        before = config.load(run.path / "config.yaml")
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return False
    if not isinstance(births, int):
        return False
    # With other limits than it ended by, it may go on.
    limited = False
    for name in LIMITS:
        if before.get(name) != run.call.get(name):
            return births >= run.call["births"]
        limited = limited or run.call.get(name) is not None
    return limited or births >= run.call["births"]


def _result(run: Run) -> str:
    """A run's result in words."""
    summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    best = summary["best"]
    scores = f"train {best['train']:.4f}"
    if best["test"] is not None:
        scores += f", test {best['test']:.4f}"
    return f"has ended: {scores}, {summary['seconds']:.0f} s"
