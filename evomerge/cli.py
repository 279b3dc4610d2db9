"""The command line: evomerge run | resume | check | export | rebuild | compare | convert | report | watch."""

from __future__ import annotations

import argparse
import errno
import io
import logging
import os
import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any, TextIO

from evomerge.arguments import parsed
from evomerge.check import check
from evomerge.compare.compare import compare
from evomerge.config import calls, config
from evomerge.convert.convert import convert
from evomerge.convert.mergekit_evolve import Options
from evomerge.errors import Interrupted, Stopped, UserError
from evomerge.evolution import OUTSIDE, evolve
from evomerge.export import export as exporting
from evomerge.export import recipe_file
from evomerge.files import place, saving, shortened, write_file
from evomerge.report import report
from evomerge.run.settings import RANGES
from evomerge.rundir.checks import check_free, check_place, check_run, free_name
from evomerge.watch.watch import watch


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; gives its exit code: 0, 2 for bad input, 1 where the environment failed, 128 + n for a signal."""
    _streams()
    try:
        start = str(Path.cwd())
    except FileNotFoundError:
        print(
            "evomerge: the working directory is gone; change to one that is there", file=sys.stderr
        )
        return UserError.exit_code
    options = parsed(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(start))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    os.environ.setdefault(
        "EVOTORCH_VERBOSE_LEVEL", "-1"
    )  # it would say on import that logging is configured already
    _own_code(getattr(options, "trust", True))
    try:
        for name, value in vars(options).items():
            if isinstance(value, Path):
                whole = place(value)
                # A config may be one that came with evomerge. Who watches runs no fitness, and who compares leaves it to processes
                # of their own; the names of a comparison's runs are below its folder, which may be moved with them.
                absolute = name in WHOLE and options.command not in ("watch", "compare")
                setattr(options, name, whole if absolute else value.expanduser())
        COMMANDS[options.command](options)
        sys.stdout.flush()
    except (UserError, Interrupted) as error:
        for line in shortened(str(error), start).splitlines():
            print(f"evomerge: {line}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # nobody reads; all is saved by the time that something is printed
        _to_nowhere(sys.stdout)
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.filename is not None or error.errno != errno.ENOSPC:
            raise
        _to_nowhere(sys.stdout)
        print(f"evomerge: standard output: cannot be written ({error.strerror})", file=sys.stderr)
        return Interrupted.exit_code
    except Stopped as error:
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


WHOLE = ("run_dir", "out", "recipe")
"""Paths that are used behind a fitness, which may change the working directory."""


class _Formatter(logging.Formatter):
    """The time, and paths as they are called from where the command was given."""

    def __init__(self, start: str) -> None:
        super().__init__("%(asctime)s %(message)s", "%H:%M:%S")
        self._start = start

    def format(self, record: logging.LogRecord) -> str:
        return shortened(super().format(record), self._start)


def _streams() -> None:
    """Has streams that take any text, and no file of ours where a closed one was: whatever is opened next would be in its place."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _to_nowhere(stream: TextIO) -> None:
    """Where what is left in a stream goes when Python ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _own_code(allowed: bool) -> None:
    """Whether code in the working directory can be imported: yes, unless it came with somebody else's recipe."""
    here, home = Path.cwd().resolve(), Path(__file__).resolve().parents[1]
    if allowed:
        sys.path.insert(0, str(here))
    elif here != home:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != here]


def _run(options: argparse.Namespace) -> None:
    path = _find(options.config)
    given = config.load(path, options.overrides)
    named = _named_place(given)
    run_dir = named or free_name(place("runs") / path.stem)
    start = Path.cwd()
    call = calls.build(given, evolve, outside=OUTSIDE, check=RANGES)
    logging.info("running %s in %s", path, run_dir)
    evolve(**call, run_dir=run_dir)
    _tell(run_dir, start)


def _resume(options: argparse.Namespace) -> None:
    check_run(options.run_dir)
    start = Path.cwd()
    call = calls.build(
        config.load(options.run_dir / "config.yaml", options.overrides),
        evolve,
        outside=OUTSIDE,
        check=RANGES,
    )
    evolve(**call, run_dir=options.run_dir, resume=True)
    _tell(options.run_dir, start)


def _check(options: argparse.Namespace) -> None:
    if not options.seconds >= 0.1:
        raise UserError(f"--seconds: expected a number of at least 0.1, got {options.seconds:g}")
    given = config.load(_find(options.config), options.overrides)
    run_dir = _named_place(given)
    call = calls.build(given, evolve, outside=OUTSIDE, check=RANGES)
    call["births"] = max(call["births"], 1)  # one is tried
    if run_dir is not None:
        check_free(run_dir)
    doubts: list[str] = []
    problems: list[str] = []
    for needs in check.check(call, (run_dir or place("runs") / "any").parent, options.seconds):
        print(*needs.lines, sep="\n", flush=True)
        problems += needs.problems
        doubts += needs.doubts
    if problems:
        raise Interrupted("\n".join(["no, this cannot run here", *problems]))
    print("; but ".join(["yes, this can run", *doubts]))


