"""Checks of settings that species share, and errors that name the setting that they come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, get_args

import torch

Given = TypeVar("Given")
Made = TypeVar("Made")


def check_choice(name: str, value: object, allowed: Any) -> None:
    """Checks a setting that is one of a few words.

    Args:
        name: the setting's name.
        value: its value.
        allowed: a `Literal` of the words.

    Raises:
        ValueError: if it is none of them.
    """
    words = get_args(allowed)
    if value not in words:
        raise ValueError(f"{name}: expected {' or '.join(map(repr, words))}, got {value!r}")


def check_device(device: str) -> None:
    """Checks the name of a device.

    Raises:
        ValueError: if torch does not know it.
    """
    try:
        torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"device: expected one that torch knows, such as cpu or cuda:0, got {device!r}"
        ) from None


@contextmanager
def as_setting_error(setting: str) -> Iterator[None]:
    """What goes wrong inside names the setting that it comes from.

    Raises:
        FileNotFoundError: if something is missing.
        ValueError: for everything else that is said of the input.
    """
    try:
        yield
    except (ValueError, OSError) as error:
        kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
        # What reads seeds calls all that it reads seeds, also a base.
        raise kind(f"{setting}: {str(error).removeprefix('seeds: ')}") from None


def each_of(setting: str, given: Iterable[Given], make: Callable[[Given], Made]) -> list[Made]:
    """What is made of each thing that a setting lists; what is wrong with any is told at once.

    Args:
        setting: the setting's name, which stands before each mistake.
        given: what it lists.
        make: makes something of one of these.

    Raises:
        FileNotFoundError: if all that is wrong is that something is missing; a line for each.
        ValueError: if something else is wrong with one; a line for each that is wrong.
    """
    made = []
    problems: dict[str, Exception] = {}
    for thing in given:
        try:
            with as_setting_error(setting):
                made.append(make(thing))
        except (FileNotFoundError, ValueError) as error:
            # What is given twice is wrong once.
            problems.setdefault(str(error), error)
            last = error
    if not problems:
        return made
    if len(problems) == 1:
        raise last
    kind: type[Exception] = ValueError
    if all(isinstance(error, FileNotFoundError) for error in problems.values()):
        kind = FileNotFoundError
    raise kind("\n".join(problems))


def first_line(error: BaseException) -> str:
    """The first line that an error says, or its kind where it says nothing."""
    for text in str(error).splitlines():
        if text.strip():
            return text
    return type(error).__name__
