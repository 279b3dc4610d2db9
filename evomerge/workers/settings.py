"""Checks of the settings of workers on Ray, before anything is started."""

from __future__ import annotations

import math
from collections.abc import Mapping

NAMED_ELSEWHERE = {"CPU", "GPU", "memory"}
"""Resources of Ray that are no names which nodes have given."""


def check_whole(name: str, value: object) -> None:
    """Checks a count.

    Raises:
        ValueError: if it is not a whole number of at least 1.
    """
    # True is an int to Python, and a mistake here.
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{name}: expected a whole number of at least 1, got {value!r}")


def check_amount(name: str, amount: float) -> None:
    """Checks an amount of a resource.

    Raises:
        ValueError: if it is not a number of at least 0 that Ray can count with.
    """
    # Ray counts in ten thousandths, and would round anything finer without a word.
    if (
        isinstance(amount, str)
        or not (math.isfinite(amount) and amount >= 0)
        or round(amount, 4) != amount
    ):
        raise ValueError(
            f"{name}: expected a number of at least 0 with at most 4 decimals, got {amount!r}"
        )


def check_resources(resources: Mapping[str, float]) -> None:
    """Checks the resources that nodes have by name.

    Raises:
        ValueError: if an amount is out of range, or a name is Ray's own.
    """
    for name, amount in resources.items():
        check_amount(name, amount)
    reserved = NAMED_ELSEWHERE & set(resources)
    if reserved:
        raise ValueError(
            f"resources: expected names that nodes have given; {reserved.pop()} has a setting "
            "of its own or none"
        )


def check_gpus(gpus: float) -> None:
    """Checks the GPUs of a worker.

    Raises:
        ValueError: if they are no amount, or more than one and not a whole number.
    """
    check_amount("gpus", gpus)
    # Ray shares out one GPU, and gives several only whole.
    if gpus > 1 and gpus != int(gpus):
        raise ValueError(
            f"gpus: expected a share of one GPU or a whole number of them, got {gpus!r}"
        )


def check_seconds(name: str, seconds: float | None) -> None:
    """Checks a time.

    Raises:
        ValueError: if it is not a number of seconds above 0.
    """
    if isinstance(seconds, str) or seconds is None or not seconds > 0:
        raise ValueError(f"{name}: expected a number of seconds above 0, got {seconds!r}")
