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

PREFIX, DAY = ".rehearsal-", 86_400
"""How its folder is called; seconds after which one that is still there was left by a rehearsal that was killed."""


@dataclass(frozen=True, eq=False)
class Rehearsal:
    """What a rehearsal was like.

    Attributes:
        archive: at its end.
        founders: the log's lines of the founders.
        births: the log's lines of its births, one or more, not all of which failed.
        seconds: what all of it took.
        loop: what its births took of that.
        sizes: bytes of what it left on the disk, by name in the run directory.
        snapshot: bytes of its last snapshot.
        memory: most bytes that this process has had.
        gpu_memory: likewise on GPUs.
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

    @property
    def failures(self) -> list[str]:
        """Why births failed."""
        return [entry["failure"] for entry in self.births if "failure" in entry]

    @property
    def seconds_a_birth(self) -> float:
        """What one took."""
        return sum(entry["seconds"] for entry in self.births) / len(self.births)

    @property
    def scored(self) -> float:
        """The mean share of the datapoints that was scored."""
        return sum(entry["scored"] for entry in self.births) / len(self.births)


def rehearse(call: Mapping[str, Any], folder: Path, births: int, seconds: float) -> Rehearsal:
    """Runs the first births, and everything that comes before and after them.

    Args:
        call: the arguments of `evolve`. Trackers that it names hear nothing.
        folder: an existing one on the disk that the run will use; nothing is left in it.
        births: how many at most.
        seconds: for how long births are raised; at least one is.

    Raises:
        UserError: if something is wrong, or all births failed.
        Interrupted: if the environment fails.
    """
    _clean(folder)
    with saving(folder):
        place = tempfile.TemporaryDirectory(prefix=PREFIX, dir=folder)
    with place as name, _silent(name):
        path, trackers = Path(name) / "run", call.get("trackers") and []
        changed = {
            "births": births,
            "hours": seconds / 3600,
            "patience": None,
            "trackers": trackers,
            "run_dir": path,
        }
        started = time.monotonic()
        try:
            archive = evolve(**{**call, **changed, "progress": "founders"})
        except (UserError, Interrupted) as error:
            inner = (
                error.__cause__ if isinstance(error.__cause__, UserError | Interrupted) else error
            )
            # without what the run says of going on, or of a folder that is gone
            raise type(inner)(str(inner).replace(str(path), str(folder))) from error
        took = time.monotonic() - started
        log, summary = (
            read_births(path),
            json.loads((path / "summary.json").read_text(encoding="utf-8")),
        )
        done = Rehearsal(
            archive,
            [entry for entry in log if "founder" in entry],
            [entry for entry in log if "founder" not in entry],
            took,
            summary["seconds"],
            {part.name: taken(part) for part in path.iterdir()},
            taken(path / "state" / "latest"),
            memory.peak(),
            memory.gpu_peak(),
            summary.get("workers", {}),
        )
    if not done.births:
        raise UserError(f"births: not one was decided in {seconds:g} s")
    if len(done.failures) == len(done.births):
        raise UserError(f"the first birth failed: {done.failures[0]}")
    return done


def taken(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return (
        path.stat().st_size
        if path.is_file()
        else sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    )


def _clean(folder: Path) -> None:
    """Deletes what is left of rehearsals that were killed a day ago or longer."""
    for old in folder.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if old.stat().st_mtime < time.time() - DAY:
                shutil.rmtree(old)


@contextmanager
def _silent(name: str) -> Iterator[None]:
    """Without news but of stages that take long, and without warnings that name a folder which will be gone; other warnings are told."""

    def worth(record: logging.LogRecord) -> bool:
        return record.name == between.__name__ or (
            record.levelno >= logging.WARNING and name not in record.getMessage()
        )

    handlers = logging.getLogger().handlers
    for handler in handlers:
        handler.addFilter(worth)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(worth)
