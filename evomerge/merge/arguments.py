"""What `evomerge merge` takes."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

SEVERAL: dict[str, Any] = {"action": "extend", "nargs": "+"}
"""An option that takes several values: all behind it, or one each time that it is given."""


def add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options of `evomerge merge` to its parser."""
    _add_models(command)
    _add_data(command)
    _add_questions(command)
    _add_run(command)


def _add_models(command: argparse.ArgumentParser) -> None:
    """What is merged."""
    command.add_argument(
        "given",
        nargs="+",
        metavar="MODEL|key=value",
        help="two models or more: folders, owner/name of the hub, LoRA adapters; "
        "overrides of the config that is written",
    )
    command.add_argument(
        "--method", metavar="NAME", help="of mergekit, such as ties; without one, a weighted sum"
    )
    command.add_argument(
        "--base",
        metavar="MODEL",
        help="what LoRA adapters stand on, and what a method takes differences to",
    )
    command.add_argument(
        "--dtype", default="auto", help="auto (the first model's), float32, bfloat16 or float16"
    )
    command.add_argument("--device", default="auto", help="such as cuda or cpu")


def _add_data(command: argparse.ArgumentParser) -> None:
    """What the models are to be good at."""
    command.add_argument(
        "--data", **SEVERAL, default=[], metavar="FILE", help="JSON lines, a file a skill"
    )
    command.add_argument(
        "--test",
        **SEVERAL,
        default=[],
        metavar="FILE",
        help="as many files to test on; without them, the end of each file is",
    )
    command.add_argument(
        "--split",
        type=float,
        default=0.8,
        metavar="SHARE",
        help="of what is not divided otherwise: how much is trained on, by default 0.8",
    )
    command.add_argument(
        "--limit",
        type=int,
        metavar="N",
        help="at most so many of each skill to train, and to test, and to watch",
    )
    command.add_argument("--tasks", **SEVERAL, default=[], metavar="TASK", help="of lm-eval")
    command.add_argument(
        "--task-path", metavar="FOLDER", help="where lm-eval finds tasks of your own"
    )
    command.add_argument(
        "--watch",
        **SEVERAL,
        default=[],
        metavar="FILE",
        help="JSON lines of what must not be forgotten: every founder and each new best is scored "
        "on all of it, and nobody is chosen by it",
    )


def _add_questions(command: argparse.ArgumentParser) -> None:
    """How the models are asked, and what is right."""
    command.add_argument(
        "--template",
        **SEVERAL,
        metavar="TEXT",
        help=r"what the model reads, with fields in braces, \n for a line break: "
        "one for all files, or one each, those of --watch last",
    )
    command.add_argument(
        "--answer", **SEVERAL, metavar="FIELD", help="of the right answer: one, or one each"
    )
    command.add_argument(
        "--score",
        **SEVERAL,
        metavar="SCORE",
        help="exact, numeric, gsm8k or the import path of a function: one, or one each",
    )
    command.add_argument(
        "--max-new-tokens",
        **SEVERAL,
        metavar="N",
        help="most tokens of an answer: one, or one each",
    )
    command.add_argument(
        "--stop", **SEVERAL, metavar="TEXT", help=r"what ends an answer, \n for a line break"
    )
    command.add_argument(
        "--chat",
        action=argparse.BooleanOptionalAction,
        help="whether a question is a user's message in the models' chat template; by default "
        "where all models have the same one, and no --template is given",
    )
    command.add_argument("--system", metavar="TEXT", help="the system's message before it")
    command.add_argument(
        "--batch", type=int, metavar="N", help="questions that are answered side by side"
    )


def _add_run(command: argparse.ArgumentParser) -> None:
    """The run."""
    command.add_argument("--births", type=int, default=100, metavar="N", help="by default 100")
    command.add_argument("--seed", type=int, default=0, metavar="N", help="of all randomness")
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="the folder to make, by default runs/merged"
    )
    command.add_argument(
        "--dry-run", action="store_true", help="check everything and write the config only"
    )
