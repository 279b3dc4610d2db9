"""Files and folders that are whole or not there: they are written beside their place and renamed.

And paths as users give them, and what a failure of the file system becomes.
"""

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
"""Errors that befall a path which was right: a full disk, a server that is gone, too many files."""


def place(path: Path | str) -> Path:
    """Where a path that a user has given leads: absolute, with `~` as the home folder.

    Raises:
        UserError: if no file can be there, whatever is made: the message says why.
    """
    text = str(path)
    if not text:
        raise UserError(f"{text!r}: expected a path, got an empty text")
    if "\0" in text:
        raise UserError(f"{text!r}: expected a path, got a text with a zero byte")
    try:
        os.fsencode(text)
        absolute = Path(text).expanduser()
        if not absolute.is_absolute():
            absolute = Path(os.getcwd()) / absolute
        os.stat(absolute)
    except UnicodeEncodeError:
        raise UserError(
            f"{text}: this system's file names have only letters of its encoding; "
            "set PYTHONUTF8=1 or LANG=C.UTF-8"
        ) from None
    except RuntimeError:
        # `expanduser` knows no such user, or the one who asks has no home.
        who = text.split("/", 1)[0]
        raise UserError(
            f"{text}: there is no home folder for {who}; a folder of that name is ./{who}"
        ) from None
    except (FileNotFoundError, NotADirectoryError):
        # Nothing is there yet, which is no mistake. But a relative path leads nowhere where
        # somebody has removed the working directory.
        if not Path(text).expanduser().is_absolute() and not _working_directory_exists():
            raise UserError(
                f"{text}: the working directory is gone; change to one that is there"
            ) from None
    except OSError as error:
        raise UserError(f"{text}: there can be no such path ({error.strerror or error})") from None
    _check_length(absolute, text)
    return absolute


def _check_length(path: Path, text: str) -> None:
    """Checks that a path that is not there yet could be made, and files of ours inside it.

    Raises:
        UserError: if it, or one of its names, is too long; `text` is what the user wrote.
    """
    longest_name = max(len(os.fsencode(part)) for part in path.parts)
    longest_path = os.pathconf("/", "PC_PATH_MAX") - ROOM
    if longest_name > LONGEST or len(os.fsencode(path)) > longest_path:
        raise UserError(f"{text}: there can be no such path (File name too long)")


def _working_directory_exists() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


@contextmanager
def within(folder: Path | None) -> Iterator[None]:
    """A block in a working directory; what the block changes of that ends with it.

    Args:
        folder: the working directory; None for the one that there is when the block begins.
    """
    before = os.getcwd()
    if folder is not None:
        os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def shortened(text: str, folder: str) -> str:
    """A text in which paths below a folder are written as one who is there would write them."""
    # Below the root, all paths would lose their first character.
    if len(folder) < 2:
        return text
    # Not where the folder is the end of a longer path, and not where nothing follows it.
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


def beside(path: Path) -> Path:
    """Where a file or a folder is filled before it is renamed to its place."""
    return path.with_name(f".{path.name}.new")


def write_file(path: Path, content: str | bytes) -> None:
    r"""Writes a file beside its place and renames it.

    Half a character in a text, which UTF-8 has not, is written as \ud83d.
    """
    if isinstance(content, str):
        content = content.encode(errors="backslashreplace")
    new = beside(path)
    try:
        write_synced(new, content)
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Fills a folder beside its place and renames it: the old one stays until the new is whole."""
    new = beside(path)
    old = path.with_name(f".{path.name}.old")
    for leftover in (new, old):
        shutil.rmtree(leftover, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        fill(new)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise
    if path.exists():
        # A folder that is not empty cannot be replaced by a rename as a file can.
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
