"""The command line: what each command does, and with which exit code it ends."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from evomerge.arguments import parsed
from evomerge.check.command import command as check
from evomerge.compare.command import command as compare
from evomerge.config import calls, config, given, shadowing
from evomerge.configs.command import command as configs
from evomerge.convert.command import command as convert
from evomerge.errors import Interrupted, Stopped, UserError
from evomerge.evolution import OUTSIDE, evolve
from evomerge.export import export as exporting
from evomerge.export import recipe_file
from evomerge.files import place, shortened
from evomerge.merge.command import command as merge
from evomerge.report import report as reporting
from evomerge.run.settings import RANGES
from evomerge.rundir.checks import check_run, free_name
from evomerge.watch import watch as watching

HOME = Path(__file__).resolve().parents[1]
"""The folder in which our packages lie."""

WHOLE = ("run_dir", "out", "recipe")
"""Paths that are used behind a fitness, which may change the working directory."""

RELATIVE = ("watch", "compare")
"""Commands that keep such paths as they are given.

Who watches runs no fitness, and who compares leaves it to processes of their own. The names of a
comparison's runs are below its folder, which may be moved with them.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command.

    Returns:
        The exit code: 0, 2 for bad input, 1 where the environment failed, 128 + n for a signal.
    """
    _open_streams()
    try:
        # Paths are told as seen from here, even behind a fitness that goes elsewhere.
        start = str(Path.cwd())
    except FileNotFoundError:
        print(
            "evomerge: the working directory is gone; change to one that is there", file=sys.stderr
        )
        return UserError.exit_code
    options = parsed(arguments)
    _log_to_stderr(start)
    # Only `rebuild` is given what a stranger has packed, so only it has to be told to trust it.
    _set_import_path(getattr(options, "trust", True))
    try:
        shadowing.check()
        _resolve_paths(options)
        COMMANDS[options.command](options)
        sys.stdout.flush()
    except (UserError, Interrupted) as error:
        for line in shortened(str(error), start).splitlines():
            print(f"evomerge: {line}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Nobody reads. All is saved by the time that something is printed.
        _to_nowhere(sys.stdout)
        return 128 + signal.SIGPIPE
    except OSError as error:
        # A full disk behind standard output has no file name; all else is a bug of ours.
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise
        _to_nowhere(sys.stdout)
        print(f"evomerge: standard output: cannot be written ({error.strerror})", file=sys.stderr)
        return Interrupted.exit_code
    except Stopped as error:
        return error.exit_code
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return 0


def run(options: argparse.Namespace) -> None:
    """Begins a run."""
    # The name of the run is that of the config, which may be one that came with evomerge.
    path = given.find(options.config)
    loaded = config.load(path, options.overrides)
    run_dir = given.take_run_dir(loaded) or free_name(place("runs") / path.stem)
    start = Path.cwd()
    call = calls.build(loaded, evolve, outside=OUTSIDE, check=RANGES)
    logging.info("running %s in %s", path, run_dir)
    evolve(**call, run_dir=run_dir)
    _print_result(run_dir, start)


def resume(options: argparse.Namespace) -> None:
    """Goes on with a run."""
    check_run(options.run_dir)
    start = Path.cwd()
    loaded = config.load(options.run_dir / "config.yaml", options.overrides)
    call = calls.build(loaded, evolve, outside=OUTSIDE, check=RANGES)
    evolve(**call, run_dir=options.run_dir, resume=True)
    _print_result(options.run_dir, start)


def watch(options: argparse.Namespace) -> None:
    """Shows how a run is doing."""
    watching.watch(options.run_dir, sys.stdout, every=options.every, once=options.once)


def export(options: argparse.Namespace) -> None:
    """Writes a member out."""
    check_run(options.run_dir)
    start = str(Path.cwd())
    # A run's own config says what made its members.
    call = calls.build(config.load(options.run_dir / "config.yaml"), evolve, outside=OUTSIDE)
    archive = call["strategy"].archive(None, call["fitness"])
    member = exporting.export(
        options.run_dir, options.out, call["population"], call["fitness"], archive, options.member
    )
    print(shortened(f"member {member} is in {options.out}", start))


def rebuild(options: argparse.Namespace) -> None:
    """Makes a member again from its recipe."""
    start = str(Path.cwd())
    settings = config.settings(options.settings)
    recipe_file.rebuild(options.recipe, options.out, settings, trust=options.trust)
    print(shortened(f"the member of {options.recipe} is in {options.out}", start))


def report(options: argparse.Namespace) -> None:
    """Draws a report again.

    Raises:
        UserError: if a file of the run is not there, or damaged.
    """
    check_run(options.run_dir)
    try:
        path = reporting.write(options.run_dir)
    except OSError as error:
        file = error.filename or options.run_dir
        raise UserError(f"{file}: cannot be read ({error.strerror or error})") from error
    # A report reads what a run has written, so anything odd in it is a damaged file.
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{options.run_dir}: a file of the run is damaged ({reason})") from error
    print(shortened(str(path), str(Path.cwd())))


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "merge": merge,
    "run": run,
    "resume": resume,
    "check": check,
    "watch": watch,
    "export": export,
    "rebuild": rebuild,
    "report": report,
    "compare": compare,
    "convert": convert,
    "configs": configs,
}
"""What each command does."""


class _Formatter(logging.Formatter):
    """The time, and paths as they are called from where the command was given."""

    def __init__(self, start: str) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self._start = start

    def format(self, record: logging.LogRecord) -> str:
        return shortened(super().format(record), self._start)


def _log_to_stderr(start: str) -> None:
    """Has all news on stderr, with paths as they are called from a folder."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(start))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # EvoTorch would say on import that logging is configured already.
    os.environ.setdefault("EVOTORCH_VERBOSE_LEVEL", "-1")


def _open_streams() -> None:
    """Has streams that are open and take any text."""
    # Where a stream was closed, the next file that is opened would be in its place.
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    # A terminal may have letters of its encoding only.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _to_nowhere(stream: TextIO) -> None:
    """Sends what is left in a stream nowhere, since Python writes it when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _set_import_path(trusted: bool) -> None:
    """Says whether code in the working directory can be imported.

    Args:
        trusted: yes; no, where the code may have come with somebody else's recipe.
    """
    here = Path.cwd().resolve()
    if trusted:
        sys.path.insert(0, str(here))
    elif here != HOME:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]


def _resolve_paths(options: argparse.Namespace) -> None:
    """Makes the paths among the options what the command can use.

    Raises:
        UserError: if there can be no such path.
    """
    for name, value in vars(options).items():
        if not isinstance(value, Path):
            continue
        whole = place(value)
        # A config stays as it is named: it may be one that came with evomerge.
        if name not in WHOLE or options.command in RELATIVE:
            whole = value.expanduser()
        setattr(options, name, whole)


def _print_result(run_dir: Path, start: Path) -> None:
    """Prints what a run that began in a working directory has left."""
    print((run_dir / "summary.json").read_text(encoding="utf-8"), end="")
    places = f"report: {run_dir / 'report.html'}, best member: {run_dir / 'best'}"
    print(shortened(places, str(start)))
