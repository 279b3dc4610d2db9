"""Which files, and as of when: what was read from a file counts only while the file is that one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Version = tuple[tuple[str, int, int, int], ...]
"""(absolute path, inode, bytes, nanoseconds of the last change) of each file that is there."""


def version_of(paths: Iterable[Path]) -> Version:
    """What tells files from others of the same names, and from themselves before they were written.

    The same relative path names another file after a change of the working directory, and a
    notebook may write a file again.
    """
    version = []
    for path in paths:
        # whoever reads it says better what is wrong
        if path.exists():
            state = path.stat()
            version.append((str(path.absolute()), state.st_ino, state.st_size, state.st_mtime_ns))
    return tuple(version)
