"""What parts of a combined fitness are called, in its groups, in reports and on cards."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fitness.contracts import Named, can

SPLIT = re.compile(r"(^|[-_. ])(train|training)$", re.IGNORECASE)
"""The end of a file's name that says of which split it is, and nothing of its content.

It is a word of its own: there is no split in pretrain.jsonl.
"""


def name_of_file(path: str | Path) -> str:
    """What data are called by the file that they are from.

    It is the stem of the file without the split: `sums` for both sums.jsonl and sums_train.jsonl.
    A file that is only called after its split is called by its folder: `gsm8k` for
    gsm8k/train.jsonl.
    """
    path = Path(path)
    return SPLIT.sub("", path.stem) or path.parent.name or path.stem


def name_of(thing: Any) -> str | None:
    """The name of a fitness or of its data; None where it has none.

    A number is no name, since a part without a name is called by its place.
    """
    if not can(thing, Named) or not isinstance(thing.name, str):
        return None
    name = thing.name.strip()
    if not name or name.isdigit():
        return None
    return name


def names_of(parts: Sequence[Any], given: Sequence[str] | None) -> list[str]:
    """A name for each part, no two of them alike.

    Args:
        parts: the fitnesses.
        given: their names as the user has them. If None, a part has its own name, or its place.

    Raises:
        ValueError: if there is not one name for each part, one is empty or a number, or two are
            alike.
    """
    if given is None:
        return _default_names(parts)
    expected = f"names: expected {len(parts)} different names, one for each fitness"
    is_list = isinstance(given, Sequence) and not isinstance(given, str)
    if not is_list or len(given) != len(parts):
        raise ValueError(f"{expected}, got {given!r}")
    for name in given:
        # a part without a name is called by its place, and a number would be taken for one
        if not isinstance(name, str) or not name.strip() or name.isdigit():
            raise ValueError(f"{expected}; {name!r} is no name, which has to be a text")
    twice = [name for name, count in Counter(given).items() if count > 1]
    if twice:
        raise ValueError(f"{expected}, got {twice[0]!r} more than once")
    return list(given)


def _default_names(parts: Sequence[Any]) -> list[str]:
    """A part's own name, or its place; those that are alike have their places before them."""
    names = []
    for place, part in enumerate(parts):
        names.append(name_of(part) or str(place))
    counts = Counter(names)
    told_apart = []
    for place, name in enumerate(names):
        if counts[name] > 1:
            name = f"{place}: {name}"
        told_apart.append(name)
    # a name may already look like that; with its place before each, no two are alike
    if len(set(told_apart)) < len(told_apart):
        return [f"{place}: {name}" for place, name in enumerate(names)]
    return told_apart
