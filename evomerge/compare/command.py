"""The command `evomerge compare`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from evomerge.compare.compare import compare
from evomerge.config import given
from evomerge.errors import Interrupted, UserError

SEEDS = ("0", "1", "2", "3", "4")
"""The random seeds that are taken where none is given."""


def command(options: argparse.Namespace) -> None:
    """Compares, and prints the table.

    Raises:
        UserError: if what is given is wrong.
        Interrupted: if some runs failed.
    """
    # These options take as much as there is, overrides that stand behind them too.
    given_seeds = SEEDS if options.seeds is None else options.seeds
    texts_of_seeds, behind_seeds = _without_overrides(given_seeds)
    texts_of_at, behind_at = _without_overrides(options.at)
    texts_of_reach, behind_reach = _without_overrides(options.reach)
    # A text that is no number may be an override, so the parser leaves all of them to us.
    seeds = _whole_numbers("--seeds", texts_of_seeds)
    at = _whole_numbers("--at", texts_of_at)
    reach = _scores("--reach", texts_of_reach)
    if not seeds:
        raise UserError("--seeds: expected at least one random seed")
    vary = _varied(options.vary)
    _check_least("--jobs", [options.jobs], 1)
    _check_least("--points", [options.points], 2)
    _check_least("--at", at, 0)
    _check_least("--seeds", seeds, 0)

    paths = []
    overrides = []
    for text in options.given:
        # A file may have an equals sign in its name.
        if "=" in text and not Path(text).exists():
            overrides.append(text)
        else:
            paths.append(given.find(Path(text).expanduser()))
    table, whole = compare(
        paths,
        [*overrides, *behind_reach, *behind_at, *behind_seeds, *options.rest],
        vary=vary,
        # A seed that is given twice would be one run in two places.
        seeds=list(dict.fromkeys(seeds)),
        out=options.out,
        jobs=options.jobs,
        at=at,
        reach=reach,
        points=options.points,
    )
    print(table)
    print(f"report: {options.out / 'report.html'}")
    # A script that goes on with the table has to know that runs are missing from it.
    if not whole:
        raise Interrupted(
            "some runs failed, the table has their reasons; the same command tries them again"
        )


def _varied(texts: Sequence[str]) -> dict[str, list[str]]:
    """By key, the values of which each has a row.

    Raises:
        UserError: if a text is not key=a,b,c.
    """
    varied: dict[str, list[str]] = {}
    for text in texts:
        key, _, values = text.partition("=")
        if not key or not values:
            raise UserError(f"--vary {text!r}: expected key=a,b,c")
        # A value that has commas itself, such as a list, needs another mark between values.
        mark = ";" if ";" in values else ","
        varied.setdefault(key, []).extend(values.split(mark))
    return varied


def _without_overrides(texts: Sequence[str]) -> tuple[list[str], list[str]]:
    """What an option is given for itself, and the overrides that stand behind it."""
    values = []
    overrides = []
    for text in texts:
        if "=" in text:
            overrides.append(text)
        else:
            values.append(text)
    return values, overrides


def _whole_numbers(option: str, texts: Sequence[str]) -> list[int]:
    """The whole numbers that an option is given.

    Raises:
        UserError: if a text is none.
    """
    try:
        return [int(text) for text in texts]
    except ValueError:
        raise UserError(f"{option}: expected whole numbers, got {' '.join(texts)}") from None


def _scores(option: str, texts: Sequence[str]) -> list[float]:
    """The scores that an option is given.

    Raises:
        UserError: if a text is none.
    """
    # NaN is no score either: no run would ever reach it.
    mistake = UserError(f"{option}: expected scores from 0 to 1, got {' '.join(texts)}")
    scores = []
    for text in texts:
        try:
            score = float(text)
        except ValueError:
            raise mistake from None
        if not 0 <= score <= 1:
            raise mistake
        scores.append(score)
    return scores


def _check_least(option: str, numbers: Sequence[int], least: int) -> None:
    """Checks the numbers of an option.

    Raises:
        UserError: if one is too small.
    """
    for number in numbers:
        if number < least:
            raise UserError(f"{option}: expected a number of at least {least}, got {number}")
