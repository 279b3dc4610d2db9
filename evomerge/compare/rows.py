"""A comparison before it is run: rows of runs that differ by their random seed alone."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SWEEP = "sweep"
BEST_SEED = "best seed"
ALWAYS = (SWEEP, BEST_SEED)
"""The names of the rows that are always there."""

FOLDER = 80
"""Longest name of a row's folder."""


@dataclass(frozen=True)
class Run:
    """A run of a row.

    Attributes:
        path: its directory.
        call: the call of `evolve` that makes it, as plain data.
        ours: whether it is made here; otherwise it is taken as it is.
    """

    path: Path
    call: Mapping[str, Any]
    ours: bool

    @property
    def seed(self) -> int:
        """Its random seed."""
        return int(self.call.get("seed", 0))


Rows = Mapping[str, Sequence[Run]]
"""The runs of each row by its name, in order."""


def folder_of(name: str) -> str:
    """The name of a row's folder: the row's name, as far as a folder can bear it."""
    # A name has values in it, such as paths, which may not lead out of the folder.
    plain = re.sub(r"[^\w.,=+-]+", "-", name)[:FOLDER].strip(".")
    if plain == name:
        return plain
    # Names that became the same keep folders of their own.
    return f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
