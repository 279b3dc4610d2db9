"""Files and folders that are whole or not there: written beside their place and renamed; and what to do where that fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evomerge.errors import Interrupted


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Turns a failure to write into a clean end.

    Raises:
        Interrupted: if the system refuses to write.
    """
    try:
        yield
    except OSError as error:
        raise Interrupted(f"{path}: cannot be written ({error.strerror or error})") from error


def write_file(path: Path, content: str | bytes) -> None:
    r"""Writes a file beside its place and renames it. Half a character in a text, which UTF-8 has not, is written as \ud83d."""
    new = path.with_name(f".{path.name}.new")
    try:
        write_synced(new, content.encode(errors="backslashreplace") if isinstance(content, str) else content)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside its place and renames it, so that the old one stays until the new one is whole."""
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        fill(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if path.exists():
        path.rename(old)
    new.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def write_synced(path: Path, content: bytes) -> None:
    """Writes a file that is on the disk when this returns."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(path: Path) -> None:
    """Puts the names in a folder on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
