"""The run directory: config, log, snapshots. What was there is never lost.

config.yaml     the call of `evolve` that made the run
identity.json   by what trackers know the run
births.jsonl    a line for each founder and each birth, in order
grams.safetensors  inner products of the seeds, where genomes are recipes
founders.safetensors  the founders' scores at each datapoint, and more that only the beginning knows
state/latest    a snapshot: state.json and tensors.safetensors; state/previous is the one before
best/           the best member in its native format
summary.json    the run in numbers
report.html     the run in pictures
.lock           who writes here now; .lock.held likewise, where the file system has no locks

New files are written beside their place and renamed.
"""

from __future__ import annotations

import hashlib
import logging
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.errors import Interrupted, UserError
from evomerge.files import OUTSIDE, saving, write_file
from evomerge.rundir import identity, lock
from evomerge.rundir.checks import check_free, check_run
from evomerge.rundir.log import Log
from evomerge.rundir.places import GRAMS, LATEST, LOG, STATE
from evomerge.rundir.snapshots import Snapshot, read_snapshot, write_snapshot

log = logging.getLogger(__name__)


class RunDir:
    """A run directory opened for writing by this process alone."""

    def __init__(self, path: Path, held: int, births: Log, made: Iterable[Path] = ()) -> None:
        """Use `create` or `reopen`.

        Args:
            path: the directory.
            held: its lock, as `lock.take` gives it.
            births: its log.
            made: files and folders that were made for the run, the innermost first.
        """
        self.path = path
        self._lock = held
        self._log = births
        self._made = tuple(made)

    @classmethod
    def create(cls, path: Path) -> RunDir:
        """A new run directory.

        It is a run, which can be resumed, once it has a snapshot and then config.yaml.

        Raises:
            UserError: if there is a run in it already, or something that is not a run.
            Interrupted: if the system refuses to write.
        """
        check_free(path)
        with _making(path):
            folders = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            before = set(path.iterdir())
            held = lock.take(path)
            try:
                # Another process may have begun a run here before the lock was ours.
                check_free(path)
                identity.make(path)
                births = Log(path / LOG, length=0)
                files = [entry for entry in path.iterdir() if entry not in before]
            except BaseException:
                lock.release(held)
                raise
            return cls(path, held, births, files + folders)

    @classmethod
    def reopen(cls, path: Path) -> tuple[RunDir, dict[str, Any], dict[str, Any]]:
        """An existing run directory, set back to its newest snapshot that is whole.

        Returns:
            The directory, and the snapshot's state and tensors.

        Raises:
            UserError: if there is no run, no snapshot is whole, or another process uses it.
            Interrupted: if the system refuses to write.
        """
        # A snapshot without its log is of no use, which is said before the lock is asked for.
        check_run(path)
        if not (path / LOG).is_file():
            raise UserError(f"{path}: its births.jsonl is missing, without it the run cannot go on")
        with saving(path):
            held = lock.take(path)
        try:
            # Births behind the snapshot are raised again, so the log ends where the snapshot does.
            snapshot = read_snapshot(path)
            _drop_damaged(path, snapshot)
            with saving(path):
                births = Log(path / LOG, snapshot.data["log"]["bytes"])
        except BaseException:
            lock.release(held)
            raise
        return cls(path, held, births), snapshot.data["state"], snapshot.tensors

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a line to births.jsonl, where others can read it at once.

        Raises:
            Interrupted: if it cannot be written.
        """
        with saving(self.path):
            self._log.append(record)

    def save(self, state: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Writes a snapshot; the latest becomes the previous one.

        Args:
            state: JSON data.
            tensors: torch tensors by name.

        Raises:
            Interrupted: if it cannot be written; the snapshots that were there stay.
        """
        with saving(self.path):
            # A snapshot names the log's length, so the log must be on the disk before it.
            self._log.sync()
            write_snapshot(self.path, state, tensors, self._log.length, self._log.sha256)

    def keep_grams(self, units: np.ndarray) -> None:
        """Keeps the seeds' Gram matrices, (U, K, K) float64, for a resume.

        Raises:
            Interrupted: if they cannot be written.
        """
        from safetensors.numpy import save

        with saving(self.path):
            content = save({"units": units}, metadata={"sha256": _sha256(units)})
            write_file(self.path / GRAMS, content)

    def grams(self) -> np.ndarray | None:
        """What `keep_grams` kept; None if nothing, or if the file is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / GRAMS, framework="numpy") as file:
                units: np.ndarray = file.get_tensor("units")  # (U, K, K)
                metadata = file.metadata() or {}
            if metadata.get("sha256") != _sha256(units):
                raise ValueError("it does not match its checksum")
        except (OSError, SafetensorError, ValueError) as error:
            log.warning(
                "%s cannot be read (%s); the seeds are read again", self.path / GRAMS, error
            )
            return None
        return units

    def abandon(self) -> None:
        """Takes away what `create` has made, where a run could not begin and left nothing else."""
        # With a snapshot it is a beginning that the same command takes over.
        if (self.path / STATE).exists():
            return
        for made in self._made:
            # A folder may hold something of somebody else's by now, and a file may be gone.
            with suppress(OSError):
                if made.is_dir():
                    made.rmdir()
                else:
                    made.unlink()

    def close(self) -> None:
        """Lets another process have the directory."""
        # What a full disk does not take now is raised again by a resume.
        with suppress(OSError):
            self._log.flush()
        self._log.close()
        lock.release(self._lock)


def _drop_damaged(path: Path, snapshot: Snapshot) -> None:
    """Removes the latest snapshot where the run goes on from the one before it.

    Otherwise the next snapshot would make the damaged one the previous, and the only whole one
    would be lost.
    """
    if snapshot.name != LATEST:
        with suppress(FileNotFoundError):
            shutil.rmtree(path / STATE / LATEST)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Tells apart why a folder cannot be made: none can be there, or the system fails.

    Raises:
        UserError: if no folder can be there.
        Interrupted: if the system fails.
    """
    try:
        yield
    except OSError as error:
        if error.errno in OUTSIDE:
            raise Interrupted(f"{path}: cannot be written ({error.strerror or error})") from error
        raise UserError(f"{path}: no run can be kept there ({error.strerror or error})") from error


def _sha256(array: np.ndarray) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()