def _export(options: argparse.Namespace) -> None:
    check_run(options.run_dir)
    start = str(Path.cwd())
    call = calls.build(config.load(options.run_dir / "config.yaml"), evolve, outside=OUTSIDE)
    archive = call["strategy"].archive(None, call["fitness"])
    member = exporting.export(
        options.run_dir, options.out, call["population"], call["fitness"], archive, options.member
    )
    print(shortened(f"member {member} is in {options.out}", start))


def _rebuild(options: argparse.Namespace) -> None:
    start = str(Path.cwd())
    recipe_file.rebuild(
        options.recipe, options.out, config.settings(options.settings), trust=options.trust
    )
    print(shortened(f"the member of {options.recipe} is in {options.out}", start))


def _convert(options: argparse.Namespace) -> None:
    out = options.out
    if out is not None:
        if out.exists() and (
            not options.overwrite
            or out.is_dir()
            or (options.config.exists() and out.samefile(options.config))
        ):
            raise UserError(
                f"{out}: expected a file that is not there yet; --overwrite writes over another config"
            )
        check_place(out)
    text, missing = convert(
        options.config, Options(**{one.name: getattr(options, one.name) for one in fields(Options)})
    )
    for line in missing:
        print(line, file=sys.stderr)
    if out is None:
        print(text, end="")
        return
    with saving(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        write_file(out, text)
    print(shortened(f"{out} is written; evomerge check {shlex.quote(str(out))}", str(Path.cwd())))


def _report(options: argparse.Namespace) -> None:
    check_run(options.run_dir)
    try:
        print(shortened(str(report.write(options.run_dir)), str(Path.cwd())))
    except OSError as error:
        raise UserError(
            f"{error.filename or options.run_dir}: cannot be read ({error.strerror or error})"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{options.run_dir}: a file of the run is damaged ({type(error).__name__}: {error})"
        ) from error


def _watch(options: argparse.Namespace) -> None:
    watch(options.run_dir, sys.stdout, every=options.every, once=options.once)


def _compare(options: argparse.Namespace) -> None:
    for name in ("seeds", "at", "reach"):  # which take as much as there is
        behind = [text for text in getattr(options, name) if "=" in text]
        options.rest = [*behind, *options.rest]
        setattr(
            options,
            name,
            _numbers(f"--{name}", [text for text in getattr(options, name) if text not in behind]),
        )
    if not options.seeds:
        raise UserError("--seeds: expected at least one random seed")
    settings = [
        text for text in options.given if "=" in text and not Path(text).exists()
    ] + options.rest
    vary = {}
    for text in options.vary:
        key, equals, values = text.partition("=")
        if not (key and equals and values):
            raise UserError(f"--vary {text!r}: expected key=a,b,c")
        vary[key] = values.split(";" if ";" in values else ",")
    for name, number, least in (
        ("--jobs", options.jobs, 1),
        ("--points", options.points, 2),
        *(("--at", births, 0) for births in options.at),
        *(("--seeds", seed, 0) for seed in options.seeds),
    ):
        if number < least:
            raise UserError(f"{name}: expected a number of at least {least}, got {number}")
    given = [_find(Path(text).expanduser()) for text in options.given if text not in settings]
    table, whole = compare(
        given,
        settings,
        vary=vary,
        seeds=list(dict.fromkeys(options.seeds)),
        out=options.out,
        jobs=options.jobs,
        at=options.at,
        reach=options.reach,
        points=options.points,
    )
    print(table)
    print(f"report: {options.out / 'report.html'}")
    if not whole:
        raise Interrupted(
            "some runs failed, the table has their reasons; the same command tries them again"
        )


def _numbers(option: str, texts: Sequence[str]) -> list[Any]:
    """The numbers that texts are: whole ones but for scores.

    Raises:
        UserError: if one is none.
    """
    kind, what = (float, "scores from 0 to 1") if option == "--reach" else (int, "whole numbers")
    try:
        numbers = [kind(text) for text in texts]
    except ValueError:
        raise UserError(f"{option}: expected {what}, got {' '.join(texts)}") from None
    if kind is float and not all(0 <= number <= 1 for number in numbers):
        raise UserError(f"{option}: expected {what}, got {' '.join(texts)}")
    return numbers


def _named_place(given: dict[str, Any]) -> Path | None:
    """The run directory that a config names, taken out of it; None if it names none.

    Raises:
        UserError: if it is no path.
    """
    named = given.pop("run_dir", None)
    if named is not None and not isinstance(named, str):
        raise UserError(f"run_dir: expected a path, got {named!r}")
    return None if named is None else place(named)


def _find(path: Path) -> Path:
    """A config as it is named, or the one of that name that came with evomerge."""
    share = Path(sys.prefix) / "share" / "evomerge"
    shipped = (share / path, share / "configs" / path)
    return path if path.exists() else next((file for file in shipped if file.is_file()), path)


def _tell(run_dir: Path, start: Path) -> None:
    """Says what a run that began in a working directory has left."""
    print((run_dir / "summary.json").read_text(encoding="utf-8"), end="")
    print(
        shortened(f"report: {run_dir / 'report.html'}, best member: {run_dir / 'best'}", str(start))
    )


COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "run": _run,
    "resume": _resume,
    "check": _check,
    "watch": _watch,
    "export": _export,
    "rebuild": _rebuild,
    "report": _report,
    "compare": _compare,
    "convert": _convert,
}
"""What each command does."""
