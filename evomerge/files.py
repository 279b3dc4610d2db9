"""Files and folders that are whole or not there: written beside their place and renamed; and what to do where that fails."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evomerge.errors import Interrupted, UserError

LONGEST = 255
"""Bytes that the name of a file may have."""

ROOM = 200
"""Bytes that the longest path inside a folder of ours has."""

OUTSIDE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE)
"""What happens to a path that was right."""


def place(path: Path | str) -> Path:
    """Where a path that a user has given leads: absolute, with `~` as the home folder.

    Raises:
        UserError: if no file can be there, whatever is made: the message says why.
    """
    text = str(path)
    if not text or "\0" in text:
        raise UserError(
            f"{text!r}: expected a path, got {'an empty text' if not text else 'a text with a zero byte'}"
        )
    try:
        os.fsencode(text)
        whole = Path(text).expanduser()
        whole = whole if whole.is_absolute() else Path(os.getcwd()) / whole
        os.stat(whole)
    except UnicodeEncodeError:
        raise UserError(
            f"{text}: this system's file names have only letters of its encoding; set PYTHONUTF8=1 or LANG=C.UTF-8"
        ) from None
    except RuntimeError:
        who = text.split("/", 1)[0]
        raise UserError(
            f"{text}: there is no home folder for {who}; a folder of that name is ./{who}"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        if not Path(text).expanduser().is_absolute() and not _working_directory():
            raise UserError(
                f"{text}: the working directory is gone; change to one that is there"
            ) from None
    except OSError as error:
        raise UserError(f"{text}: there can be no such path ({error.strerror or error})") from None
    size = len(os.fsencode(whole))
    if size > os.pathconf("/", "PC_PATH_MAX") - ROOM or any(
        len(os.fsencode(part)) > LONGEST for part in whole.parts
    ):
        raise UserError(f"{text}: there can be no such path (File name too long)")
    return whole


def _working_directory() -> bool:
    try:
        return bool(os.getcwd())
    except FileNotFoundError:
        return False


@contextmanager
def within(folder: Path | None) -> Iterator[None]:
    """A block in a working directory, whatever the one around it is; None: in the one that it has when it begins.

    What a block changes of that ends with it.
    """
    before = os.getcwd()
    if folder is not None:
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shortened(text: str, folder: str) -> str:
    """A text in which paths below a folder are told as one who is there would say them."""
    if len(folder) < 2:
        return text
    return re.sub(rf"(?<![\w./~-]){re.escape(folder)}/(?=[^\s/])", "", text)


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
        write_synced(
            new, content.encode(errors="backslashreplace") if isinstance(content, str) else content
        )
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
