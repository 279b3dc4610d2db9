"""Ready scores of a response against its reference.

They are exact, by its number, as GSM8K has it, and any of several references. A score may say which
references it can take: it then has `check(reference)`, which raises a ValueError where no response
could be right, and is asked when records are loaded. A score without it takes any reference.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Integral
from typing import Any, TypeVar

import numpy as np

from fitness.contracts import ChecksReferences, can
from fitness.messages import shown
from fitness.numerals import numbers, one_number
from fitness.readable import check_readable

Score = Callable[[str, str, Any], float]
"""(prompt, response, reference) to a score in [0, 1]."""

S = TypeVar("S", bound=Score)

ANSWER = re.compile("the answer is", re.IGNORECASE)
"""What models write before an answer where nobody has shown them the mark."""

MARK = "####"
"""What stands before the final answer, as GSM8K has it."""


def checked_by(check: Callable[[Any], object]) -> Callable[[S], S]:
    """Gives a score function its `check`.

    Args:
        check: raises a ValueError for a reference that the score cannot take.
    """

    def give(score: S) -> S:
        score.check = check  # type: ignore[attr-defined]
        return score

    return give


def check_of(score: Score) -> Callable[[Any], object]:
    """How a score checks a reference, which is asked for once and called for each record.

    Returns:
        A function of a reference, which raises a ValueError if no response can be right against it.
        One that takes any where the score has none.
    """
    if can(score, ChecksReferences):
        return score.check
    return _takes_any


def _text(reference: Any) -> str:
    """A reference that is compared as text.

    Raises:
        ValueError: if it is no text of one reading.
    """
    # a whole number is written in one way, a fraction in many
    if isinstance(reference, Integral) and not isinstance(reference, bool):
        return str(reference)
    if not isinstance(reference, str):
        hint = _hint(reference)
        if _is_number(reference):
            hint = "; numbers are compared by fitness.matching.numeric"
        raise ValueError(
            f"expected a text or a whole number as the reference, got {shown(reference)}{hint}"
        )
    # a model that says nothing would be right
    if not reference.strip():
        raise ValueError(f"expected a reference that is not empty, got {reference!r}")
    check_readable(reference)
    return reference


@checked_by(_text)
def exact(_prompt: str, response: str, reference: Any) -> float:
    """1 where the response is the reference, a text or a whole number, but for spaces around it.

    Raises:
        ValueError: if the reference is something else, or empty.
    """
    return float(response.strip() == _text(reference).strip())


def _number(reference: Any) -> Decimal:
    """The one number that a reference is.

    Raises:
        ValueError: if it is none, or can be read in more than one way.
    """
    value = None
    if isinstance(reference, str):
        # a reference of GSM8K's shows how it was worked out, with other numbers in it
        value = _behind_mark(reference) if MARK in reference else one_number(reference)
    elif _is_number(reference):
        value = Decimal(str(reference))
    if value is None or not value.is_finite():
        expected = f"expected {_lacking(reference)} in the reference"
        raise ValueError(f"{expected}, got {shown(reference)}{_hint(reference)}")
    return value


def _is_number(reference: Any) -> bool:
    """Whether a reference is a number, and not the text of one."""
    kinds = Integral | float | np.floating | Decimal
    return isinstance(reference, kinds) and not isinstance(reference, bool)


def _hint(reference: Any) -> str:
    """How a reference that one score cannot take is taken, if there is a way."""
    if isinstance(reference, list | tuple):
        return "; where any of several counts, score: {_target_: fitness.matching.AnyOf}"
    return ""


def _behind_mark(reference: str) -> Decimal | None:
    """The number on the line that begins with the last "####"; None if it is no plain number."""
    _, _, behind = reference.rpartition(MARK)
    line, _, _ = behind.strip().partition("\n")
    return one_number(line)


def _lacking(reference: Any) -> str:
    """What a reference without a plain number should have had."""
    if isinstance(reference, str) and numbers(reference):
        return "one plain number (such as 1,234.5 or -3) and nothing else"
    return "a number"


@checked_by(_number)
def numeric(_prompt: str, response: str, reference: Any) -> float:
    """1 where the last number of the response is the reference: "$1,234.50" is 1234.5, "50%" is 50.

    The reference is one plain number, as text or not, and nothing beside it but a sign, a currency,
    a percent sign; where it has "####", what follows. A comma groups digits, and a point begins
    decimals: "1,5" and "1.234,5" are refused, and so are "1/2", "12:30" and "5 apples". In a
    response such numbers are there, and match nothing.

    Raises:
        ValueError: if the reference is something else.
    """
    wanted = _number(reference)
    # models work an answer out and say it at the end
    return float(numbers(response)[-1:] == [wanted])


def _final(reference: Any) -> Decimal:
    """The number behind "####" in a reference.

    Raises:
        ValueError: if there is none, or it can be read in more than one way.
    """
    value = None
    lacking = "a number"
    if isinstance(reference, str) and MARK in reference:
        value = _behind_mark(reference)
        lacking = _lacking(reference.rpartition(MARK)[2])
    if value is None:
        raise ValueError(
            f"expected '####' and {lacking} at the end of the reference, got {shown(reference)}"
        )
    return value


@checked_by(_final)
def gsm8k(_prompt: str, response: str, reference: Any) -> float:
    """1 where the response's final number is the reference's, which follows "####" on its line.

    The response's follows its first "####" or, where it has none, its last "the answer is"; without
    either it scores 0.

    Raises:
        ValueError: if no plain number, as `numeric` has it, follows "####" in the reference.
    """
    wanted = _final(reference)
    # a model that goes on after its answer with a question of its own marks that one's, too
    _, mark, final = response.partition(MARK)
    if not mark:
        _, *behind = ANSWER.split(response)
        final = behind[-1] if behind else ""
    return float(numbers(final)[:1] == [wanted])


@dataclass(frozen=True)
class AnyOf:
    """The highest score against any of several references: a list of them, or one alone.

    Attributes:
        score: against each of them, such as `fitness.matching.exact` or `fitness.matching.numeric`.
    """

    score: Score = exact

    def __call__(self, prompt: str, response: str, reference: Any) -> float:
        """The highest of the scores."""
        return max(self.score(prompt, response, one) for one in _several(reference))

    def check(self, reference: Any) -> None:
        """Holds each of the references against the score.

        Raises:
            ValueError: if there is none, or the score cannot take one.
        """
        check = check_of(self.score)
        for one in _several(reference):
            check(one)


def _takes_any(reference: Any) -> None:
    """The check of a score that says nothing of references."""


def _several(reference: Any) -> list[Any]:
    """References, one or more."""
    if not isinstance(reference, list | tuple | np.ndarray):
        return [reference]
    several = list(reference)
    # against nothing every response would be wrong
    if not several:
        raise ValueError("expected one reference or more, got an empty list")
    return several
