"""What a line of births.jsonl can have: the fields, and the types of their values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

CLOCKS = ("seconds", "worker", "attempts", "time")
"""What differs between two equal runs."""

LATEST = 9.2e9
"""Seconds since 1970 until which a table can have a time: in the year 2261."""


def _is_whole(value: Any) -> bool:
    # To Python, a bool is a whole number. A column of a table has 64 bits.
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return -(2**63) <= value < 2**63


def _is_number(value: Any) -> bool:
    return _is_whole(value) or isinstance(value, float)


def _is_moment(value: Any) -> bool:
    # NaN and infinity are numbers, but no times, and so fall out here.
    return _is_number(value) and 0 <= value <= LATEST


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_named_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_number, value.values()))


def _list_of(is_item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    """Whether a value is a list, each item of which passes a test."""

    def is_list(value: Any) -> bool:
        return isinstance(value, list) and all(map(is_item, value))

    return is_list


class Kind(NamedTuple):
    """A type of values.

    Attributes:
        phrase: what is expected of such a value, with an article where it has one.
        dtype: of a column of them.
        fits: whether a value is one.
    """

    phrase: str
    dtype: str
    fits: Callable[[Any], bool]


KINDS = {
    "whole number": Kind("a whole number of at most 64 bits", "Int64", _is_whole),
    "number": Kind("a number of at most 64 bits", "Float64", _is_number),
    "seconds since 1970": Kind("a time in seconds since 1970", "datetime64[ms, UTC]", _is_moment),
    "true or false": Kind("true or false", "boolean", _is_bool),
    "text": Kind("text", "string", _is_text),
    "list of whole numbers": Kind("a list of whole numbers", "object", _list_of(_is_whole)),
    "list of numbers": Kind("a list of numbers", "object", _list_of(_is_number)),
    "list of lists of whole numbers": Kind(
        "a list of lists of whole numbers", "object", _list_of(_list_of(_is_whole))
    ),
    "numbers by name": Kind("numbers by name", "object", _is_named_numbers),
}
"""The types of `FIELDS`."""


@dataclass(frozen=True)
class Field:
    """What a line of births.jsonl can have.

    Attributes:
        name: its key.
        type: one of `KINDS`.
        lines: whose lines can have it.
        meaning: what it is; and when it is there, if not always.
        absent: what it is where a line could have it and has not.
    """

    name: str
    type: str
    lines: Literal["all", "founders", "births"]
    meaning: str
    absent: Any = None

    def fits(self, value: Any) -> bool:
        """Whether a value is of the type."""
        return KINDS[self.type].fits(value)

    @property
    def dtype(self) -> str:
        """Of its column."""
        return KINDS[self.type].dtype

    def value_in(self, entry: Mapping[str, Any]) -> Any:
        """What a line says of it; None where it cannot have it."""
        value = entry.get(self.name)
        if value is None and self._can_be_in(entry):
            return self.absent
        return value

    def _can_be_in(self, entry: Mapping[str, Any]) -> bool:
        """Whether lines such as this one can have it."""
        if self.lines == "all":
            return True
        return ("founder" in entry) == (self.lines == "founders")


FIELDS = (
    # Which member a line is about, and where it comes from.
    Field("birth", "whole number", "all", "number of the birth, from 1; 0 for founders"),
    Field(
        "id",
        "whole number",
        "founders",
        "id of the founder, 1 - K to 0 for K of them; a child's id is its `birth`",
    ),
    Field("founder", "whole number", "founders", "its place among the founders, from 0"),
    Field(
        "parents",
        "list of whole numbers",
        "births",
        "ids of the parents, the first one first; none for an immigrant",
    ),
    Field(
        "ratios",
        "list of numbers",
        "births",
        "for each chromosome the share of the second parent; where two were crossed",
    ),
    Field(
        "splits",
        "list of lists of whole numbers",
        "births",
        "for each chromosome its split points, likewise",
    ),
    Field(
        "made",
        "true or false",
        "births",
        "true where the strategy made the child itself, as a search does",
        absent=False,
    ),
    # What it took to raise it, which another run of the same seed has otherwise.
    Field("seconds", "number", "births", "time that raising it took"),
    Field("worker", "whole number", "births", "who raised it"),
    Field(
        "attempts",
        "whole number",
        "births",
        "how often it was raised, where it was more than once",
        absent=1,
    ),
    # How good it is.
    Field("scored", "number", "births", "share of the training datapoints that was scored"),
    Field("train", "number", "all", "weighted mean training score; where it was scored to the end"),
    Field(
        "validation",
        "number",
        "all",
        "likewise on the validation split; of founders and of who became best, with `validate`",
    ),
    Field(
        "test",
        "number",
        "all",
        "likewise on the test split; of founders and of who became best, where there is one",
    ),
    Field(
        "watched",
        "numbers by name",
        "all",
        "mean score on each part of what is only watched; of founders and of who became best",
    ),
    Field(
        "fitness",
        "number",
        "births",
        "competitive fitness among the archive and itself; where it was scored to the end",
    ),
    Field(
        "features", "numbers by name", "births", "what tells cells apart, for MAP-Elites; likewise"
    ),
    # What became of it.
    Field("admitted", "true or false", "births", "whether it is in the archive"),
    Field("replaced", "whole number", "births", "id of the member that left for it"),
    Field(
        "best",
        "true or false",
        "all",
        "true where it became best; of the founders, who was best at first",
        absent=False,
    ),
    Field("reason", "text", "births", "why it is not in the archive, where it did not fail"),
    Field("failure", "text", "births", "why it failed, where it did"),
    Field(
        "lost",
        "true or false",
        "births",
        "true where it failed because it cost too many workers",
        absent=False,
    ),
    # What the archive is then.
    Field(
        "coverage",
        "number",
        "births",
        "of the archive behind it: mean over datapoints of the best score there",
    ),
    Field(
        "entropy",
        "number",
        "births",
        "of the archive behind it: how differently members score, in bits",
    ),
    Field("time", "seconds since 1970", "all", "when the line was written"),
)
"""All that evomerge writes into births.jsonl, in the order of the columns."""
