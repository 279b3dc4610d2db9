"""births.jsonl as its writer has it: lines are added, and the log is cut back where a run goes on.

A log that is cut is a new file, renamed into place. So whoever reads along (`following`) knows a
cut by another file, and still has the old one to compare the new one with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge.files import sync_folder, write_file

_compact = json.JSONEncoder(separators=(",", ":")).encode


class Log:
    """A log that is open for writing.

    Attributes:
        length: its bytes, with those that the system has not taken yet.
    """

    def __init__(self, path: Path, length: int) -> None:
        """Opens a log, and cuts off what is behind the first bytes of it.

        Args:
            path: the file, made if there is none.
            length: how many bytes stay.

        Raises:
            OSError: if it cannot be read or written.
        """
        # The file is opened behind the cut, which may make it another one.
        kept = _cut(path, length)
        self.length = len(kept)
        self._hash = hashlib.sha256(kept)
        self._waiting = b""
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    @property
    def sha256(self) -> str:
        """The checksum of all `length` bytes."""
        return self._hash.hexdigest()

    def append(self, record: Mapping[str, Any]) -> None:
        """Adds a line, which others can read at once.

        Raises:
            OSError: if it cannot be written; the line is kept, and written with the next one.
        """
        # Length and checksum are of what was handed over, not of what the system has taken: a
        # snapshot is written only when both are the same.
        line = _compact(record).encode() + b"\n"
        self._waiting += line
        self._hash.update(line)
        self.length += len(line)
        self.flush()

    def flush(self) -> None:
        """Writes what waits.

        Raises:
            OSError: if it cannot be written.
        """
        # A full disk takes a part of a line. The rest waits, so that a later try goes on in its
        # midst and the log stays whole.
        while self._waiting:
            written = os.write(self._file, self._waiting)
            self._waiting = self._waiting[written:]

    def sync(self) -> None:
        """Puts all lines on the disk.

        Raises:
            OSError: if they cannot be written.
        """
        self.flush()
        os.fsync(self._file)

    def close(self) -> None:
        """Closes the file; what waits is lost."""
        os.close(self._file)


def _cut(path: Path, length: int) -> bytes:
    """The first bytes of a log, which are all of it afterwards."""
    try:
        with open(path, "rb") as file:
            kept = file.read(length)
            longer = bool(file.read(1))
    except FileNotFoundError:
        return b""
    if longer:
        write_file(path, kept)
        # Lines that are added later are synced in the new file. A crash must not bring back the
        # old one, to which no later snapshot would belong.
        sync_folder(path.parent)
    return kept
