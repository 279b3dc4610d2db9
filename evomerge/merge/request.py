"""What a user asks for on the command line, sorted and checked before a file is read."""

from __future__ import annotations

import argparse
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge.config.signatures import parameters_of
from evomerge.evolution import evolve
from evomerge.merge.reading import Division
from evomerge.merge.scores import path_of

AT_LEAST_ONE = ("limit", "batch")
"""Options that are whole numbers from 1 on, or not given."""

OF_QUESTIONS = ("test", "template", "answer", "score", "max_new_tokens", "stop")
"""Options that are about the questions of `--data`, and but for `test` of `--watch`."""

ESCAPES = {r"\n": "\n", r"\t": "\t"}
"""What a shell cannot easily write in a text."""


@dataclass(frozen=True)
class Request:
    """What a user asks for.

    Attributes:
        options: the options as the parser has them.
        models: as the user names them.
        overrides: `key=value` over the config that is written.
        data: files to train on.
        test: files to test on, as many or none.
        tasks: of lm-eval.
        watch: files that are only watched.
        answers: for each file, those that are watched last, the field of the answer; None where
            it is not said.
        scores: likewise, its score.
        templates: likewise, what the model reads.
        lengths: likewise, most tokens of an answer.
        stop: what ends an answer; None where it is not said.
        mistakes: what is wrong with the options, a line each.
    """

    options: argparse.Namespace
    models: list[str]
    overrides: list[str]
    data: list[str]
    test: list[str]
    tasks: list[str]
    watch: list[str]
    answers: list[Any]
    scores: list[Any]
    templates: list[Any]
    lengths: list[Any]
    stop: list[str] | None
    mistakes: list[str]

    @classmethod
    def of_options(cls, options: argparse.Namespace) -> Request:
        """Sorts what was given into models, overrides and files."""
        overrides: list[str] = []
        lists = {}
        # Options take as many words as there are, and overrides may stand behind them.
        for name in ("given", "data", "test", "tasks", "watch", "answer", "score"):
            lists[name] = _without_overrides(getattr(options, name) or [], overrides)
        # A text may have an equals sign of its own.
        for name in ("template", "stop", "max_new_tokens"):
            lists[name] = _without_settings(getattr(options, name) or [], overrides)
        mistakes: list[str] = []
        each = {}
        for name, values in (
            ("answer", lists["answer"]),
            ("score", lists["score"]),
            ("template", [unescaped(text) for text in lists["template"]]),
            ("max_new_tokens", _lengths(lists["max_new_tokens"], mistakes)),
        ):
            each[name] = _one_each(name, values, len(lists["data"]), len(lists["watch"]), mistakes)
        request = cls(
            options=options,
            models=lists["given"],
            overrides=[*overrides, *options.rest],
            data=lists["data"],
            test=lists["test"],
            tasks=lists["tasks"],
            watch=lists["watch"],
            answers=each["answer"],
            scores=each["score"],
            templates=each["template"],
            lengths=each["max_new_tokens"],
            stop=[unescaped(text) for text in lists["stop"]] or None,
            mistakes=mistakes,
        )
        request._check_scores()
        request._check_numbers()
        request._check_files()
        return request

    @property
    def division(self) -> Division:
        """How records are divided."""
        return Division(self.options.split, self.options.limit)

    def _check_scores(self) -> None:
        """Adds the mistakes of scores that are none."""
        for name in dict.fromkeys(self.scores):
            if name is None:
                continue
            try:
                path_of(name)
            except ValueError as error:
                self.mistakes.append(str(error))

    def _check_numbers(self) -> None:
        """Adds the mistakes of numbers; the run's own are checked with the config."""
        options = self.options
        for name in AT_LEAST_ONE:
            value = getattr(options, name)
            if value is not None and value < 1:
                self.mistakes.append(f"--{name}: expected at least 1, got {value}")
        if not 0 < options.split < 1 or math.isnan(options.split):
            self.mistakes.append(
                f"--split: expected a share between 0 and 1, got {options.split:g}"
            )
        for name in ("births", "seed"):
            value = getattr(options, name)
            if value < 0:
                self.mistakes.append(f"--{name}: expected at least 0, got {value}")

    def _check_files(self) -> None:
        """Adds the mistakes of which files there are."""
        if not self.data and not self.tasks:
            self.mistakes.append(
                "--data: expected a file of questions with answers for each skill, "
                "or tasks of lm-eval (--tasks); there is neither"
            )
        # What nothing takes was meant for something.
        if self.tasks and not self.data:
            # What is watched is asked as files are, but has nothing to test on.
            unused: tuple[str, ...] = OF_QUESTIONS
            if self.watch:
                unused = ("test",)
            for name in unused:
                if getattr(self.options, name):
                    self.mistakes.append(
                        f"{_option(name)}: expected --data, whose questions it is about; "
                        "tasks of lm-eval have their own"
                    )
        elif self.test and len(self.test) != len(self.data):
            self.mistakes.append(
                f"--test: expected as many files as --data has, {len(self.data)}, "
                f"got {len(self.test)}"
            )
        places: dict[Path, str] = {}
        for file in [*self.data, *self.test, *self.watch]:
            path = Path(file).expanduser()
            if path.is_dir():
                self.mistakes.append(
                    f"{file}: expected a file of JSON lines, this is a folder; "
                    "models stand before the options"
                )
            elif not path.is_file():
                self.mistakes.append(f"{file}: there is no such file")
            elif path.resolve() in places:
                self.mistakes.append(f"{file}: the same file is given more than once")
            places[path.resolve()] = file
        if self.options.task_path is not None and not self.tasks:
            self.mistakes.append("--task-path: expected --tasks, which are looked for there")
        for task in dict.fromkeys(self.tasks):
            if self.tasks.count(task) > 1:
                self.mistakes.append(f"--tasks: {task} is given more than once")


