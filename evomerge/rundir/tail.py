"""What is new in a births.jsonl: each line once, also where a resume has cut the log back.

A log that was cut is another file (`evomerge.rundir.log`). The one that was read stays open here,
so its lines can be compared with the new ones, though it has no name any more. Because it is open,
the system gives its inode to no other file.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from evomerge.errors import UserError

SHOWN = 60
"""Bytes of a damaged line that are shown."""

log = logging.getLogger(__name__)


class Tail:
    """What was read of a births.jsonl, and what is new.

    Attributes:
        path: the file.
        count: lines that were read: the number of the last one.
        cuts: how often the log was found cut back.
    """

    def __init__(self, path: Path) -> None:
        """Nothing is read yet."""
        self.path = path
        self.count = 0
        self.cuts = 0
        self._file: BinaryIO | None = None
        self._place = 0

    def __enter__(self) -> Tail:
        """Nothing is left to do."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes the log."""
        if self._file is not None:
            self._file.close()

    def new(self) -> Iterator[dict[str, Any]]:
        """The lines that were not read yet, but for a last one that is not whole.

        Where the log was cut back, they begin with the first that is not as it was.

        Raises:
            UserError: if the log is gone, or a line is damaged.
        """
        file = self._opened()
        while True:
            damaged = None
            file.seek(self._place)
            for line in file:
                # The run is about to write the rest of it.
                if not line.endswith(b"\n"):
                    break
                entry = _parsed(line)
                if entry is None:
                    damaged = line
                    break
                self._place += len(line)
                self.count += 1
                yield entry
            if damaged is None:
                return

            # Somebody else may have cut the log in its place while it was read. Then the line is
            # half an old one and half a new one, and the log is read again.
            cuts = self.cuts
            file = self._opened()
            if self.cuts == cuts:
                shown = damaged[:SHOWN].decode(errors="replace").rstrip()
                raise UserError(
                    f"{self.path}: line {self.count + 1} is damaged, "
                    f"expected a JSON object, got {shown!r}"
                )

    def _opened(self) -> BinaryIO:
        """The log as it is now; what was read and is not in it any more is forgotten.

        Raises:
            UserError: if it is gone.
        """
        # It is opened at each look: only then does a network disk say what others have written.
        try:
            file = open(self.path, "rb")  # noqa: SIM115
        except OSError as error:
            raise unreadable(self.path, error) from error
        before = self._file
        self._file = file
        if before is None:
            return file

        with before:
            kept, place = self._unchanged(before, file)
        if kept < self.count:
            log.info("%s was cut back from %d to %d lines by a resume", self.path, self.count, kept)
            self.cuts += 1
        self.count = kept
        self._place = place
        return file

    def _unchanged(self, before: BinaryIO, file: BinaryIO) -> tuple[int, int]:
        """How much of what was read is in the log now.

        Args:
            before: the file that was read.
            file: the one that is there now, which may be the same.

        Returns:
            Lines, and their bytes.
        """
        try:
            if os.path.samestat(os.fstat(before.fileno()), os.fstat(file.fileno())):
                if os.fstat(file.fileno()).st_size >= self._place:
                    return self.count, self._place
                # It was cut in its place, as evomerge does not do, so what was read is gone.
                return 0, 0
            return self._alike(before, file)
        except OSError:
            # A network disk may not keep a file that has no name any more. Then all lines come
            # again, and by their numbers they replace those that came before.
            return 0, 0

    def _alike(self, before: BinaryIO, file: BinaryIO) -> tuple[int, int]:
        """How many of the lines that were read two logs have in common, and how many bytes.

        Raises:
            OSError: if one cannot be read.
        """
        before.seek(0)
        lines = 0
        size = 0
        for old, new in zip(islice(before, self.count), file, strict=False):
            if old != new:
                break
            lines += 1
            size += len(old)
        return lines, size


def unreadable(path: Path, error: OSError) -> UserError:
    """What is said of a file that the system does not let anybody read."""
    return UserError(f"{path}: cannot be read ({error.strerror or error})")


def _parsed(line: bytes) -> dict[str, Any] | None:
    """A line of the log; None if it is none."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict):
        return None
    return entry
