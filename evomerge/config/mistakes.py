"""What is wrong with a config: a value for each mistake, and its text."""

from __future__ import annotations

import re
from collections.abc import Container
from dataclasses import dataclass
from typing import Any

LONGEST = 80
"""Characters from which on a value is shown shortened."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong.

    Attributes:
        place: where, such as "strategy.crossover.splits".
        problem: what is wrong, where it is not that something else was expected.
        expected: what was expected there.
        got: what there is instead, as the sentence goes on: "got 5 (int)".
        hint: what may have been meant, with what stands between it and the rest.
    """

    place: str
    problem: str = ""
    expected: str = ""
    got: str = ""
    hint: str = ""

    @property
    def text(self) -> str:
        """The mistake in one line."""
        parts = []
        if self.problem:
            parts.append(self.problem)
        if self.expected:
            parts.append(f"expected {self.expected}")
        sentence = "; ".join(parts)
        if self.got:
            sentence += f", {self.got}"
        if self.place:
            sentence = f"{self.place}: {sentence}"
        return sentence + self.hint

    def is_misfit_at(self, place: str) -> bool:
        """Whether a value at a place is of another type, and nothing more is known of it."""
        return self.place == place and bool(self.expected) and not self.problem


def raised(place: str, error: Exception, names: Container[str]) -> Mistake:
    """The mistake behind an error that a constructor raised, of which there is nothing but a text.

    Args:
        place: of the object that was to be made.
        error: what its constructor raised.
        names: the constructor's arguments.
    """
    # Errors of these classes are raised on purpose, with a text for the user.
    if isinstance(error, ValueError | TypeError | OSError | ImportError):
        text = str(error)
    else:
        text = f"{type(error).__name__}: {error}"

    # Classes of ours name the argument first: "alpha: expected a finite number of at least 0".
    named = re.match(r"((\w+)[\w.\[\]]*): ?", text)
    if named is not None and named[2] in names:
        return Mistake(join(place, named[1]), text[named.end() :])

    # Who says only what was expected says less than the type hint, where there are several types.
    opening, _, rest = text.partition(" ")
    if opening == "expected":
        return Mistake(place, expected=rest)
    return Mistake(place, text)


def join(place: str, key: str) -> str:
    """The place of a key at a place."""
    if not place:
        return str(key)
    return f"{place}.{key}"


def shown(value: Any) -> str:
    """A value with its type, as a message has it."""
    text = repr(value)
    if len(text) >= LONGEST:
        text = text[: LONGEST - 3] + "..."
    return f"{text} ({type(value).__name__})"
