"""Ready scores of a response against its reference: exact, by its number, and as GSM8K has it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

NUMBER = re.compile(r"(?:(?<![\w.)])-)?\$?(?:[0-9][0-9,]*(?:\.[0-9]+)?|\.[0-9]+)")
"""A number as people write it: -1,234.50 or $5; a minus after a digit, a letter or a bracket takes something away."""

ANSWER = re.compile("the answer is", re.IGNORECASE)


def exact(_prompt: str, response: str, reference: Any) -> float:
    """1 where the response is the reference, but for spaces at their ends."""
    return float(response.strip() == str(reference).strip())


def numeric(_prompt: str, response: str, reference: Any) -> float:
    """1 where the last number of the response is the last one of the reference: "$1,234.50" is 1234.5, "50%" is 50.

    Raises:
        ValueError: if the reference has no number.
    """
    wanted = numbers(str(reference))
    if not wanted:
        raise ValueError(f"expected a number in the reference, got {reference!r}")
    return float(numbers(response)[-1:] == wanted[-1:])


def gsm8k(_prompt: str, response: str, reference: Any) -> float:
    """1 where the response's final number is the reference's, which follows "####".

    The response's follows its first "####" or, where it has none, its last "the answer is"; without either it scores 0.

    Raises:
        ValueError: if no number follows "####" in the reference.
    """
    _, mark, final = str(reference).rpartition("####")
    wanted = numbers(final)
    if not mark or not wanted:
        raise ValueError(f"expected '####' and a number at the end of the reference, got {reference!r}")
    _, mark, said = response.partition("####")
    if not mark:
        said = ANSWER.split(response)[-1] if ANSWER.search(response) else ""
    return float(numbers(said)[:1] == wanted[:1])


def numbers(text: str) -> list[Decimal]:
    """The numbers of a text, from its start."""
    return [Decimal(found.replace(",", "").replace("$", "")) for found in NUMBER.findall(text)]
