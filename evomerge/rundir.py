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
import shlex
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from evomerge import founding, identity, lock
from evomerge.errors import Interrupted, UserError
from evomerge.files import OUTSIDE, place, saving, sync_folder, write_file, write_synced

_compact = json.JSONEncoder(separators=(",", ":")).encode

log = logging.getLogger(__name__)

SNAPSHOTS = ("latest", "previous")
GRAMS = "grams.safetensors"
WHOLE = (GRAMS, founding.NAME, identity.NAME, "config.yaml")
BEGINNING = (
    *lock.FILES,
    "births.jsonl",
    "state",
    "gallery",
    *WHOLE[:-1],
    *(f".{name}.new" for name in WHOLE),
)
"""What a run directory has before it has config.yaml and is a run."""

FORMAT = 1
"""Version of the snapshots' format."""


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


def check_run(path: Path) -> None:
    """Checks that there is a run.

    Raises:
        UserError: if there is none.
    """
    if not path.is_dir():
        raise UserError(f"{path}: there is no such run directory")
    if not (path / "config.yaml").is_file():
        raise UserError(f"{path}: not a run directory, it has no config.yaml")


def check_free(path: Path) -> None:
    """Checks that a run can begin here: there is nothing, or what is left of a beginning that failed.

    Raises:
        UserError: if there is a run, or anything else.
    """
    check_place(path)
    if (path / "config.yaml").exists():
        raise UserError(
            f"{path}: there is a run in it already; go on with `evomerge resume {shlex.quote(str(path))}`, or name another run_dir"
        )
    if path.exists() and not path.is_dir():
        raise UserError(f"{path}: expected a run directory, this is a file")
    saved = any((path / "state" / name).exists() for name in SNAPSHOTS)
    if saved and (
        not (path / "births.jsonl").is_file()
        or any("founder" not in entry for entry in read_births(path))
    ):
        raise UserError(
            f"{path}: a run is in it that has lost its config.yaml; put it back, or name another run_dir"
        )
    if path.is_dir() and any(entry.name not in BEGINNING for entry in path.iterdir()):
        raise UserError(
            f"{path}: a new run needs an empty directory, this one has other files in it"
        )


def check_new(path: Path) -> None:
    """Checks that a folder can be made here, and would be a new one.

    Raises:
        UserError: if it is there already, or the path leads through a file.
    """
    check_place(path.with_name(f".{path.name}.new") if path.name else path)  # in which it is filled
    if os.path.lexists(path):
        raise UserError(f"{path}: expected a folder that is not there yet")


def check_place(path: Path) -> None:
    """Checks that a folder could be made here.

    Raises:
        UserError: if the path is none, leads through a file or a link to nothing, or into a folder in which nobody may write.
    """
    path = place(path)
    near = next((parent for parent in (path, *path.parents) if os.path.lexists(parent)), Path("/"))
    if not near.exists():
        raise UserError(
            f"{path}: expected a path through folders, {near} is a link to {os.readlink(near)}, which is not there"
        )
    if near != path and not near.is_dir():
        raise UserError(f"{path}: expected a path through folders, {near.name} is a file")
    if near.is_dir() and not os.access(near, os.W_OK | os.X_OK):
        raise UserError(f"{path}: expected a folder to write in, {near} is read-only here")


def free_name(path: Path) -> Path:
    """The path, or path-2, path-3, ...: the first where nothing is, or a run of which nothing had begun."""
    candidates = (path if n == 1 else path.with_name(f"{path.name}-{n}") for n in range(1, 10_000))
    return next(
        candidate
        for candidate in candidates
        if not os.path.lexists(candidate) or _unbegun(candidate)
    )


def _unbegun(path: Path) -> bool:
    """Whether a run was stopped here while it was founded, and nobody is at it now."""
    if not (path / "births.jsonl").is_file():
        return False
    try:
        check_free(path)
        who = lock.holder(path)
    except (UserError, ValueError, OSError):
        return False
    return who is None or not who.locked


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


def read_snapshot(path: Path) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The newest snapshot that is whole: its name, data and tensors. Says so when it is not the latest.

    Raises:
        UserError: if none is whole; the message says what is wrong with each.
    """
    from safetensors.torch import load

    wrong = []
    for name in SNAPSHOTS:
        folder = path / "state" / name
        try:
            data = json.loads((folder / "state.json").read_bytes())
            if data.pop("sha256", None) != _digest(data):
                raise ValueError("state.json does not match its checksum")
            if data["format"] != FORMAT:
                raise ValueError(f"its format is {data['format']}, this evomerge reads {FORMAT}")
            arrays = (folder / "tensors.safetensors").read_bytes()
            if hashlib.sha256(arrays).hexdigest() != data["tensors"]["sha256"]:
                raise ValueError("tensors.safetensors does not match its checksum")
            with open(path / "births.jsonl", "rb") as file:
                lines = file.read(data["log"]["bytes"])
            if hashlib.sha256(lines).hexdigest() != data["log"]["sha256"]:
                raise ValueError("births.jsonl is not the log that belongs to it")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            what = "missing" if isinstance(error, FileNotFoundError) else str(error)
            wrong.append(f"{name}: {what}")
            continue
        if wrong:
            log.warning(
                "%s: %s; going on from the snapshot before it", path / "state", "; ".join(wrong)
            )
        return name, data, load(arrays)
    raise UserError(f"{path / 'state'}: no snapshot can be read ({'; '.join(wrong)})")


def read_births(path: Path) -> list[dict[str, Any]]:
    """The lines of births.jsonl; a last line that is not whole yet is left out."""
    with open(path / "births.jsonl", "rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]


def _apart(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors, none of which shares memory with another, as genomes may."""
    apart, taken = {}, set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        apart[name] = tensor.clone() if memory in taken else tensor.contiguous()
        taken.add(memory)
    return apart


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
