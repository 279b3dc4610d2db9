"""A run's identity: random, kept in its directory, so that it is the same run to a tracker wherever the directory goes."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from pathlib import Path
from typing import Any

from evomerge.files import write_file

log = logging.getLogger(__name__)

NAME = "identity.json"


def make(folder: Path) -> None:
    """Gives a run that begins an identity of its own, whatever was in the directory before."""
    _write(folder, secrets.token_hex(8))


def keep(folder: Path) -> None:
    """Makes a run that goes on ready to be known again.

    A directory that was moved keeps its identity. A copy, whose original is still where it was, gets one of its own. A run of a
    version of evomerge that kept none gets the one that trackers know it by.
    """
    kept, here = _read(folder), str(folder.resolve())
    if kept is None:
        _write(folder, from_path(folder))
    elif kept["path"] != here:
        id, before = kept["id"], Path(kept["path"])
        original = _read(before)
        if original is not None and original["id"] == id and not before.samefile(folder):
            log.warning(
                "%s: a copy of %s, where that run still is; trackers take it for a run of its own",
                folder,
                before,
            )
            id = secrets.token_hex(8)
        _write(folder, id)


def read(folder: Path) -> str:
    """A run's identity: 16 hexadecimal digits."""
    kept = _read(folder)
    return from_path(folder) if kept is None else str(kept["id"])


def from_path(folder: Path) -> str:
    """What versions of evomerge that kept no identity told trackers."""
    return hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()[:16]


def _write(folder: Path, id: str) -> None:
    write_file(folder / NAME, json.dumps({"id": id, "path": str(folder.resolve())}) + "\n")


def _read(folder: Path) -> dict[str, Any] | None:
    """What the file says; None if there is none, or nothing that was written here."""
    try:
        kept = json.loads((folder / NAME).read_bytes())
        id, path = kept["id"], kept["path"]
        if not isinstance(path, str) or len(id) != 16 or not set(id) <= set("0123456789abcdef"):
            raise ValueError("it has no identity in it")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s)", folder / NAME, error)
        return None
    return {"id": id, "path": path}
