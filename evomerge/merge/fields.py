"""Which fields of records are the question and the answer, as data sets usually name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

QUESTIONS = (
    "question", "prompt", "instruction", "query", "problem", "input", "inputs", "source"
)  # fmt: skip
"""Names of the field of a question."""

ANSWERS = (
    "answer", "answers", "response", "completion", "output", "outputs", "target", "targets",
    "solution",
)  # fmt: skip
"""Names of the field of an answer."""

BESIDE = {"instruction": "input", "question": "context"}
"""By the field of a question, the field of what it is asked about, if there is one."""

CONVERSATIONS = ("messages", "conversations")
"""Names of the field of a conversation, a list of messages."""

TEXTS = {
    "question": "Question: {question}\nAnswer:",
    "prompt": "{prompt}",
    "instruction": "### Instruction:\n{instruction}\n\n### Response:\n",
    "query": "Question: {query}\nAnswer:",
    "problem": "Problem: {problem}\nSolution:",
    "input": "Input: {input}\nOutput:",
    "inputs": "Input: {inputs}\nOutput:",
    "source": "Input: {source}\nOutput:",
}
"""What a model reads that is in no conversation, by the field of the question."""

TEXTS_BESIDE = {
    "instruction": (
        "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:\n"
    ),
    "question": "{context}\n\nQuestion: {question}\nAnswer:",
}  # fmt: skip
"""Likewise, where there is something that it is asked about."""

MESSAGES_BESIDE = {
    "instruction": "{instruction}\n\n{input}",
    "question": "{context}\n\n{question}",
}
"""Likewise, for a user's message in a conversation."""


@dataclass(frozen=True)
class Fields:
    """Which fields of records are taken.

    Attributes:
        question: the field of the question; None where the user has given a template.
        answer: the field of the answer.
        beside: the field of what is asked about, if there is one.
    """

    question: str | None
    answer: str
    beside: str | None = None

    def template(self, *, chat: bool) -> str:
        """What the model reads, or, in a conversation, what the user says."""
        assert self.question is not None
        if self.beside is not None:
            return (MESSAGES_BESIDE if chat else TEXTS_BESIDE)[self.question]
        if chat:
            return f"{{{self.question}}}"
        return TEXTS[self.question]


def fields_of(
    records: Sequence[Mapping[str, Any]], template: str | None, answer: str | None
) -> Fields:
    """Which fields are taken.

    Args:
        records: one or more.
        template: what the user has said that the model reads.
        answer: the field of the answer, if the user has named it.

    Raises:
        ValueError: if it cannot be known.
    """
    shared = []
    for name in records[0]:
        if all(name in record for record in records):
            shared.append(name)
    question = None
    beside = None
    if template is None:
        question, beside = _question(records, shared)
    if answer is None:
        taken = [question, beside]
        if template is not None:
            taken = [name for name in shared if f"{{{name}}}" in template]
        answers = [name for name in ANSWERS if name in shared and name not in taken]
        if len(answers) != 1:
            raise ValueError(f"{_unknown('answer', answers, shared)}; say it with --answer FIELD")
        answer = answers[0]
    return Fields(question, answer, beside)


def _question(
    records: Sequence[Mapping[str, Any]], shared: Sequence[str]
) -> tuple[str, str | None]:
    """The field of the question, and of what it is asked about.

    Raises:
        ValueError: if it cannot be known.
    """
    # A list, such as one of messages, is no question that could be put into a text. A field that
    # is empty may be null.
    texts = []
    for name in shared:
        if any(_is_text(record[name]) for record in records):
            texts.append(name)
    questions = [name for name in QUESTIONS if name in texts]
    for name, beside in BESIDE.items():
        if name not in questions:
            continue
        # Left out, it would leave questions without what they are about.
        having = [record[beside] for record in records if beside in record]
        about = f"{name} may be asked about {beside}, "
        if 0 < len(having) < len(records):
            raise ValueError(
                f"{about}which {len(having):,} of {len(records):,} records have; give all of them "
                "one, which may be empty, or say what is read with --template"
            )
        if beside not in texts and any(having):
            raise ValueError(f"{about}which is no text; say what is read with --template")
        if beside in texts:
            questions = [other for other in questions if other != beside]
            # Data sets of one form have the field in any case, and often nothing in it.
            values = [record[beside] for record in records if record[beside] is not None]
            asked = any(str(value).strip() for value in values)
            if questions == [name]:
                return name, beside if asked else None
    if len(questions) != 1:
        raise ValueError(
            f"{_unknown('question', questions, shared)}; say it with --template, "
            r"such as --template 'Question: {FIELD}\nAnswer:'"
        )
    return questions[0], None


def _is_text(value: Any) -> bool:
    """Whether a value can stand in a text as it is."""
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _unknown(kind: str, candidates: Sequence[str], shared: Sequence[str]) -> str:
    """What is said where it cannot be known which field is meant."""
    if candidates:
        return f"the {kind} may be in {' or in '.join(candidates)}"
    known = ", ".join(shared) or "none that all records have"
    return f"no field is known to be the {kind}; its fields: {known}"
