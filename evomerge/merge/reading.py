"""Files of questions and answers: how they are read, and which records train and test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge.config import calls
from evomerge.config.targets import TARGET
from evomerge.merge.fields import CONVERSATIONS

LINES = "fitness.records.JsonLines"
TURNS = "fitness.conversations.Conversations"
"""The import paths of what reads a file."""

Records = Sequence[Mapping[str, Any]]
"""What stands in a file: fields with values."""


@dataclass(frozen=True)
class Division:
    """How records are divided.

    Attributes:
        share: of the records that are trained on, where no file is given to test on.
        limit: most records of a split; None for all.
    """

    share: float
    limit: int | None = None

    def halves(self, count: int) -> tuple[range, range]:
        """The places to train on and to test on, of each one at least.

        Raises:
            ValueError: if there are fewer than two.
        """
        if count < 2:
            raise ValueError(f"expected two or more to divide into train and test, got {count}")
        cut = min(max(round(self.share * count), 1), count - 1)
        return self.first(range(cut)), self.first(range(cut, count))

    def first(self, places: range) -> range:
        """The first of some places, as many as are wanted."""
        return places[: self.limit]


@dataclass(frozen=True)
class Read:
    """What was read of one file, or of two.

    Attributes:
        data: what reads the records, in plain data.
        train: the records to train on.
        test: the records to test on.
        conversations: whether each is a conversation.
        about: how they are divided, in words.
    """

    data: dict[str, Any]
    train: Records
    test: Records
    conversations: bool
    about: str


def read(file: str, test: str | None, division: Division) -> Read:
    """Reads a skill's records.

    Args:
        file: JSON lines, to train on, and to test on where there is no other.
        test: JSON lines to test on.
        division: how records are divided.

    Raises:
        ValueError, OSError: if a file cannot be read, or has too few records.
    """
    whole = _split({TARGET: LINES, "train": file}, "train")
    if test is None:
        training, testing = division.halves(len(whole))
        testing_file, testing_count = file, len(whole)
        about = (
            f"Of {len(whole):,} records, in the file's order, the first {training.stop:,} train "
            f"and records {testing.start + 1:,} to {testing.stop:,} test."
        )
    else:
        testing_file = test
        testing_count = len(_split({TARGET: LINES, "train": test}, "train"))
        training = division.first(range(len(whole)))
        testing = division.first(range(testing_count))
        about = (
            f"The first {len(training):,} of {len(whole):,} records train, "
            f"the first {len(testing):,} of {testing_count:,} test."
        )
    stretches = {
        TARGET: LINES,
        "train": _stretch(file, training, len(whole)),
        "test": _stretch(testing_file, testing, testing_count),
    }
    data = _reader(stretches, whole)
    return Read(data, _split(data, "train"), _split(data, "test"), data[TARGET] == TURNS, about)


def read_watched(file: str, division: Division) -> Read:
    """Reads what is only watched: all of it, up to the limit.

    Args:
        file: JSON lines.
        division: how many records at most.

    Raises:
        ValueError, OSError: if the file cannot be read.
    """
    whole = _split({TARGET: LINES, "train": file}, "train")
    watched = division.first(range(len(whole)))
    data = _reader({TARGET: LINES, "train": _stretch(file, watched, len(whole))}, whole)
    about = f"All {len(whole):,} records."
    if len(watched) < len(whole):
        about = f"The first {len(watched):,} of {len(whole):,} records."
    return Read(data, _split(data, "train"), (), data[TARGET] == TURNS, about)


def _reader(data: dict[str, Any], records: Records) -> dict[str, Any]:
    """What reads records of this kind, which may be conversations."""
    for field in CONVERSATIONS:
        if isinstance(records[0].get(field), list):
            return {**data, TARGET: TURNS, "field": field}
    return data


def _split(data: Mapping[str, Any], name: str) -> Records:
    """The records of a split, as the config's own class reads them."""
    records: Records = calls.build({"data": data}, _only)["data"].split(name)
    return records


def _only(data: Any) -> None:
    """A call with one argument, which `calls.build` makes."""


def _stretch(file: str, places: range, count: int) -> Any:
    """A stretch of a file as a config has it."""
    if len(places) == count:
        return file
    stretch: dict[str, Any] = {"path": file}
    if places.start:
        stretch["start"] = places.start
    if places.stop < count:
        stretch["stop"] = places.stop
    return stretch
