"""A run's identity: by it, trackers know the run wherever its directory goes.

It is random, and kept in the directory.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from pathlib import Path

from evomerge.files import write_file
from evomerge.rundir.places import IDENTITY

DIGITS = 16
"""Hexadecimal digits of an identity."""

log = logging.getLogger(__name__)


def make(folder: Path) -> None:
    """Gives a run that begins an identity, whatever was in the directory before."""
    _write(folder, _random())


def keep(folder: Path) -> None:
    """Makes a run that goes on ready to be known again.

    A directory that was moved keeps its identity. A copy, whose original is still where it was,
    gets one of its own. A run of a version of evomerge that kept none gets the one that trackers
    know it by.
    """
    # Trackers of an older version know it by its path, and are to find it again.
    kept = _read(folder)
    if kept is None:
        _write(folder, from_path(folder))
        return
    if kept["path"] == str(folder.resolve()):
        return

    # It was moved or copied. It is a copy if the original is still there and the same run.
    id = kept["id"]
    before = Path(kept["path"])
    original = _read(before)
    if original is not None and original["id"] == id and not before.samefile(folder):
        log.warning(
            "%s: a copy of %s, where that run still is; trackers take it for a run of its own",
            folder,
            before,
        )
        id = _random()
    _write(folder, id)


def read(folder: Path) -> str:
    """A run's identity: 16 hexadecimal digits."""
    kept = _read(folder)
    if kept is None:
        return from_path(folder)
    return kept["id"]


def from_path(folder: Path) -> str:
    """What versions of evomerge that kept no identity told trackers."""
    path = str(folder.resolve()).encode(errors="surrogateescape")
    return hashlib.sha256(path).hexdigest()[:DIGITS]


def _random() -> str:
    return secrets.token_hex(DIGITS // 2)


def _write(folder: Path, id: str) -> None:
    content = json.dumps({"id": id, "path": str(folder.resolve())})
    write_file(folder / IDENTITY, content + "\n")


def _read(folder: Path) -> dict[str, str] | None:
    """What the file says; None if there is none, or nothing that was written here."""
    file = folder / IDENTITY
    try:
        kept = json.loads(file.read_bytes())
        id = kept["id"]
        path = kept["path"]
        # The identity goes into the trackers' paths and addresses, so it is no other text.
        hexadecimal = len(id) == DIGITS and set(id) <= set("0123456789abcdef")
        if not isinstance(path, str) or not hexadecimal:
            raise ValueError("it has no identity in it")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s)", file, error)
        return None
    return {"id": id, "path": path}
