"""Whether a tokenizer can read a text."""

from __future__ import annotations

from fitness.messages import shortened


def check_readable(text: str) -> None:
    r"""Refuses what no tokenizer can read.

    Raises:
        ValueError: if half of a surrogate pair stands alone in a text, as in a JSON "\ud83d"
            without what should follow.
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"half a character, {text[error.start]!a} (a lone surrogate), stands at place "
            f"{error.start} of {shortened(text)!a}"
        ) from None
