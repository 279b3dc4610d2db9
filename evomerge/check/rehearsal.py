"""A run rehearsed: its first births and its end for real, in a folder that is thrown away."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge import memory
from evomerge.archives.archive import Archive
from evomerge.errors import Interrupted, UserError
from evomerge.evolution import evolve
from evomerge.files import saving
from evomerge.run import between
from evomerge.rundir.births import read_births

PREFIX = ".rehearsal-"
"""How the name of a rehearsal's folder begins."""

DAY = 86_400
"""Seconds after which such a folder was left by a rehearsal that was killed."""


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What a rehearsal was like.

    Attributes:
        archive: the archive at its end.
        founders: the log's lines of the founders.
        births: the log's lines of its births, one or more, not all of which failed.
        seconds: what all of it took.
        loop: what its births took of that.
        sizes: bytes of what it left on the disk, by name in the run directory.
        snapshot: bytes of its last snapshot.
        memory: most bytes that this process has had.
        gpu_memory: most bytes that it has had on GPUs.
        workers: what its workers said of themselves, if they are of a kind that does.
    """

    archive: Archive
    founders: list[dict[str, Any]]
    births: list[dict[str, Any]]
    seconds: float
    loop: float
    sizes: dict[str, int]
    snapshot: int
    memory: int
    gpu_memory: int
    workers: dict[str, Any]

    @classmethod
    def of_run(cls, path: Path, archive: Archive, seconds: float) -> Rehearsal:
        """Reads what a run has left, and measures what it has taken.

        Args:
            path: its run directory.
            archive: its archive.
            seconds: what all of it took.
        """
        log = read_births(path)
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        return cls(
            archive=archive,
            founders=[entry for entry in log if "founder" in entry],
            births=[entry for entry in log if "founder" not in entry],
            seconds=seconds,
            loop=summary["seconds"],
            sizes={part.name: bytes_in(part) for part in path.iterdir()},
            snapshot=bytes_in(path / "state" / "latest"),
            memory=memory.peak(),
            gpu_memory=memory.gpu_peak(),
            workers=summary.get("workers", {}),
        )

    @property
    def failures(self) -> list[str]:
        """Why births failed."""
        return [entry["failure"] for entry in self.births if "failure" in entry]

    @property
    def seconds_a_birth(self) -> float:
        """The mean time of a birth."""
        return self._mean("seconds")

    @property
    def scored(self) -> float:
        """The mean share of the datapoints that was scored."""
        return self._mean("scored")

    def _mean(self, key: str) -> float:
        """The mean of a number that the log has of each birth."""
        return sum(entry[key] for entry in self.births) / len(self.births)


def rehearse(call: Mapping[str, Any], folder: Path, births: int, seconds: float) -> Rehearsal:
    """Runs the first births, and everything that comes before and after them.

    Args:
        call: the arguments of `evolve`. Trackers that it names hear nothing.
        folder: an existing folder on the disk that the run will use; nothing is left in it.
        births: how many births are raised at most.
        seconds: for how long births are raised; at least one is.

    Raises:
        UserError: if something is wrong, or all births failed.
        Interrupted: if the environment fails.
    """
    _clean(folder)
    with saving(folder):
        place = tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder)
    with place as name, _silent(name):
        path = Path(name) / "run"
        changed: dict[str, Any] = {
            "births": births,
            "hours": seconds / 3600,
            "patience": None,
            "run_dir": path,
            "progress": "founders",
        }
        # None would mean TensorBoard, which writes into the run directory as the run itself will.
        if call.get("trackers"):
            changed["trackers"] = []
        # Everything but the births is as the run will have it, its end too.
        started = time.monotonic()
        try:
            archive = evolve(**{**call, **changed})
        except (UserError, Interrupted) as error:
            raise _about_the_run(error, path, folder) from error
        done = Rehearsal.of_run(path, archive, time.monotonic() - started)
    # A call that always fails would otherwise be a yes, with a time of its failures.
    if not done.births:
        raise UserError(f"births: not one was decided in {seconds:g} s")
    if len(done.failures) == len(done.births):
        raise UserError(f"the first birth failed: {done.failures[0]}")
    return done


def bytes_in(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _about_the_run(error: UserError | Interrupted, path: Path, folder: Path) -> Exception:
    """An error of a rehearsal as one of the run, which knows nothing of a folder that is gone."""
    # A run that fails says how to go on with it, and raises that from the error itself.
    inner = error
    if isinstance(error.__cause__, UserError | Interrupted):
        inner = error.__cause__
    return type(inner)(str(inner).replace(str(path), str(folder)))


def _clean(folder: Path) -> None:
    """Deletes what is left of rehearsals that were killed a day ago or longer."""
    # Another rehearsal may go on beside this one, so what is new stays.
    for old in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if old.stat().st_mtime < time.time() - DAY:
                shutil.rmtree(old)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """A block whose news is not logged, but for stages that take long and for warnings.

    Args:
        name: a folder that will be gone; warnings that name it are not logged either.
    """

    def passes(record: logging.LogRecord) -> bool:
        warns = record.levelno >= logging.WARNING and name not in record.getMessage()
        return warns or record.name == between.__name__

    # Filters of a logger do not see what comes from the loggers below it; those of handlers do.
    handlers = logging.getLogger().handlers
    for handler in handlers:
        handler.addFilter(passes)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(passes)
