"""births.jsonl as a stream of metrics: what its lines have, and all of them as one table of pandas."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from evomerge.errors import UserError
from evomerge.rundir.following import Tail, find_log

if TYPE_CHECKING:
    import pandas

CLOCKS = ("seconds", "worker", "attempts", "time")
"""What differs between two equal runs."""

LATEST = 9.2e9
"""Seconds since 1970 until which a table can have a time: in the year 2261."""


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _number(value: Any) -> bool:
    return _whole(value) or isinstance(value, float)


def _moment(value: Any) -> bool:
    return _number(value) and 0 <= value <= LATEST


def _list_of(item: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(map(item, value))


def _named_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_number, value.values()))


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
    "whole number": Kind("a whole number of at most 64 bits", "Int64", _whole),
    "number": Kind("a number of at most 64 bits", "Float64", _number),
    "seconds since 1970": Kind("a time in seconds since 1970", "datetime64[ms, UTC]", _moment),
    "true or false": Kind("true or false", "boolean", lambda value: isinstance(value, bool)),
    "text": Kind("text", "string", lambda value: isinstance(value, str)),
    "list of whole numbers": Kind("a list of whole numbers", "object", _list_of(_whole)),
    "list of numbers": Kind("a list of numbers", "object", _list_of(_number)),
    "list of lists of whole numbers": Kind(
        "a list of lists of whole numbers", "object", _list_of(_list_of(_whole))
    ),
    "numbers by name": Kind("numbers by name", "object", _named_numbers),
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

    def of(self, entry: Mapping[str, Any]) -> Any:
        """What a line says of it; None where it cannot have it."""
        told = entry.get(self.name)
        return (
            self.absent
            if told is None
            and self.lines in ("all", "founders" if "founder" in entry else "births")
            else told
        )


FIELDS = (
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
    Field("seconds", "number", "births", "time that raising it took"),
    Field("worker", "whole number", "births", "who raised it"),
    Field(
        "attempts",
        "whole number",
        "births",
        "how often it was raised, where it was more than once",
        absent=1,
    ),
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
        "fitness",
        "number",
        "births",
        "competitive fitness among the archive and itself; where it was scored to the end",
    ),
    Field(
        "features", "numbers by name", "births", "what tells cells apart, for MAP-Elites; likewise"
    ),
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

_BY_NAME = {field.name: field for field in FIELDS}


def checked(tail: Tail) -> Iterator[dict[str, Any]]:
    """The lines of a log that were not read yet, each with a birth, and with nothing of another type than `FIELDS` say.

    Raises:
        UserError: if a line is otherwise, or damaged, or the log is gone.
    """
    for entry in tail.new():
        if "birth" not in entry:
            raise UserError(
                f"{tail.path}: line {tail.count}: it has no birth, so it is no line of a run"
            )
        for name, value in entry.items():
            field = _BY_NAME.get(name)
            if field is not None and not field.fits(value):
                expected = KINDS[field.type].phrase
                raise UserError(
                    f"{tail.path}: line {tail.count}: {name}: expected {expected}, got {value!r:.60}"
                )
        yield entry


def births_dataframe(path: Path | str) -> pandas.DataFrame:
    """births.jsonl as a table with a row for each founder and each birth, of a run that has ended or not.

    The columns are `FIELDS` but `id`, always all of them and always of the same dtypes: `Int64`, `Float64`, `boolean`, `string`, and
    `datetime64[ms, UTC]` have NA, and objects None, where a line cannot have a field or does not. What an archive of one's own says of its
    members (`Archive.remarks`) follows in columns of objects.

    Args:
        path: a run directory, or its births.jsonl.

    Returns:
        The table, by the member's id: founders, which have `birth` 0 and are those with a `founder`, from 1 - K to 0.

    Raises:
        UserError: if there is no log, a line of it is damaged or has something of another type, or pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError(
            "births_dataframe: pandas is not installed: pip install 'evomerge[pandas]'"
        ) from error
    entries = list(checked(Tail(find_log(path))))
    columns = {field.name: [field.of(entry) for entry in entries] for field in FIELDS}
    index = pd.Index([one if one is not None else birth for one, birth in zip(columns.pop("id"), columns["birth"], strict=True)],
                     dtype="int64", name="id")  # fmt: skip
    series = {
        field.name: _series(field, columns[field.name], index)
        for field in FIELDS
        if field.name in columns
    }
    own = dict.fromkeys(name for entry in entries for name in entry if name not in _BY_NAME)
    series |= {
        name: pd.Series([entry.get(name) for entry in entries], index, dtype="object")
        for name in own
    }
    return pd.DataFrame(series)


def _series(field: Field, values: list[Any], index: pandas.Index) -> pandas.Series:
    import pandas as pd

    if field.type == "seconds since 1970":
        times = pd.to_datetime(pd.Series(values, index, dtype="Float64"), unit="s", utc=True)
        return times.dt.round("ms").astype(field.dtype)
    if (
        field.type == "text"
    ):  # what JSON can have and a column cannot, as in the name of a file that is not UTF-8
        values = [
            None if text is None else text.encode(errors="replace").decode() for text in values
        ]
    return pd.Series(values, index, dtype=field.dtype)


def read_births(path: Path) -> list[dict[str, Any]]:
    """The lines of births.jsonl; a last line that is not whole yet is left out."""
    with open(path / "births.jsonl", "rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]


def id_of(entry: Mapping[str, Any]) -> int:
    """The id of the member that a line of the log is about."""
    return int(entry.get("id", entry["birth"]))
