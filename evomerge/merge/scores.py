"""How an answer is scored: as the user says, or as the references ask for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

from evomerge.config.targets import TARGET, import_path, nearest

EXACT = "fitness.matching.exact"
NUMERIC = "fitness.matching.numeric"
GSM8K = "fitness.matching.gsm8k"
ANY_OF = "fitness.matching.AnyOf"
"""Ready scores, by the paths at which a config finds them."""

NAMES = {"exact": EXACT, "numeric": NUMERIC, "gsm8k": GSM8K}
"""What the ready scores are called on the command line."""

WORDS = {EXACT: "the same words", NUMERIC: "the same number", GSM8K: "the same number behind ####"}
"""What is right by each ready score."""

FEWEST = 8
MOST = 256
"""Fewest and most tokens that an answer gets where the user does not say."""


@dataclass(frozen=True)
class Score:
    """How an answer is scored.

    Attributes:
        path: of the function.
        several: whether any of several references counts.
    """

    path: str
    several: bool

    @property
    def call(self) -> Any:
        """The score as a config has it."""
        if self.several:
            return {TARGET: ANY_OF, "score": self.path}
        return self.path

    @property
    def words(self) -> str:
        """What is right, in words."""
        words = WORDS.get(self.path, self.path)
        if self.several:
            return f"{words} as any of several"
        return words


def path_of(name: str) -> str:
    """The import path of a score.

    Raises:
        ValueError: if there is no such score.
    """
    if name in NAMES:
        return NAMES[name]
    if "." not in name:
        known = ", ".join(NAMES)
        raise ValueError(
            f"--score: expected {known}, or the import path of a function, got {name!r}"
            f"{nearest(name, NAMES)}"
        )
    try:
        import_path(name)
    except ValueError as error:
        raise ValueError(f"--score: {error}") from None
    return name


def score_of(references: Sequence[Any], name: str | None) -> Score:
    """The score for some references.

    Args:
        references: texts, numbers, or lists of them.
        name: as the user gives it: a ready score's, or an import path; None: as the references ask.

    Raises:
        ValueError: if there is no such score.
    """
    several = any(isinstance(reference, list) for reference in references)
    flat = _flat(references)
    if name is not None:
        return Score(path_of(name), several)
    # Worked-out answers as GSM8K has them are said in many ways, and a fraction is written in many.
    if flat and all(_takes(GSM8K, reference) for reference in flat):
        return Score(GSM8K, several)
    numbers = all(isinstance(reference, Real) for reference in flat)
    if numbers and not all(isinstance(reference, Integral) for reference in flat):
        return Score(NUMERIC, several)
    return Score(EXACT, several)


def longest_answer(references: Sequence[Any], score: Score) -> int:
    """Most tokens that an answer may need."""
    # A worked-out answer may be of any length.
    if score.path != EXACT:
        return MOST
    # A token is a byte or more.
    lengths = [len(str(reference).encode(errors="replace")) for reference in _flat(references)]
    return min(MOST, max(FEWEST, *lengths, 0))


def stops(references: Sequence[Any], score: Score, template: str) -> list[str]:
    """What ends an answer of a model that goes on with a text.

    Args:
        references: the right answers.
        score: how an answer is scored.
        template: what the model reads.
    """
    one_line = not any("\n" in str(reference).strip() for reference in _flat(references))
    # What comes behind a line could only make a right answer of one line wrong.
    if score.path == EXACT and one_line:
        return ["\n"]
    # A model that goes on after its answer asks itself the next question.
    first, _, _ = template.partition("{")
    first = first.strip()
    if first:
        return [f"\n{first}"]
    return []


def _takes(path: str, reference: Any) -> bool:
    """Whether a ready score can be taken against a reference."""
    try:
        import_path(path).check(reference)
    except ValueError:
        return False
    return True


def _flat(references: Sequence[Any]) -> list[Any]:
    """References, those in lists one by one."""
    flat = []
    for reference in references:
        if isinstance(reference, list):
            flat += reference
        else:
            flat.append(reference)
    return flat
