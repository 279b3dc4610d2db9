"""The process of one run. It keeps the run's memory its own, and its failure, too."""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from pathlib import Path

from evomerge.compare.rows import Run
from evomerge.config import config, resumed
from evomerge.files import saving, write_file

PROGRAM = Path(__file__).absolute().parents[1] / "__main__.py"
"""Our command by its path: with `-m evomerge`, Python would run an evomerge.py that is here."""

PARENT_DEATH = 1
"""PR_SET_PDEATHSIG of Linux's prctl: the signal that a process gets when its parent dies."""


def start(run: Run) -> subprocess.Popen[bytes]:
    """Starts a run's process, anew or where it stood.

    Raises:
        Interrupted: if its files cannot be written.
    """
    # A disk that is full, or a folder that cannot be written, fails this run alone.
    with saving(run.path):
        run.path.parent.mkdir(parents=True, exist_ok=True)
        if (run.path / "config.yaml").is_file():
            arguments = _resume(run)
        else:
            file = run.path.with_name(f"{run.path.name}.yaml")
            write_file(file, config.to_yaml({**run.call, "run_dir": str(run.path)}))
            arguments = ["run", str(file)]
        with open(_log(run), "wb") as output:
            return subprocess.Popen(  # noqa: S603, our own interpreter and program
                [sys.executable, str(PROGRAM), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                # A signal from the terminal reaches us alone, and we ask the runs to stop.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )


def failure(run: Run, code: int) -> str:
    """Why a run has failed: the last of what it said of that."""
    lines = _log(run).read_text(errors="replace").splitlines()
    said = [line.removeprefix("evomerge: ") for line in lines if line.startswith("evomerge: ")]
    # Python's own words, such as those of a crash, have no such beginning.
    said = said or lines or ["it said nothing"]
    ending = f"exit code {code}"
    if code < 0:
        ending = signal.Signals(-code).name
    return f"{said[-1]} ({ending})"


def _log(run: Run) -> Path:
    """The file of what a run's process says."""
    return run.path.with_name(f"{run.path.name}.log")


def _resume(run: Run) -> list[str]:
    """The arguments of a resume, with all that it may change as the call has it."""
    changes = {key: run.call.get(key) for key in resumed.CHANGEABLE}
    # A run that was longer already stays so: births can only be raised.
    before = config.load(run.path / "config.yaml")
    changes["births"] = max(run.call["births"], before["births"])
    overrides = [f"{key}={json.dumps(value)}" for key, value in changes.items()]
    return ["resume", str(run.path), *overrides]


def _die_with_parent() -> None:
    """Has the system ask this process to stop, and save, when its parent dies, where it can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGTERM)
