"""In which settings seeds differ, in words; and which seed's settings count then.

Two seeds may have the same shapes and still be read differently: another rope theta, another start
token, another chat template. A member is one model, so each of these has to have one value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Settings = dict[str, Any]
"""Settings by name; one inside another has the outer one's name before its own, with a dot."""

MOST = 6
"""Differences that a message shows."""

LONGEST = 60
"""Characters of a value that a message shows."""


@dataclass(frozen=True)
class Difference:
    """A setting in which seeds differ.

    Attributes:
        setting: its name.
        names: of the K seeds.
        values: (K,) what each has.
    """

    setting: str
    names: Sequence[str]
    values: Sequence[Any]

    def __str__(self) -> str:
        """The setting, and which seeds have what."""
        # Seeds of one value stand together: two groups are read faster than K values.
        seeds_with: dict[str, list[str]] = {}
        for name, value in zip(self.names, self.values, strict=True):
            text = "not set" if value is None else str(value)
            seeds_with.setdefault(text, []).append(name)
        texts = []
        for value, seeds in seeds_with.items():
            texts.append(f"{_shortened(value)} in {' and '.join(seeds)}")
        return f"{self.setting} is {', '.join(texts)}"


def differences(names: Sequence[str], settings: Sequence[Settings]) -> list[Difference]:
    """Compares the settings of K seeds, one by one, in alphabetical order.

    Args:
        names: of the seeds.
        settings: (K,) theirs.
    """
    differing = []
    for setting in sorted(set().union(*settings)):
        # To leave a setting out is the same as to write null.
        values = [by_name.get(setting) for by_name in settings]
        if any(value != values[0] for value in values):
            differing.append(Difference(setting, names, values))
    return differing


def in_words(differing: Sequence[Difference]) -> str:
    """Differences in one line, the first ones in full."""
    texts = list(map(str, differing[:MOST]))
    # Seeds of two families may differ in hundreds of settings.
    if len(differing) > MOST:
        texts.append(f"and {len(differing) - MOST} more")
    return "; ".join(texts)


def refuse_differences(differing: Sequence[Difference], effect: str, ways: str) -> None:
    """Refuses differences by which a seed would not be read as it is alone.

    Args:
        differing: the differences.
        effect: what they change, for the message.
        ways: what the user can do besides naming a seed, for the message.

    Raises:
        ValueError: if there are any.
    """
    if differing:
        raise ValueError(
            f"seeds: they differ in {effect}: {in_words(differing)}; say whose the members have "
            f"with like: {differing[0].names[0]} (or another seed){ways}"
        )


def place_of(like: str | int | None, seeds: Sequence[str]) -> int | None:
    """The place of the seed that `like` names: the one whose settings count.

    Args:
        like: one of the seeds, or its place among them, from 0; None: nobody said.
        seeds: what the user calls them.

    Raises:
        ValueError: if it names none of them.
    """
    if like is None:
        return None
    # YAML's true is an int in Python, and no place.
    if isinstance(like, int) and not isinstance(like, bool) and 0 <= like < len(seeds):
        return like
    # As paths, so that a slash at the end does not matter.
    paths = [Path(seed) for seed in seeds]
    if isinstance(like, str | Path) and Path(like) in paths:
        return paths.index(Path(like))
    raise ValueError(
        f"like: expected one of the seeds, {', '.join(seeds)}, "
        f"or its place from 0 to {len(seeds) - 1}, got {like!r}"
    )


def flattened(settings: Mapping[str, Any], before: str = "") -> Settings:
    """Settings inside settings as one level.

    Args:
        settings: the settings.
        before: put before each name.
    """
    level: Settings = {}
    for name, value in settings.items():
        # So a message can name the very setting, such as rope_parameters.rope_theta.
        if isinstance(value, Mapping):
            level |= flattened(value, f"{before}{name}.")
        else:
            level[f"{before}{name}"] = value
    return level


def last_part(setting: str) -> str:
    """A setting's name without the names of those around it."""
    return setting.rpartition(".")[2]


def _shortened(text: str) -> str:
    """A value as text, cut where it is too long for a message."""
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - 3] + "..."