def _one_each(
    name: str, values: Sequence[Any], data: int, watched: int, mistakes: list[str]
) -> list[Any]:
    """A value for each file: one for all, or one each; None for each where none is given.

    Args:
        name: the option's.
        values: what was given.
        data: how many files have the skills.
        watched: how many are only watched.
        mistakes: gets what is wrong.
    """
    count = data + watched
    if not values:
        return [None] * count
    if len(values) == 1:
        return list(values) * count
    if len(values) != count:
        # Where there is no file at all, it is told that nothing takes it.
        if count:
            files = str(count)
            if watched:
                files += ", those of --watch last"
            mistakes.append(
                f"{_option(name)}: expected one for all files, or one for each of {files}, "
                f"got {len(values)}"
            )
        return [None] * count
    return list(values)


def _option(name: str) -> str:
    """An option as it is written on the command line."""
    return f"--{name.replace('_', '-')}"


def _lengths(texts: Sequence[str], mistakes: list[str]) -> list[int]:
    """Most tokens of answers."""
    lengths = []
    for text in texts:
        try:
            length = int(text)
        except ValueError:
            length = 0
        if length < 1:
            mistakes.append(
                f"--max-new-tokens: expected a whole number of at least 1, got {text!r}"
            )
        lengths.append(length)
    return lengths


def unescaped(text: str) -> str:
    r"""A text in which \n is a line break, and \t a tab."""
    for written, meant in ESCAPES.items():
        text = text.replace(written, meant)
    return text


def _without_overrides(texts: Sequence[str], overrides: list[str]) -> list[str]:
    """What is no override; those that are one are added to `overrides`."""
    values = []
    for text in texts:
        # A file may have an equals sign in its name.
        if "=" in text and not Path(text).expanduser().exists():
            overrides.append(text)
        else:
            values.append(text)
    return values


def _without_settings(texts: Sequence[str], overrides: list[str]) -> list[str]:
    """As `_without_overrides`, for texts: an override begins with the name of a setting."""
    settings = parameters_of(evolve)
    values = []
    for text in texts:
        key, equals, _ = text.partition("=")
        first = re.split(r"[.\[]", key)[0]
        if equals and first in settings:
            overrides.append(text)
        else:
            values.append(text)
    return values
