"""Runs side by side: each in a process of its own, so many at a time; what is there is gone on with, what has failed says why.

A process of its own keeps a run's memory its own, and its failure, too. All end, saved, when this process is stopped or dies.
"""

from __future__ import annotations

import ctypes
import json
import logging
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from evomerge.compare.rows import Run
from evomerge.config import config, resumed
from evomerge.errors import Interrupted, UserError
from evomerge.files import saving, write_file
from evomerge.run.stop import StopRequest
from evomerge.rundir.checks import check_free

log = logging.getLogger(__name__)

LOOK = 0.2
"""Seconds between looks at who has ended."""

PARENT_DEATH = 1
"""PR_SET_PDEATHSIG of Linux's prctl: the signal that a process gets when its parent dies."""


def check(runs: Sequence[Run]) -> None:
    """Checks that what is there already was made by the same calls, and that nothing else is.

    Raises:
        UserError: if not.
    """
    problems = []
    for run in (run for run in runs if run.ours):
        if (run.path / "config.yaml").is_file():
            problems += resumed.changes(run.path, run.call)
        else:
            check_free(run.path)
    if problems:
        raise UserError(
            "\n".join([*problems, "compare into another folder with --out, or remove these runs"])
        )


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
    failed: dict[Path, str] = {}
    waiting, asked = [], False
    for run in runs:
        if _ended(run):
            continue
        if run.ours:
            waiting.append(run)
        else:
            failed[run.path] = (
                f"it has not ended; go on with `evomerge resume {shlex.quote(str(run.path))}`"
            )
    if there := len(runs) - len(waiting) - len(failed):
        log.info("%d of %d runs are there already", there, len(runs))
    going: dict[Path, tuple[Run, subprocess.Popen[bytes]]] = {}
    with StopRequest() as stop:
        try:
            while going or (waiting and not stop):
                while waiting and len(going) < jobs and not stop:
                    run = waiting.pop(0)
                    try:
                        going[run.path] = run, _begin(run)
                        log.info("%s begins, %d more wait", run.path, len(waiting))
                    except Interrupted as error:
                        failed[run.path] = str(error)
                time.sleep(LOOK)
                for path, (run, process) in list(going.items()):
                    if process.poll() is not None:
                        del going[path]
                        why = None if process.returncode == 0 else _why(run, process.returncode)
                        log.info("%s %s", path, _told(run) if why is None else why)
                        failed |= {} if why is None else {path: why}
                if stop and not asked:
                    log.info("stopping: waiting for %d runs to save", len(going))
                    for _, process in going.values():
                        process.terminate()
                    asked = True
        finally:
            for _, process in going.values():
                process.kill()
        if stop:
            raise stop.error()
    return failed


def _ended(run: Run) -> bool:
    """Whether a run has all its births, or has ended before them by what the call says."""
    try:
        births = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))["births"]
        before = config.load(run.path / "config.yaml")
    except (OSError, ValueError, LookupError, TypeError, UserError):
        return False
    limits = ("patience", "hours")
    early = any(run.call.get(name) is not None for name in limits) and all(
        before.get(n) == run.call.get(n) for n in limits
    )
    return isinstance(births, int) and (births >= run.call["births"] or early)


def _begin(run: Run) -> subprocess.Popen[bytes]:
    """Starts a run's process, anew or where it stood."""
    file, output = (
        run.path.with_name(f"{run.path.name}.yaml"),
        run.path.with_name(f"{run.path.name}.log"),
    )
    command = [sys.executable, "-m", "evomerge"]
    with saving(run.path):
        run.path.parent.mkdir(parents=True, exist_ok=True)
        if (run.path / "config.yaml").is_file():
            now = {key: run.call.get(key) for key in resumed.CHANGEABLE}
            now["births"] = max(
                now["births"], config.load(run.path / "config.yaml")["births"]
            )  # which may only be raised
            command += [
                "resume",
                str(run.path),
                *(f"{key}={json.dumps(value)}" for key, value in now.items()),
            ]
        else:
            write_file(file, config.to_yaml({**run.call, "run_dir": str(run.path)}))
            command += ["run", str(file)]
        with open(output, "wb") as told:
            return subprocess.Popen(  # noqa: S603  our own interpreter and program
                command,
                stdin=subprocess.DEVNULL,
                stdout=told,
                stderr=told,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )


def _die_with_parent() -> None:
    """Has the system ask this process to stop, and save, when its parent dies, where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)


def _why(run: Run, code: int) -> str:
    """Why a run has failed: the last of what it said of that."""
    lines = run.path.with_name(f"{run.path.name}.log").read_text(errors="replace").splitlines()
    told = [
        line.removeprefix("evomerge: ") for line in lines if line.startswith("evomerge: ")
    ] or lines
    how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{told[-1] if told else 'it said nothing'} ({how})"


def _told(run: Run) -> str:
    """A run's result in words."""
    summary = json.loads((run.path / "summary.json").read_text(encoding="utf-8"))
    best = summary["best"]
    test = "" if best["test"] is None else f", test {best['test']:.4f}"
    return f"has ended: train {best['train']:.4f}{test}, {summary['seconds']:.0f} s"
