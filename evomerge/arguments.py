"""What the command line takes: commands, options, overrides."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of a command, with overrides wherever they stand; those of a comparison that stand behind its options are `rest`.

    Raises:
        SystemExit: with 2, if they are not understood.
    """
    root = parser()
    options, rest = root.parse_known_args(arguments)
    takes = hasattr(options, "given") or hasattr(options, "overrides")
    if rest and not (takes and all("=" in text and not text.startswith("-") for text in rest)):
        root.error(f"unrecognized arguments: {' '.join(rest)}")
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

    run = commands.add_parser("run", help="begin a run", description="Begins a run.")
    run.add_argument("config", type=Path, help="a YAML file, such as configs/digits.yaml")
    run.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="such as births=1000, strategy.alpha=0, run_dir=runs/mine",
    )
    run.set_defaults(command="run")

    resume = commands.add_parser(
        "resume",
        help="go on with a run",
        description="Goes on with a run that was stopped or killed.",
    )
    resume.add_argument("run_dir", type=Path)
    resume.add_argument(
        "overrides",
        nargs="*",
        metavar="key=value",
        help="births (more of them), workers, hours, patience and save_every may change",
    )
    resume.set_defaults(command="resume")

    checking = commands.add_parser(
        "check",
        help="what is wrong with a config, and what a run will need",
        description="Says what is wrong with a config; then rehearses the run, its first births and its end, in a folder that is deleted again, "
        "and says how long all of it will take, and how much memory and disk. Ends with yes (exit code 0) or no (1; 2 if the config is wrong).",
    )
    checking.add_argument(
        "--seconds",
        type=float,
        default=60.0,
        metavar="S",
        help="try births for so long at most, by default 60",
    )
    checking.add_argument("config", type=Path)
    checking.add_argument("overrides", nargs="*", metavar="key=value")
    checking.set_defaults(command="check")

    export = commands.add_parser(
        "export",
        help="write a member out",
        description="Writes a member out, the best if none is named.",
    )
    export.add_argument("run_dir", type=Path)
    export.add_argument("out", type=Path, help="the folder to make")
    export.add_argument(
        "--member", type=int, metavar="ID", help="a member alive in the newest snapshot"
    )
    export.set_defaults(command="export")

    rebuild = commands.add_parser(
        "rebuild",
        help="make a member again from its recipe.json",
        description="Makes a member again from its recipe.json.",
    )
    rebuild.add_argument("recipe", type=Path, help="the recipe.json beside an exported member")
    rebuild.add_argument("out", type=Path, help="the folder to make")
    rebuild.add_argument(
        "settings",
        nargs="*",
        metavar="key=value",
        help="settings that are other ones here, such as seeds=[a,b] or device=cpu",
    )
    rebuild.add_argument(
        "--trust", action="store_true", help="let the recipe run code that is not evomerge's own"
    )
    rebuild.set_defaults(command="rebuild")

    comparing = commands.add_parser(
        "compare",
        help="compare searches over random seeds",
        description="Runs configs with several random seeds, or takes runs that are there, and compares them. The same command goes on where "
        "one was stopped, and draws everything again where nothing is left to run.",
    )
    comparing.add_argument(
        "given",
        nargs="+",
        metavar="CONFIG|RUN|key=value",
        help="configs, runs, folders of runs; overrides for all configs",
    )
    comparing.add_argument(
        "--seeds",
        nargs="+",
        default=[*"01234"],
        metavar="N",
        help="random seeds, by default 0 to 4",
    )
    comparing.add_argument(
        "--vary",
        action="append",
        default=[],
        metavar="key=a,b,c",
        help="a row for each value (or a;b;c)",
    )
    comparing.add_argument(
        "--out",
        type=Path,
        default=Path("runs/compare"),
        help="the comparison's folder, by default runs/compare",
    )
    comparing.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="runs that go on at once, by default 1"
    )
    comparing.add_argument(
        "--at",
        nargs="+",
        default=[],
        metavar="N",
        help="tell the test score after so many births, too",
    )
    comparing.add_argument(
        "--reach", nargs="+", default=[], metavar="SCORE", help="count births to these test scores"
    )
    comparing.add_argument(
        "--points",
        type=int,
        default=41,
        metavar="N",
        help="mixing ratios of the sweep, by default 41",
    )
    comparing.set_defaults(command="compare")

    converting = commands.add_parser(
        "convert",
        help="make a config of one of mergekit-evolve",
        description="Makes a config of one of mergekit-evolve, and says what has no counterpart. docs/from_mergekit_evolve.md is the guide.",
    )
    converting.add_argument("config", type=Path, help="a YAML file of mergekit-evolve")
    converting.add_argument(
        "out", type=Path, nargs="?", help="the config to write; it is printed if none is named"
    )
    converting.add_argument(
        "--search",
        default="m2n2",
        help="m2n2 (the default), or cma-es: the numbers that mergekit-evolve searches",
    )
    converting.add_argument(
        "--births",
        "--max-fevals",
        type=int,
        default=100,
        metavar="N",
        help="merges to score, by default 100",
    )
    for option, kind in (
        ("batch-size", int),
        ("sigma0", float),
        ("force-population-size", int),
        ("timeout", float),
    ):
        converting.add_argument(f"--{option}", type=kind, metavar="N", help="as of mergekit-evolve")
    converting.add_argument("--task-search-path", metavar="FOLDER", help="as of mergekit-evolve")
    converting.add_argument(
        "--overwrite", action="store_true", help="write over a file that is there"
    )
    converting.set_defaults(command="convert")

    draw = commands.add_parser(
        "report",
        help="draw report.html again",
        description="Draws report.html again from the run's files.",
    )
    draw.add_argument("run_dir", type=Path)
    draw.set_defaults(command="report")

    watching = commands.add_parser(
        "watch",
        help="see how a run is doing",
        description="Shows how a run is doing, from its files alone, until it has ended.",
    )
    watching.add_argument("run_dir", type=Path)
    watching.add_argument(
        "--every",
        type=float,
        default=2.0,
        metavar="SECONDS",
        help="between two views, by default 2",
    )
    watching.add_argument("--once", action="store_true", help="show one view and end")
    watching.set_defaults(command="watch")
    return root
