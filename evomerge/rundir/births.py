"""births.jsonl: its fields, its lines, and all of them as one table of pandas."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evomerge.errors import UserError
from evomerge.rundir.fields import CLOCKS, FIELDS, KINDS, Field
from evomerge.rundir.following import find_log
from evomerge.rundir.places import LOG
from evomerge.rundir.tail import Tail

if TYPE_CHECKING:
    import pandas

__all__ = ["CLOCKS", "FIELDS", "KINDS", "births_dataframe", "checked", "id_of", "read_births"]

_BY_NAME = {field.name: field for field in FIELDS}


def read_births(path: Path) -> list[dict[str, Any]]:
    """The lines of a run directory's births.jsonl; a last line that is not whole is left out."""
    # The run may be in the midst of writing the last line.
    with open(path / LOG, "rb") as file:
        return [json.loads(line) for line in file if line.endswith(b"\n")]


def id_of(entry: Mapping[str, Any]) -> int:
    """The id of the member that a line of the log is about."""
    return int(entry.get("id", entry["birth"]))


def checked(tail: Tail) -> Iterator[dict[str, Any]]:
    """The lines of a log that were not read yet, each of which is as `FIELDS` say.

    Raises:
        UserError: if a line has no birth or something of another type, or is damaged, or the log
            is gone.
    """
    for entry in tail.new():
        if "birth" not in entry:
            raise UserError(
                f"{tail.path}: line {tail.count}: it has no birth, so it is no line of a run"
            )
        for name, value in entry.items():
            # An archive of a user's own may add fields of any type.
            field = _BY_NAME.get(name)
            if field is not None and not field.fits(value):
                expected = KINDS[field.type].phrase
                raise UserError(
                    f"{tail.path}: line {tail.count}: {name}: "
                    f"expected {expected}, got {value!r:.60}"
                )
        yield entry


def births_dataframe(path: Path | str) -> pandas.DataFrame:
    """births.jsonl as a table with a row for each founder and each birth.

    The run may have ended or not. The columns are `FIELDS` but `id`, always all of them and always
    of the same dtypes. Where a line cannot have a field or does not, `Int64`, `Float64`, `boolean`,
    `string`, and `datetime64[ms, UTC]` have NA, and objects None. What an archive of one's own says
    of its members (`Archive.remarks`) follows in columns of objects.

    Args:
        path: a run directory, or its births.jsonl.

    Returns:
        The table, by the member's id. Founders have `birth` 0, and are those with a `founder`;
        their ids go from 1 - K to 0.

    Raises:
        UserError: if there is no log, a line of it is damaged or has something of another type, or
            pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise UserError(
            "births_dataframe: pandas is not installed: pip install 'evomerge[pandas]'"
        ) from error
    with Tail(find_log(path)) as tail:
        entries = list(checked(tail))
    # Founders have no birth of their own, so the member's id tells rows apart.
    index = pd.Index([id_of(entry) for entry in entries], dtype="int64", name="id")

    # Every run has the same columns, also those that none of its lines has.
    columns = {}
    for field in FIELDS:
        if field.name != "id":
            values = [field.value_in(entry) for entry in entries]
            columns[field.name] = _column(field, values, index)

    # What an archive of a user's own adds comes last, in the order in which it came.
    for name in _other_names(entries):
        values = [entry.get(name) for entry in entries]
        columns[name] = pd.Series(values, index, dtype="object")
    return pd.DataFrame(columns)


def _other_names(entries: Sequence[Mapping[str, Any]]) -> list[str]:
    """What lines have that is no field of ours, in the order in which it first came."""
    names: dict[str, None] = {}
    for entry in entries:
        for name in entry:
            if name not in _BY_NAME:
                names[name] = None
    return list(names)


def _column(field: Field, values: Sequence[Any], index: pandas.Index) -> pandas.Series:
    """A column of the table.

    Args:
        field: what it has.
        values: (n,) that of each line.
        index: (n,) ids.
    """
    import pandas as pd

    if field.type == "seconds since 1970":
        # The log has milliseconds, of which a float of seconds has a little more or less.
        times = pd.to_datetime(pd.Series(values, index, dtype="Float64"), unit="s", utc=True)
        return times.dt.round("ms").astype(field.dtype)
    if field.type == "text":
        values = [_encodable(text) for text in values]
    return pd.Series(values, index, dtype=field.dtype)


def _encodable(text: str | None) -> str | None:
    """A text that a column can have.

    JSON can have halves of characters, as in the name of a file that is not UTF-8; a column cannot.
    """
    if text is None:
        return None
    return text.encode(errors="replace").decode()
