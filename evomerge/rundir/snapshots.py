"""Snapshots: what a run needs to go on, written as a whole and checked against its checksums.

A snapshot is a folder with state.json and tensors.safetensors. It also says how long the log was,
and what its checksum was. The one before the newest is kept, for a disk that damages files.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from evomerge.errors import UserError
from evomerge.files import sync_folder, write_synced
from evomerge.rundir.places import LATEST, LOG, PREVIOUS, STATE, STATE_DATA, STATE_TENSORS

FORMAT = 1
"""Version of the snapshots' format."""

SNAPSHOTS = (LATEST, PREVIOUS)
"""The names of the snapshots, the newest first."""

NEW = "new"
"""The folder in which a snapshot is filled before it is renamed."""

BEST = "best."
"""What the names of the best's rows begin with."""

log = logging.getLogger(__name__)


class Snapshot(NamedTuple):
    """A snapshot that was read.

    Attributes:
        name: one of `SNAPSHOTS`.
        data: what state.json has, with the run's state under "state".
        tensors: torch tensors by name.
    """

    name: str
    data: dict[str, Any]
    tensors: dict[str, Any]


def write_snapshot(
    path: Path,
    state: Mapping[str, Any],
    tensors: Mapping[str, Any],
    log_bytes: int,
    log_sha256: str,
) -> None:
    """Writes a snapshot into a run directory; the latest becomes the previous one.

    Args:
        path: the run directory.
        state: JSON data.
        tensors: torch tensors by name.
        log_bytes: how long births.jsonl is, all of which is on the disk already.
        log_sha256: its checksum.

    Raises:
        OSError: if it cannot be written; the snapshots that were there stay.
    """
    from safetensors.torch import save

    folder = path / STATE
    arrays = save(_apart(tensors))
    data = {
        "format": FORMAT,
        "log": {"bytes": log_bytes, "sha256": log_sha256},
        "tensors": {"bytes": len(arrays), "sha256": hashlib.sha256(arrays).hexdigest()},
        "state": state,
    }

    # Both files are on the disk before the folder gets a name that a resume looks for.
    new = folder / NEW
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        write_synced(new / STATE_TENSORS, arrays)
        write_synced(new / STATE_DATA, json.dumps({"sha256": _digest(data), **data}).encode())
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise

    # A rename is a single step. A kill between these leaves at least one snapshot that is whole.
    latest = folder / LATEST
    previous = folder / PREVIOUS
    if latest.exists():
        shutil.rmtree(previous, ignore_errors=True)
        latest.rename(previous)
    new.rename(latest)
    sync_folder(folder)


def read_snapshot(path: Path) -> Snapshot:
    """The newest snapshot of a run directory that is whole; not the latest, if a warning says so.

    Raises:
        UserError: if none is whole; the message says what is wrong with each.
    """
    from safetensors.torch import load

    # What is wrong with the newest one is said only when it is known whether there is another.
    problems = []
    for name in SNAPSHOTS:
        try:
            data, arrays = _checked(path, path / STATE / name)
        except FileNotFoundError:
            problems.append(f"{name}: missing")
            continue
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{name}: {error}")
            continue
        if problems:
            log.warning(
                "%s: %s; going on from the snapshot before it", path / STATE, "; ".join(problems)
            )
        return Snapshot(name, data, load(arrays))
    raise UserError(f"{path / STATE}: no snapshot can be read ({'; '.join(problems)})")


def best_rows(tensors: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The best's scores by split, (D,) each, as a snapshot's tensors have them."""
    rows = {}
    for name, tensor in tensors.items():
        if name.startswith(BEST):
            rows[name.removeprefix(BEST)] = tensor.numpy()
    return rows


def _checked(path: Path, folder: Path) -> tuple[dict[str, Any], bytes]:
    """The data of a snapshot, and its tensors as bytes.

    Args:
        path: the run directory.
        folder: the snapshot's.

    Raises:
        ValueError: if a checksum or the format is not as expected.
        OSError, KeyError, TypeError, AttributeError: if it is otherwise damaged.
    """
    # Its own checksum comes first: nothing else in a damaged file can be relied upon.
    data = json.loads((folder / STATE_DATA).read_bytes())
    if data.pop("sha256", None) != _digest(data):
        raise ValueError("state.json does not match its checksum")
    if data["format"] != FORMAT:
        raise ValueError(f"its format is {data['format']}, this evomerge reads {FORMAT}")
    arrays = (folder / STATE_TENSORS).read_bytes()
    if hashlib.sha256(arrays).hexdigest() != data["tensors"]["sha256"]:
        raise ValueError("tensors.safetensors does not match its checksum")

    # Lines that the log has beyond the snapshot are of births that a resume raises again.
    with open(path / LOG, "rb") as file:
        lines = file.read(data["log"]["bytes"])
    if hashlib.sha256(lines).hexdigest() != data["log"]["sha256"]:
        raise ValueError("births.jsonl is not the log that belongs to it")
    return data, arrays


def _digest(data: Any) -> str:
    """The checksum of JSON data, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _apart(tensors: Mapping[str, Any]) -> dict[str, Any]:
    """The tensors, none of which shares memory with another: safetensors refuses those that do.

    Genomes may share memory, where a child is a part of a larger array.
    """
    apart = {}
    taken = set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        if memory in taken:
            apart[name] = tensor.clone()
        else:
            apart[name] = tensor.contiguous()
        taken.add(memory)
    return apart
