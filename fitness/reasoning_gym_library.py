"""The package reasoning-gym: its datasets by name, each held against what it takes."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any, Protocol

from fitness.contracts import can

CHUNK = 1000
"""Size of a dataset that questions are drawn from. Some draw others where the size is another."""

RUNS_ANSWERS = {
    "binary_matrix",
    "countdown",
    "intermediate_integration",
    "n_queens",
    "polynomial_multiplication",
    "puzzle24",
    "simple_integration",
    "spiral_matrix",
    "string_insertion",
}
"""Datasets whose scorers run an answer as Python code."""

MAY_NOT_END = {"coin_flip", "rubiks_cube"}
"""Datasets whose scorers take as long as an answer asks for, as Fraction("1e999999999") does."""


class Validates(Protocol):
    """A configuration that can be held against what it may be."""

    def validate(self) -> None:
        """Raises where it is wrong."""


def dataset_of(name: str, config: Mapping[str, Any], seed: int) -> Any:
    """A dataset of `CHUNK` questions, configured.

    Raises:
        ImportError: if reasoning-gym is not installed.
        ValueError: if there is no such dataset, or it does not take this configuration.
    """
    checked = configured(name, config, seed)
    make = _datasets()[name][0]
    try:
        return make(config=checked)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise _refused(name, error) from error


def configured(name: str, config: Mapping[str, Any], seed: int) -> Any:
    """A configuration of a dataset, checked.

    Raises:
        ValueError: if there is no such dataset, or it does not take this configuration.
    """
    _check_name(name)
    make = _datasets()[name][1]
    known = [field.name for field in fields(make) if field.name not in ("seed", "size")]
    for key in config:
        if key in ("seed", "size"):
            raise ValueError(
                f"datasets.{name}.{key}: sizes and the seed are set beside datasets, for all of "
                f"them: train, test, validation, seed"
            )
        if key not in known:
            raise ValueError(
                f"datasets.{name}: no setting {key!r}{_hint(str(key), known)}; "
                f"its settings: {', '.join(known)}"
            )
    try:
        made = make(**config, seed=seed, size=CHUNK)
        # some have nothing to validate
        if can(made, Validates):
            made.validate()
    except Exception as error:
        raise _refused(name, error) from error
    return made


def _refused(name: str, error: Exception) -> ValueError:
    """What a user reads where reasoning-gym refuses a configuration."""
    reason = str(error) or type(error).__name__
    return ValueError(f"datasets.{name}: reasoning-gym refuses this configuration: {reason}")


def _check_name(name: str) -> None:
    """Refuses a name that is no dataset's, or that of one that is not safe to score."""
    known = sorted(_datasets())
    if name not in known:
        raise ValueError(f"datasets: reasoning-gym has no dataset {name!r}{_hint(name, known)}")
    if name == "composite":
        raise ValueError("datasets: composite is several in one; name those instead")
    # what a model writes may be anything, and would run with the rights of whoever runs this
    if name in RUNS_ANSWERS:
        raise ValueError(
            f"datasets: {name!r} is scored by running the model's answer as Python code, "
            f"which is refused here"
        )
    if name in MAY_NOT_END:
        raise ValueError(
            f"datasets: {name!r} has a scorer that need not end with what a model writes, "
            f"and is refused here"
        )


def _hint(name: str, known: list[str]) -> str:
    """The names nearest to one that is not known."""
    near = difflib.get_close_matches(name, known, 3)
    if not near:
        return ""
    return f", did you mean {' or '.join(near)}?"


@lru_cache(maxsize=1)
def _datasets() -> Mapping[str, tuple[Any, Any]]:
    """By name the class of each dataset and of its configuration."""
    try:
        # Where nothing is compiled yet, Python wonders at lines of what reasoning-gym imports.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ImportError(
            "questions of reasoning-gym need the package reasoning-gym: "
            f"pip install 'evomerge[reasoning-gym]' ({error})"
        ) from None
    datasets: Mapping[str, tuple[Any, Any]] = DATASETS
    return datasets
