"""The run directory: config, log, snapshots. What was there is never lost: new files are written beside and renamed.

config.yaml     the call of `evolve` that made the run
identity.json   by what trackers know the run
births.jsonl    a line for each founder and each birth, in order
grams.safetensors  inner products of the seeds, where genomes are recipes
founders.safetensors  the founders' scores at each datapoint, and more that only the beginning knows
state/latest    a snapshot: state.json and tensors.safetensors, checksummed; state/previous is the one before
best/           the best member in its native format
summary.json    the run in numbers
report.html     the run in pictures
.lock           who writes here now; .lock.held likewise, where the file system has no locks
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.errors import Interrupted, UserError
from evomerge.files import OUTSIDE, saving, sync_folder, write_file, write_synced
from evomerge.rundir import identity, lock
from evomerge.rundir.places import GRAMS, check_free, check_run
from evomerge.rundir.snapshots import FORMAT, SNAPSHOTS, _digest, read_snapshot

_compact = json.JSONEncoder(separators=(",", ":")).encode

log = logging.getLogger(__name__)


class RunDir:
    """A run directory opened for writing by this process alone."""

    def __init__(self, path: Path) -> None:
        """Use `create` or `reopen`."""
        self.path = path
        self._made: list[Path] = []
        self._lock = lock.take(path)
        self._log = os.open(path / "births.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._waiting = b""
        self._length, self._hash = 0, hashlib.sha256()

    @classmethod
    def create(cls, path: Path) -> RunDir:
        """A new run directory. It is a run, which can be resumed, once it has a snapshot and then config.yaml.

        Raises:
            UserError: if there is a run in it already, or something that is not a run.
        """
        check_free(path)
        with _making(path):
            made = [folder for folder in (path, *path.parents) if not folder.exists()]
            path.mkdir(parents=True, exist_ok=True)
            before = {entry.name for entry in path.iterdir()}
            run_dir = cls(path)
            try:
                check_free(path)
                os.ftruncate(run_dir._log, 0)
                identity.make(path)
                run_dir._made = [
                    entry for entry in path.iterdir() if entry.name not in before
                ] + made
            except BaseException:
                run_dir.close()
                raise
            return run_dir

    @classmethod
    def reopen(cls, path: Path) -> tuple[RunDir, dict[str, Any], dict[str, Any]]:
        """An existing run directory, set back to its newest snapshot that is whole; and that snapshot's data and tensors.

        Raises:
            UserError: if there is no run, no snapshot is whole, or another process uses it.
        """
        check_run(path)
        if not (path / "births.jsonl").is_file():
            raise UserError(f"{path}: its births.jsonl is missing, without it the run cannot go on")
        with saving(path):
            run_dir = cls(path)
        try:
            name, data, tensors = read_snapshot(path)
            if name != SNAPSHOTS[0]:
                with suppress(FileNotFoundError):
                    shutil.rmtree(path / "state" / SNAPSHOTS[0])
            length = data["log"]["bytes"]
            with open(path / "births.jsonl", "rb+") as file:
                run_dir._hash.update(file.read(length))
                file.truncate(length)
            run_dir._length = length
        except BaseException:
            run_dir.close()
            raise
        return run_dir, data["state"], tensors

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a line to births.jsonl, where others can read it at once.

        Raises:
            Interrupted: if it cannot be written.
        """
        line = _compact(record).encode() + b"\n"
        self._waiting += line
        self._hash.update(line)
        self._length += len(line)
        self._flush()

    def _flush(self) -> None:
        with saving(self.path):
            while self._waiting:  # what a full disk does not take stays there
                self._waiting = self._waiting[os.write(self._log, self._waiting) :]

    def save(self, state: Mapping[str, Any], tensors: Mapping[str, Any]) -> None:
        """Writes a snapshot; the latest becomes the previous one.

        Args:
            state: JSON data.
            tensors: torch tensors by name.

        Raises:
            Interrupted: if it cannot be written; the snapshots that were there stay.
        """
        from safetensors.torch import save

        self._flush()
        folder = self.path / "state"
        new, (latest, previous) = folder / "new", (folder / name for name in SNAPSHOTS)
        with saving(self.path):
            os.fsync(self._log)
            arrays = save(_apart(tensors))
            data = {
                "format": FORMAT,
                "log": {"bytes": self._length, "sha256": self._hash.hexdigest()},
                "tensors": {"bytes": len(arrays), "sha256": hashlib.sha256(arrays).hexdigest()},
                "state": state,
            }
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(parents=True)
            try:
                write_synced(new / "tensors.safetensors", arrays)
                write_synced(
                    new / "state.json", json.dumps({"sha256": _digest(data), **data}).encode()
                )
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
            if latest.exists():
                shutil.rmtree(previous, ignore_errors=True)
                latest.rename(previous)
            new.rename(latest)
            sync_folder(folder)

    def keep_grams(self, units: np.ndarray) -> None:
        """Keeps the seeds' Gram matrices, (U, K, K) float64, for a resume.

        Raises:
            Interrupted: if they cannot be written.
        """
        from safetensors.numpy import save

        with saving(self.path):
            sha256 = hashlib.sha256(units.tobytes()).hexdigest()
            write_file(self.path / GRAMS, save({"units": units}, metadata={"sha256": sha256}))

    def grams(self) -> np.ndarray | None:
        """What `keep_grams` kept; None if nothing, or if the file is damaged."""
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path / GRAMS, framework="numpy") as file:
                units: np.ndarray = file.get_tensor("units")
                if (file.metadata() or {}).get("sha256") != hashlib.sha256(
                    units.tobytes()
                ).hexdigest():
                    raise ValueError("it does not match its checksum")
            return units
        except (OSError, SafetensorError, ValueError) as error:
            log.warning(
                "%s cannot be read (%s); the seeds are read again", self.path / GRAMS, error
            )
            return None

    def abandon(self) -> None:
        """Takes away what `create` has made, where a run that could not begin left nothing else there."""
        if (self.path / "state").exists():
            return
        for made in self._made:
            with suppress(OSError):  # of which one is not empty, or gone
                made.rmdir() if made.is_dir() else made.unlink()

    def close(self) -> None:
        """Lets another process have the directory."""
        with suppress(Interrupted):
            self._flush()
        os.close(self._log)
        lock.release(self._lock)


@contextmanager
def _making(path: Path) -> Iterator[None]:
    """Turns a failure to make a folder into what it is: a place where none can be, or a system that fails.

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


def _apart(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors, none of which shares memory with another, as genomes may."""
    apart, taken = {}, set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in taken else tensor.contiguous()
        taken.add(memory)
    return apart
