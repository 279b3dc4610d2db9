"""How messages name a datapoint and show a value of its record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from fitness.contracts import LocatesRecords, can

LONGEST = 60
"""Characters of a value that a message shows."""


def datapoint_name(data: Any, index: int, split: str) -> str:
    """A datapoint: its number, and where a user finds its record, if the data say so."""
    name = f"datapoint {index} of {split}"
    if can(data, LocatesRecords):
        name += f" ({data.where(index, split)})"
    return name


def shown(value: Any) -> str:
    """A value of a record: what kind it is and its beginning, as a file of JSON has it."""
    # a value from a user's own data need not be one of JSON's
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        text = repr(value)
    text = shortened(text)
    if value is None:
        return "null"
    # true, as the file has it, and not True
    if isinstance(value, bool):
        return text
    if isinstance(value, str):
        return repr(shortened(value))
    if isinstance(value, Mapping):
        return f"an object, {text}"
    if isinstance(value, list | tuple):
        return f"a list of {len(value)}, {text}"
    return text


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text, or its beginning and three dots where it has more than `longest` characters."""
    if len(text) <= longest:
        return text
    return text[: longest - 3] + "..."


def decoded(content: bytes, longest: int = LONGEST) -> str:
    """Bytes that should have been something else, as a text; shortened where they are many."""
    return shortened(content.decode(errors="replace").strip(), longest)
