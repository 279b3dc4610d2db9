"""Records from files of JSON lines: an object on each line; and what of a record has a place in a prompt."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from numbers import Real
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Part:
    """A stretch of the records of a file.

    Attributes:
        path: the file.
        start: the first record, counted from 0.
        stop: the record before which it ends; the end of the file if None.
    """

    path: Path
    start: int = 0
    stop: int | None = None

    def __post_init__(self) -> None:
        if self.start < 0:
            raise ValueError(f"start: expected at least 0, got {self.start}")
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"stop: expected more than start, {self.start}, got {self.stop}")


@dataclass(frozen=True)
class JsonLines:
    """Records from files, loaded on first use. Lines that are empty do not count.

    Attributes:
        train: the file of the training split, or a part of one: `{path: train.jsonl, stop: 1319}`.
        test: of the test split, if there is one.
        validation: of the validation split, if there is one.
    """

    train: Path | Part
    test: Path | Part | None = None
    validation: Path | Part | None = None

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """As `Records.split`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a line is no JSON object, or the file has no records, or fewer than asked for.
        """
        part = self._part(name)
        return None if part is None else [record for _, record in _records(part)]

    def where(self, index: int, split: str) -> str:
        """The file and the line of a record."""
        part = self._part(split)
        return "" if part is None else f"{part.path}, line {_records(part)[index][0]}"

    def _part(self, name: str) -> Part | None:
        named = {"train": self.train, "test": self.test, "validation": self.validation}.get(name)
        return named if named is None or isinstance(named, Part) else Part(Path(named))


@lru_cache(maxsize=8)
def _records(part: Part) -> Sequence[tuple[int, Mapping[str, Any]]]:
    """(line, record) of a part of a file."""
    path = Path(part.path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of JSON lines, but there is no file {path}")
    records = []
    for number, line in enumerate(
        path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1
    ):
        if not line.strip():
            continue
        try:
            record = json.loads(line, object_pairs_hook=once)
        except (ValueError, RecursionError) as error:  # of JSON, of UTF-8, or of `once`
            raise ValueError(f"{path}, line {number}: not JSON ({error}): {_short(line)}") from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{path}, line {number}: expected an object in braces, got {_short(line)}"
            )
        records.append((number, record))
    if not records:
        raise ValueError(f"{path}: it has no records")
    if max(part.start + 1, part.stop or 0) > len(records):
        asked = f"from {part.start}" + ("" if part.stop is None else f" to {part.stop}")
        raise ValueError(f"{path}: expected records {asked}, it has {len(records)}")
    return records[part.start : part.stop]


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no key stands twice: which of its values counts would be a guess.

    Raises:
        ValueError: if one does.
    """
    made = dict(pairs)
    if len(made) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"an object has the key {twice!a} more than once")
    return made


def datapoint_name(data: Any, index: int, split: str) -> str:
    """A datapoint for messages: its number, and where a user finds its record, if the data say so."""
    place = f" ({data.where(index, split)})" if hasattr(data, "where") else ""
    return f"datapoint {index} of {split}{place}"


def filled(written: Sequence[tuple[str, str | None]], record: Mapping[str, Any]) -> str:
    """A template, as `fitness.questions.parts` takes it apart, with a record's fields.

    Raises:
        ValueError: if a field is neither a text nor a number, or holds half a character, or all fields are empty.
    """
    fields = {field: record[field] for _, field in written if field is not None}
    for field, value in fields.items():
        _check_field(field, value)
    if fields and not any(str(value).strip() for value in fields.values()):
        raise ValueError(f"template: nothing stands in the field {' or '.join(map(repr, fields))}")
    return "".join(text + ("" if field is None else str(record[field])) for text, field in written)


def _check_field(field: str, value: Any) -> None:
    """Refuses what has no place in a prompt: null would read None, and a list like a list in Python."""
    if isinstance(value, str):
        try:
            check_readable(value)
        except ValueError as error:
            raise ValueError(f"template: {field}: {error}") from None
        return
    number = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    if not number or not abs(value) < float("inf"):
        raise ValueError(f"template: {field}: expected a text or a number, got {shown(value)}")


def shown(value: Any) -> str:
    """A value of a record in a message: what kind it is and its beginning, as a file of JSON has it."""
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    text = text if len(text) <= 60 else text[:57] + "..."
    if value is None:
        return "null"
    if isinstance(value, bool):
        return text
    if isinstance(value, str):
        return repr(value) if len(value) <= 60 else repr(value[:57] + "...")
    if isinstance(value, Mapping):
        return f"an object, {text}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}, {text}"
    return text


def check_readable(text: str) -> None:
    r"""Refuses what no tokenizer can read.

    Raises:
        ValueError: if half of a surrogate pair stands alone in a text, as in a JSON "\ud83d" without what should follow.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"half a character, {text[error.start]!a} (a lone surrogate), stands at place {error.start} of "
            f"{text if len(text) <= 60 else text[:57] + '...'!a}"
        ) from None


def _short(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return text if len(text) <= 60 else text[:57] + "..."
