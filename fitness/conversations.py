"""Conversations from files of JSON lines: of one question and its answer each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fitness.messages import shown
from fitness.record_checks import check_fields
from fitness.records import JsonLines

ROLES = {"human": "user", "gpt": "assistant"}
"""What roles are called besides, as ShareGPT has them."""

CALLS = ("tool_calls", "function_call")
"""What a message may have besides its text."""

EXPECTED = ("user", "assistant")
"""The messages of a conversation, behind a system's message if there is one."""


@dataclass(frozen=True)
class Conversations(JsonLines):
    """Records with a list of messages, as chat models are tuned on: `role` and `content` of each.

    Each becomes a record of three texts: `question`, the user's message, `answer`, the assistant's,
    and `system`, empty where there is no such message. That one is in a prompt where `template` or
    the `system` of `QuestionAnswering` has it. `from` and `value`, as ShareGPT has them, are read,
    too.

    Attributes:
        train: as `JsonLines`.
        test: as `JsonLines`.
        validation: as `JsonLines`.
        field: the field with the messages.
    """

    field: str = "messages"

    @property
    def system_field(self) -> str:
        """The field that has the system's message."""
        return "system"

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """As `Records.split`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: as `JsonLines.split`; or if a record is no conversation of one question and
                its answer.
        """
        records = super().split(name)
        if records is None:
            return None
        conversations = []
        for index, record in enumerate(records):
            try:
                check_fields(record, [("field", self.field)])
            except ValueError as error:
                raise ValueError(f"{self.where(index, name)}: {error}") from None
            try:
                conversations.append(question_and_answer(record[self.field]))
            except ValueError as error:
                raise ValueError(f"{self.where(index, name)}: {self.field}: {error}") from None
        return conversations


def question_and_answer(messages: Any) -> dict[str, str]:
    """The texts of a conversation.

    >>> question_and_answer([{"role": "user", "content": "2 + 2"}, {"from": "gpt", "value": "4"}])
    {'system': '', 'question': '2 + 2', 'answer': '4'}

    Args:
        messages: a list, each with `role` and `content`, or `from` and `value`.

    Returns:
        The system's message, empty if there is none, the question and the answer.

    Raises:
        ValueError: if it is no conversation of one question and its answer.
    """
    if not isinstance(messages, list):
        raise ValueError(f"expected a list of messages, got {shown(messages)}")
    turns = [_role_and_text(message) for message in messages]
    system = ""
    if turns and turns[0][0] == "system":
        system = turns[0][1]
        turns = turns[1:]
    roles = tuple(role for role, _ in turns)
    # which turn of a longer one counts, and who said the others, is more than a prompt can hold
    if roles != EXPECTED:
        got = ", ".join(roles) or "none"
        raise ValueError(f"expected one message of the user and one of the assistant, got {got}")
    return {"system": system, "question": turns[0][1], "answer": turns[1][1]}


def _role_and_text(message: Any) -> tuple[str, str]:
    """Who said a message, and what it says.

    Raises:
        ValueError: if it is none.
    """
    role = text = None
    if isinstance(message, Mapping):
        role = message.get("role", message.get("from"))
        text = message.get("content", message.get("value"))
        # half of an answer would be taken for all of it
        for key in CALLS:
            if message.get(key):
                raise ValueError(f"expected a message of text alone, it has {key}")
    # pictures have a list of parts
    if not isinstance(role, str) or not isinstance(text, str):
        raise ValueError(f"expected a message with role and content, got {shown(message)}")
    return ROLES.get(role, role), text
