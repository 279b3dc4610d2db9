"""What a record has to have, so that a question can be made of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fitness.contracts import SystemMessages, can
from fitness.messages import shown

Needed = Sequence[tuple[str, str]]
"""Fields, each behind the setting that names it."""


def check_fields(record: Mapping[str, Any], needed: Needed) -> None:
    """Refuses a record that lacks a field.

    Raises:
        ValueError: if it does; the message has the fields that there are.
    """
    for setting, field in needed:
        if field not in record:
            known = ", ".join(map(str, record)) or "none"
            raise ValueError(f"{setting}: no field {field!r}; its fields: {known}")


def check_system(record: Mapping[str, Any], needed: Needed, data: Any) -> None:
    """Refuses a conversation whose system's message no prompt would have.

    Args:
        record: the conversation.
        needed: the fields of which prompts are made.
        data: what it is from.

    Raises:
        ValueError: if there is such a message.
    """
    if not can(data, SystemMessages):
        return
    message = record.get(data.system_field)
    # white space says nothing
    if str(message or "").strip() and ("template", data.system_field) not in needed:
        raise ValueError(
            f"the system's message {shown(message)} would be in no prompt; "
            f"set system to it, or to another"
        )
