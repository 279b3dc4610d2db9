"""Records from files of JSON lines: an object on each line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
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
    for number, line in enumerate(path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:  # of JSON or of UTF-8
            raise ValueError(f"{path}, line {number}: not JSON ({error}): {_short(line)}") from None
        if not isinstance(record, dict):
            raise ValueError(f"{path}, line {number}: expected an object in braces, got {_short(line)}")
        records.append((number, record))
    if not records:
        raise ValueError(f"{path}: it has no records")
    if max(part.start + 1, part.stop or 0) > len(records):
        asked = f"from {part.start}" + ("" if part.stop is None else f" to {part.stop}")
        raise ValueError(f"{path}: expected records {asked}, it has {len(records)}")
    return records[part.start : part.stop]


def named(data: Any, index: int, split: str) -> str:
    """A datapoint for messages: its number, and where a user finds its record, if the data say so."""
    place = f" ({data.where(index, split)})" if hasattr(data, "where") else ""
    return f"datapoint {index} of {split}{place}"


def filled(written: Sequence[tuple[str, str | None]], record: Mapping[str, Any]) -> str:
    """A template, as `fitness.questions.parts` takes it apart, with a record's fields."""
    return "".join(text + ("" if field is None else str(record[field])) for text, field in written)


def _short(line: bytes) -> str:
    text = line.decode(errors="replace").strip()
    return text if len(text) <= 60 else text[:57] + "..."
