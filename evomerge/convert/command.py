"""The command `evomerge convert`."""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import fields
from pathlib import Path

from evomerge.convert.convert import convert
from evomerge.convert.mergekit_evolve import Options
from evomerge.errors import UserError
from evomerge.files import saving, shortened, write_file
from evomerge.rundir.checks import check_place


def command(options: argparse.Namespace) -> None:
    """Prints a converted config, or writes it, and says what has no counterpart.

    Raises:
        UserError: if the config cannot be converted, or another file is in the way.
    """
    out = options.out
    if out is not None:
        _check_out(out, options.config, overwrite=options.overwrite)
    # The parser has each of these options under the same name.
    settings = {field.name: getattr(options, field.name) for field in fields(Options)}
    text, dropped = convert(options.config, Options(**settings))
    # The config may be sent to a file, and these are for whoever sends it there.
    for line in dropped:
        print(line, file=sys.stderr)
    if out is None:
        print(text, end="")
        return
    with saving(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_file(out, text)
    print(shortened(f"{out} is written; evomerge check {shlex.quote(str(out))}", str(Path.cwd())))


def _check_out(out: Path, config: Path, *, overwrite: bool) -> None:
    """Checks that the converted config can be written here.

    Raises:
        UserError: if not.
    """
    # The config of mergekit-evolve may not be lost, whatever is allowed.
    is_given = out.exists() and config.exists() and out.samefile(config)
    if out.is_dir() or is_given or (out.exists() and not overwrite):
        raise UserError(
            f"{out}: expected a file that is not there yet; --overwrite writes over another config"
        )
    check_place(out)
