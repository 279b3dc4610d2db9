"""The first records of a split, as many as a config asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

Record = TypeVar("Record")


def first_of_split(
    parts: Mapping[str, Sequence[Record]], name: str, sizes: Mapping[str, int], things: str
) -> Sequence[Record] | None:
    """The first records of a split; None if there is no such split, or nothing is asked of it.

    Args:
        parts: all records that there are, by split; those of "lessons" are asked for altogether.
        name: of the split.
        sizes: how many records are asked for, by split.
        things: what the records are, for messages.

    Raises:
        ValueError: if more are asked for than there are.
    """
    records = parts.get(name, ())
    size = sizes.get(name, 0)
    # whoever trains a model wants all that is not scored
    if name == "lessons":
        size = len(records)
    if not 0 <= size <= len(records):
        raise ValueError(
            f"{name}: expected a number of {things} from 0 to {len(records)}, got {size}"
        )
    # an empty split is the same as none, for which nothing is asked
    return records[:size] or None
