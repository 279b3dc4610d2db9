"""Digests of seeds' files, by which a run, a resume and a card know that seeds are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from populations.seeds.slots import Source

PIECE = 1 << 24
"""Bytes that are read at a time."""


def digest(source: Source) -> str:
    """SHA-256 of a seed's files, one after another."""
    return digest_of(source.files)


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 of files, one after another."""
    state = hashlib.sha256()
    for path in files:
        # Weights may be larger than the memory, so they are read in pieces.
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                state.update(piece)
    return state.hexdigest()
