"""Records from files of JSON lines: an object on each line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from fitness.messages import decoded
from fitness.part_names import name_of_file
from fitness.portable import Portable
from fitness.versions import Version, version_of

Lines = Sequence[tuple[int, Mapping[str, Any]]]
"""Records, each with the number of its line."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""What some editors put before the first line."""


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
class JsonLines(Portable):
    """Records from files, as these are on first use. Lines that are empty do not count.

    Attributes:
        train: the file of the training split, or a part of one: `{path: train.jsonl, stop: 1319}`.
        test: of the test split, if there is one.
        validation: of the validation split, if there is one.
    """

    train: Path | Part
    test: Path | Part | None = None
    validation: Path | Part | None = None

    @property
    def name(self) -> str:
        """What the records are called: by the file of the training split."""
        path = self.train
        if isinstance(path, Part):
            path = path.path
        return name_of_file(path)

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """As `Records.split`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a line is no JSON object, or the file has no records, or fewer than
                asked for.
        """
        lines = self._lines(name)
        if lines is None:
            return None
        return [record for _, record in lines]

    def where(self, index: int, split: str) -> str:
        """The file and the line of a record."""
        part = self._part(split)
        lines = self._lines(split)
        if part is None or lines is None:
            return ""
        return f"{part.path}, line {lines[index][0]}"

    def _lines(self, split: str) -> Lines | None:
        """The records of a split; None if there is no such split."""
        part = self._part(split)
        if part is None:
            return None
        if split not in self._kept:
            path = Path(part.path).expanduser()
            self._kept[split] = _records(part, path, version_of([path]))
        return self._kept[split]

    @cached_property
    def _kept(self) -> dict[str, Lines]:
        """The records of the splits that were asked for."""
        return {}

    def _part(self, name: str) -> Part | None:
        """The part of a file that is a split; None if there is no such split."""
        splits = {"train": self.train, "test": self.test, "validation": self.validation}
        # a config's value for a path is a text
        chosen = splits.get(name)
        if chosen is None or isinstance(chosen, Part):
            return chosen
        return Part(Path(chosen))


@lru_cache(maxsize=8)
def _records(part: Part, path: Path, _version: Version) -> Lines:
    """The records of a part of a file."""
    if not path.is_file():
        raise FileNotFoundError(f"expected a file of JSON lines, but there is no file {path}")
    # only a line feed ends a line: a JSON text may hold other characters that str.splitlines takes
    lines = path.read_bytes().removeprefix(BYTE_ORDER_MARK).split(b"\n")
    records = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        # besides JSON's own errors these are UTF-8's and those of `once`
        try:
            record = json.loads(line, object_pairs_hook=once)
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{path}, line {number}: not JSON ({error}): {decoded(line)}"
            ) from None
        if not isinstance(record, dict):
            raise ValueError(
                f"{path}, line {number}: expected an object in braces, got {decoded(line)}"
            )
        records.append((number, record))
    if not records:
        raise ValueError(f"{path}: it has no records")
    # a slice would quietly be shorter than the config says
    if max(part.start + 1, part.stop or 0) > len(records):
        asked = f"from {part.start}"
        if part.stop is not None:
            asked += f" to {part.stop}"
        raise ValueError(f"{path}: expected records {asked}, it has {len(records)}")
    return records[part.start : part.stop]


def once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, in which no key stands twice: which value counts would be a guess.

    Raises:
        ValueError: if one does.
    """
    # nearly every object is in order, and costs no more than a dict
    made = dict(pairs)
    if len(made) == len(pairs):
        return made
    keys = [key for key, _ in pairs]
    twice = next(key for key in keys if keys.count(key) > 1)
    raise ValueError(f"an object has the key {twice!a} more than once")
