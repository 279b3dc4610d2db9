"""Digests of seeds' files, by which a run, a resume and a card know that seeds are the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from populations.seeds.slots import Source

PIECE = 1 << 24
"""Bytes that are read at a time."""


def digests(sources: Iterable[Source]) -> list[str]:
    """For each seed SHA-256 of its files, one after another.

    Files with which several seeds begin, as adapters of one base do, are read once.
    """
    known: dict[tuple[Path, ...], Any] = {}
    return [_digest(source.files, known) for source in sources]


def digest_of(files: Iterable[Path]) -> str:
    """SHA-256 of files, one after another."""
    return _digest(files, {})


def _digest(files: Iterable[Path], known: dict[tuple[Path, ...], Any]) -> str:
    """SHA-256 of files, one after another.

    Args:
        files: the files.
        known: by the files that were read, the state of the hash behind them; it is added to.
    """
    state = hashlib.sha256()
    done: tuple[Path, ...] = ()
    for path in files:
        done = (*done, path)
        if done not in known:
            _add(state, path)
            known[done] = state.copy()
        state = known[done].copy()
    return state.hexdigest()


def _add(state: Any, path: Path) -> None:
    """Adds the content of a file to a hash."""
    # Weights may be larger than the memory, so they are read in pieces.
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            state.update(piece)
