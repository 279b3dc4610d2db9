"""Prompts from templates: texts with the names of a record's fields in braces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from numbers import Real
from string import Formatter
from typing import Any

from fitness.messages import shown
from fitness.readable import check_readable


def parts(template: str) -> list[tuple[str, str | None]]:
    """The texts of a template, each with the field that follows it, None at its end.

    >>> parts("Q: {question} A:")
    [('Q: ', 'question'), (' A:', None)]

    Raises:
        ValueError: if a brace is broken, more than a field's name stands in one, or half a
            character is in it.
    """
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"template: {error} in {template!r}; a brace that is no field's is doubled"
        ) from None
    # a config may have one too, and then no prompt could be read
    try:
        check_readable(template)
    except ValueError as error:
        raise ValueError(f"template: {error}") from None
    texts_and_fields = []
    for text, field, form, conversion in parsed:
        # Python's formats and conversions would write a value otherwise than its record does
        if field == "" or form or conversion:
            raise ValueError(
                f"template: expected names of fields alone in braces, got {template!r}"
            )
        texts_and_fields.append((text, field))
    return texts_and_fields


def filled(written: Sequence[tuple[str, str | None]], record: Mapping[str, Any]) -> str:
    """A template with a record's fields.

    >>> filled(parts("Q: {question} A:"), {"question": "2 + 2", "answer": "4"})
    'Q: 2 + 2 A:'

    Args:
        written: the template, as `parts` takes it apart.
        record: what its fields hold.

    Raises:
        ValueError: if a field is neither a text nor a number, or holds half a character, or all
            fields are empty.
    """
    fields = {field: record[field] for _, field in written if field is not None}
    for name, value in fields.items():
        _check_field(name, value)
    # a model that is asked nothing would be judged by what it says of nothing
    if fields and not any(str(value).strip() for value in fields.values()):
        raise ValueError(f"template: nothing stands in the field {' or '.join(map(repr, fields))}")
    prompt = ""
    for text, field in written:
        prompt += text
        if field is not None:
            prompt += str(record[field])
    return prompt


def _check_field(field: str, value: Any) -> None:
    """Refuses what has no place in a prompt.

    There null would read None, and a list like a list in Python.
    """
    if isinstance(value, str):
        try:
            check_readable(value)
        except ValueError as error:
            raise ValueError(f"template: {field}: {error}") from None
        return
    # true and false are whole numbers to Python, and words to a reader
    is_number = isinstance(value, Real | Decimal) and not isinstance(value, bool)
    if not is_number or not abs(value) < float("inf"):
        raise ValueError(f"template: {field}: expected a text or a number, got {shown(value)}")
