"""What the command line takes: commands, options, overrides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from evomerge.merge.arguments import SEVERAL, add_options

MERGEKIT_OPTIONS = (
    ("batch-size", int),
    ("sigma0", float),
    ("force-population-size", int),
    ("timeout", float),
)
"""Options of mergekit-evolve that take a number, and have the same name here."""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command.

    Overrides may stand anywhere. Those that stand behind the options of a comparison are `rest`.

    Raises:
        SystemExit: with 2, if they are not understood.
    """
    root = parser()
    options, rest = root.parse_known_args(arguments)
    takes_overrides = hasattr(options, "given") or hasattr(options, "overrides")
    for text in rest:
        # argparse gives back what it does not know, mistyped options among it.
        is_override = "=" in text and not text.startswith("-")
        if not takes_overrides or not is_override:
            root.error(f"unrecognized arguments: {' '.join(rest)}")
    # The parser takes one stretch of overrides, and leaves those behind an option.
    if hasattr(options, "overrides"):
        options.overrides += rest
    options.rest = rest
    return options


def parser() -> argparse.ArgumentParser:
    """What `evomerge` takes; `command` of what it gives is the name of a command."""
    root = argparse.ArgumentParser(
        prog="evomerge", description="Breeds models: one that has all the skills of a few."
    )
    commands = root.add_subparsers(required=True, metavar="COMMAND")
    _add_merge(commands)
    _add_run(commands)
    _add_resume(commands)
    _add_check(commands)
    _add_export(commands)
    _add_rebuild(commands)
    _add_compare(commands)
    _add_convert(commands)
    _add_configs(commands)
    _add_report(commands)
    _add_watch(commands)
    return root


def _add(commands: Any, name: str, help: str, description: str) -> argparse.ArgumentParser:
    """Adds a command."""
    command: argparse.ArgumentParser = commands.add_parser(name, help=help, description=description)
    command.set_defaults(command=name)
    return command


def _add_merge(commands: Any) -> None:
    command = _add(
        commands,
        "merge",
        "merge language models without writing a config",
        "Merges language models by what they can do on files of questions with answers, or on "
        "tasks of lm-eval. Writes the config that it runs, from which one can go on. The first "
        "section of docs/language_models.md is the guide.",
    )
    add_options(command)


def _add_run(commands: Any) -> None:
    command = _add(commands, "run", "begin a run", "Begins a run.")
    command.add_argument("config", type=Path, help="a YAML file, such as configs/digits.yaml")
    command.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="such as births=1000, strategy.alpha=0, run_dir=runs/mine",
    )


def _add_resume(commands: Any) -> None:
    command = _add(
        commands,
        "resume",
        "go on with a run",
        "Goes on with a run that was stopped or killed.",
    )
    command.add_argument("run_dir", type=Path)
    command.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="births (more of them), workers, hours, patience and save_every may change",
    )


def _add_check(commands: Any) -> None:
    command = _add(
        commands,
        "check",
        "what is wrong with a config, and what a run will need",
        "Says what is wrong with a config; then rehearses the run, its first births and its end, "
        "in a folder that is deleted again, and says how long all of it will take, and how much "
        "memory and disk. Ends with yes (exit code 0) or no (1; 2 if the config is wrong).",
    )
    command.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="try births for so long at most, by default 60",
    )
    command.add_argument("config", type=Path)
    command.add_argument("overrides", nargs="*", metavar="key=value")


def _add_export(commands: Any) -> None:
    command = _add(
        commands,
        "export",
        "write a member out",
        "Writes a member out, the best if none is named.",
    )
    command.add_argument("run_dir", type=Path)
    command.add_argument("out", type=Path, help="the folder to make")
    command.add_argument(
        "--member", type=int, metavar="ID", help="a member alive in the newest snapshot"
    )


