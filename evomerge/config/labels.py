"""What an object of a config is called in cards and reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evomerge.config.targets import TARGET


def label(call: Any) -> str:
    """What a described object is called: its class, and in brackets the task or the objects that it is made of."""
    if not isinstance(call, Mapping) or TARGET not in call:
        return ""
    values = [
        item for value in call.values() for item in (value if isinstance(value, list) else [value])
    ]
    inner = (
        [call["task"]] if isinstance(call.get("task"), str) else [label(value) for value in values]
    )
    named = ", ".join(text for text in inner if text)
    return str(call[TARGET]).rpartition(".")[2] + (f" ({named})" if named else "")


def titled(group: Any, call: Any) -> str:
    """What a group of datapoints is called: its name, with that of the part of a combined fitness that it is.

    Args:
        group: its name.
        call: the fitness as config.yaml has it.
    """
    parts = call.get("parts") if isinstance(call, Mapping) else None
    part = (
        label(parts[int(group)])
        if isinstance(parts, list) and str(group).isdigit() and int(group) < len(parts)
        else ""
    )
    return f"{group}: {part}" if part else str(group)
