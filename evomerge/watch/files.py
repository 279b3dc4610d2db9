"""What the files of a run say besides its log."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml


class Files:
    """A run's other files, each of which is read again only when it has changed."""

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet."""
        self.folder = folder
        # By name, the time and size of a file, and what was in it then.
        self._known: dict[str, tuple[tuple[int, int], Any]] = {}

    @property
    def planned(self) -> int | None:
        """Number of the last birth that is to be; None if that is not known."""
        call = self._read("config.yaml", yaml.safe_load)
        births = call.get("births") if isinstance(call, dict) else None
        # A number of hundreds of digits could not be divided by.
        if isinstance(births, int) and births < 2**63:
            return births
        return None

    @property
    def pace(self) -> float | None:
        """Births a second up to the latest snapshot; None if that is not known.

        The time is that in which the run went on, without pauses between a stop and a resume.
        """
        # A file that another version wrote, or nobody knows who, says nothing.
        with suppress(LookupError, TypeError, ArithmeticError):
            counters = self._read("state/latest/state.json", json.loads)["state"]["counters"]
            pace: float = counters["decided"] / counters["seconds"]
            if 0 < pace < math.inf:
                return pace
        return None

    def _read(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """A file's content.

        It is what it was if the file is not there at the moment, and None if it never was.
        """
        path = self.folder / name
        _, content = self._known.get(name, (None, None))
        # Snapshots are replaced while we look.
        with suppress(OSError, ValueError, yaml.YAMLError):
            status = path.stat()
            state = (status.st_mtime_ns, status.st_size)
            if name not in self._known or self._known[name][0] != state:
                content = parse(path.read_bytes())
                self._known[name] = state, content
        return content
