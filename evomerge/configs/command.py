"""The command `evomerge configs`."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from evomerge.config import given
from evomerge.configs.shipped import SUFFIX, about, chosen, copies, names
from evomerge.errors import UserError
from evomerge.files import saving, write_file
from evomerge.rundir.checks import check_place
from evomerge.words import aligned


def command(options: argparse.Namespace) -> None:
    """Lists the configs that come with evomerge, or copies one.

    Raises:
        UserError: if there is none of that name, or another file is in the way of its copy.
    """
    folder = given.shipped()
    if folder is None:
        raise UserError("configs: none came along with this installation of evomerge")
    if options.name is not None:
        _copy(folder, options.name, options.to)
        return
    if options.to is not None:
        raise UserError("--to: expected the name of a config to copy before it")
    print(aligned([[name, about(folder, name)] for name in names(folder)]))
    print("\n`evomerge configs NAME` copies one here, `evomerge run NAME.yaml` runs it.")


def _copy(folder: Path, given_name: str, to: Path | None) -> None:
    """Copies a config with all that it is based on.

    Raises:
        UserError: if a file is in the way.
    """
    name = chosen(folder, given_name)
    if to is None:
        to = Path(f"{name.rpartition('/')[2]}{SUFFIX}")
    texts = copies(folder, name, to)
    # All are asked about before the first is written: half a config is of no use.
    missing = {}
    for path, text in texts.items():
        if _is_free(path, text, is_base=path != to):
            missing[path] = text
    for path, text in missing.items():
        with saving(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            write_file(path, text)
    _, *bases = texts
    line = f"{to} is written"
    if bases:
        line += f", it is based on {' and '.join(map(str, bases))} beside it"
    print(f"{line}; evomerge run {shlex.quote(str(to))}")


def _is_free(path: Path, text: str, *, is_base: bool) -> bool:
    """Whether a file is yet to be written; a base that was copied before stays.

    Raises:
        UserError: if there is another file.
    """
    check_place(path)
    if path.is_dir():
        raise UserError(f"{path}: expected a file that is not there yet, this is a folder")
    if not path.exists():
        return True
    # Somebody may have changed it since, and wants to keep that.
    if is_base and path.is_file() and path.read_bytes() == text.encode():
        return False
    # The base stands beside the copy, whatever that is called.
    way_out = "--to names another one"
    if is_base:
        way_out = "the config is based on what would be there; --to names a file in another folder"
    raise UserError(f"{path}: expected a file that is not there yet; {way_out}")
