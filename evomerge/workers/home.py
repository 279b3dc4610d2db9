"""Where a Ray of our own is at home: a folder with a path that is short enough, and a token."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from evomerge.errors import UserError

SOCKET_PATH = 107
"""Most bytes of the path of a Unix socket on Linux; macOS takes four less."""

SOCKET_NAME = len("/session_2026-11-28_12-41-40_518310_4194304/sockets/plasma_store") + 4
"""Bytes that Ray puts behind its folder to name a socket, with the four that macOS lacks."""

SHORT_PLACES = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
"""Folders with short paths. A new folder in one of them holds the link to one with a long path."""

TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105, the variable's name


class RayHome:
    """What a Ray of our own needs beside Ray, from before its start until after its end.

    Attributes:
        folder: where Ray is to keep its files.
    """

    def __init__(self) -> None:
        """Finds a folder, and makes a token where there is none.

        Raises:
            UserError: if there is no folder in which Ray can work.
        """
        self._link: tempfile.TemporaryDirectory[str] | None = None
        self.folder = self._short(_writable_folder())
        self._made_token = _make_token()

    def close(self) -> None:
        """Takes back what was made for this Ray."""
        if self._link is not None:
            self._link.cleanup()
        # A later Ray in this process makes a token of its own.
        if self._made_token:
            os.environ.pop(TOKEN, None)
            _token_loader().reset_cache()

    def _short(self, folder: Path) -> Path:
        """The folder under a name that is short enough for the sockets in it.

        Raises:
            UserError: if no link can be made to a folder whose own name is too long.
        """
        # A socket with a longer path cannot be made, and Ray then fails without naming the path.
        if len(os.fsencode(folder)) <= SOCKET_PATH - SOCKET_NAME:
            return folder
        for place in SHORT_PLACES:
            try:
                self._link = tempfile.TemporaryDirectory(
                    prefix="evomerge-", dir=place, ignore_cleanup_errors=True
                )
            # One of the places may be missing, or full.
            except OSError:
                continue
            link = Path(self._link.name) / "ray"
            link.symlink_to(folder)
            return link
        most = SOCKET_PATH - SOCKET_NAME - len("/ray")
        raise UserError(
            f"workers: Ray cannot work in {folder}: the paths of its sockets would be longer "
            f"than {SOCKET_PATH} bytes; "
            f"set RAY_TMPDIR to a folder with a path of at most {most} bytes"
        )


def _make_token() -> bool:
    """Makes a token where Ray would write one to the home folder; says whether it did.

    That folder may not be there, or another run may write to it at the same time.
    """
    if _token_loader().has_token(ignore_auth_mode=True):
        return False
    os.environ[TOKEN] = secrets.token_hex(32)
    _token_loader().reset_cache()
    return True


def _token_loader() -> Any:
    """What reads the token for Ray, and remembers it until its cache is reset."""
    from ray import _raylet

    return _raylet.AuthenticationTokenLoader.instance()  # type: ignore[attr-defined,unused-ignore]


def _writable_folder() -> Path:
    """The folder in which Ray keeps its files.

    It is the one that Ray would take itself, or one beside it.

    Raises:
        UserError: if it cannot be written.
    """
    from ray._common.utils import get_default_ray_temp_dir

    folder = Path(get_default_ray_temp_dir()).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _check_writable(folder)
        return folder
    except OSError as error:
        # A folder that the user has named is not passed over without a word.
        for name in ("RAY_TMPDIR", "TMPDIR"):
            if name in os.environ:
                raise UserError(
                    f"workers: Ray cannot keep its files in {folder}: {error.strerror}; "
                    f"set {name} to a folder that can be written"
                ) from error

    # It is another user's /tmp/ray. A folder beside it is as good.
    folder = Path(f"{folder}-{os.getuid()}")
    try:
        folder.mkdir(exist_ok=True)
        _check_writable(folder)
    except OSError as error:
        raise UserError(
            f"workers: Ray cannot keep its files in {folder}: {error.strerror}; "
            "set RAY_TMPDIR to a folder that can be written"
        ) from error
    return folder


def _check_writable(folder: Path) -> None:
    """Raises OSError if no file can be made in a folder."""
    tempfile.TemporaryFile(dir=folder).close()
