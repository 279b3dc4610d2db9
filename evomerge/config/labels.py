"""What an object of a config is called in cards and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evomerge.config.targets import TARGET


def label(call: Any) -> str:
    """What a described object is called.

    It is called by its class, with the task, or the objects that it is made of, in brackets.
    """
    if not isinstance(call, Mapping) or TARGET not in call:
        return ""
    name = str(call[TARGET]).rpartition(".")[2]
    inner = _labels_inside(call)
    if not inner:
        return name
    return f"{name} ({', '.join(inner)})"


def _labels_inside(call: Mapping[str, Any]) -> list[str]:
    """What the parts of a described object are called that have a name."""
    labels = []
    if isinstance(call.get("task"), str):
        # A fitness of a known task says more by that than by its parts.
        labels.append(call["task"])
    elif has_parts(call) and isinstance(call.get("names"), list):
        # Behind the names of the parts come those of what is only watched.
        labels += map(str, call["names"][: len(call["parts"])])
    else:
        for key, value in call.items():
            # What is only watched is no part of it.
            if key == "watched":
                continue
            objects = value if isinstance(value, list) else [value]
            labels += map(label, objects)
    return [text for text in labels if text]


def has_parts(call: Any) -> bool:
    """Whether a described object is a combined fitness, whose groups are its parts."""
    return isinstance(call, Mapping) and isinstance(call.get("parts"), list)


def titled(group: Any, call: Any) -> str:
    """What a group of datapoints is called.

    It is called by its name; the place of a part that has no name stands before what the part is.

    Args:
        group: its name.
        call: the fitness as config.yaml has it.
    """
    part = label(_part(group, call))
    if not part:
        return str(group)
    return f"{group}: {part}"


def _part(group: Any, call: Any) -> Any:
    """The part of a combined fitness that a group is, as config.yaml has it; None if it is none.

    The groups of a combined fitness are called by the places of those parts that have no name.
    """
    if not has_parts(call) or not str(group).isdigit():
        return None
    # What is only watched has its places behind those of the parts.
    parts = [*call["parts"], *(call.get("watched") or ())]
    if int(group) >= len(parts):
        return None
    return parts[int(group)]
