"""Checks of settings that species share, and errors that name the setting that they come from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, get_args

import torch


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


def first_line(error: BaseException) -> str:
    """The first line that an error says, or its kind where it says nothing."""
    for text in str(error).splitlines():
        if text.strip():
            return text
    return type(error).__name__