def _add_rebuild(commands: Any) -> None:
    command = _add(
        commands,
        "rebuild",
        "make a member again from its recipe.json",
        "Makes a member again from its recipe.json.",
    )
    command.add_argument("recipe", type=Path, help="the recipe.json beside an exported member")
    command.add_argument("out", type=Path, help="the folder to make")
    command.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="settings that are other ones here, such as seeds=[a,b] or device=cpu",
    )
    command.add_argument(
        "--trust", action="store_true", help="let the recipe run code that is not evomerge's own"
    )


def _add_compare(commands: Any) -> None:
    command = _add(
        commands,
        "compare",
        "compare searches over random seeds",
        "Runs configs with several random seeds, or takes runs that are there, and compares them. "
        "The same command goes on where one was stopped, and draws everything again where nothing "
        "is left to run.",
    )
    command.add_argument(
        "given",
        nargs="+",
        metavar="CONFIG|RUN|key=value",
        help="configs, runs, folders of runs; overrides for all configs",
    )
    # These take texts: an override may stand behind their numbers.
    command.add_argument(
        "--seeds",
        **SEVERAL,
        metavar="N",
        help="random seeds, by default 0 to 4",
    )
    command.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="key=a,b,c",
        help="a row for each value (or a;b;c)",
    )
    command.add_argument(
        "--out",
        type=Path,
        default=Path("runs/compare"),
        help="the comparison's folder, by default runs/compare",
    )
    command.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs that go on at once, by default 1"
    )
    command.add_argument(
        "--at",
        **SEVERAL,
        default=[],
        metavar="N",
        help="tell the test score after so many births, too",
    )
    command.add_argument(
        "--reach", **SEVERAL, default=[], metavar="SCORE", help="count births to these test scores"
    )
    command.add_argument(
        "--points",
        type=int,
        default=41,
        metavar="N",
        help="mixing ratios of the sweep, by default 41",
    )


def _add_convert(commands: Any) -> None:
    command = _add(
        commands,
        "convert",
        "make a config of one of mergekit-evolve",
        "Makes a config of one of mergekit-evolve, and says what has no counterpart. "
        "docs/from_mergekit_evolve.md is the guide.",
    )
    command.add_argument("config", type=Path, help="a YAML file of mergekit-evolve")
    command.add_argument(
        "out", type=Path, nargs="?", help="the config to write; it is printed if none is named"
    )
    command.add_argument(
        "--search",
        default="m2n2",
        help="m2n2 (the default), or cma-es: the numbers that mergekit-evolve searches",
    )
    command.add_argument(
        "--births",
        "--max-fevals",
        type=int,
        default=100,
        metavar="N",
        help="merges to score, by default 100",
    )
    # Who has a command of mergekit-evolve can give its options as they are.
    for option, kind in MERGEKIT_OPTIONS:
        command.add_argument(f"--{option}", type=kind, metavar="N", help="as of mergekit-evolve")
    command.add_argument("--task-search-path", metavar="FOLDER", help="as of mergekit-evolve")
    command.add_argument("--overwrite", action="store_true", help="write over a file that is there")


def _add_configs(commands: Any) -> None:
    command = _add(
        commands,
        "configs",
        "list the configs that come with evomerge, or copy one",
        "Lists the configs that come with evomerge; with a name, copies that one here, and what "
        "it is based on.",
    )
    command.add_argument("name", nargs="?", metavar="NAME", help="such as skills")
    command.add_argument("--to", type=Path, metavar="FILE", help="the copy, by default NAME.yaml")


def _add_report(commands: Any) -> None:
    command = _add(
        commands,
        "report",
        "draw report.html again",
        "Draws report.html again from the run's files.",
    )
    command.add_argument("run_dir", type=Path)


def _add_watch(commands: Any) -> None:
    command = _add(
        commands,
        "watch",
        "see how a run is doing",
        "Shows how a run is doing, from its files alone, until it has ended.",
    )
    command.add_argument("run_dir", type=Path)
    command.add_argument(
        "--every",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="between two views, by default 2",
    )
    command.add_argument("--once", action="store_true", help="show one view and end")
