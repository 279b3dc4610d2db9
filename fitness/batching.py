"""Batches that shrink where memory runs out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

import torch

log = logging.getLogger(__name__)

Result = TypeVar("Result")

EXHAUSTED = ("out of memory", "allocate memory", "not enough memory", "alloc_failed")
"""What errors say that are raised for want of memory and have no class of their own."""


def ran_out(error: BaseException) -> bool:
    """Whether an error was raised for want of memory."""
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error).lower() for words in EXHAUSTED
    )


def in_batches(
    batch: int,
    there: int,
    call: Callable[[int, int], Result],
    doing: str,
    alone: Callable[[int], str],
) -> tuple[list[Result], int]:
    """Calls for one batch after another, of as many as fit into memory: half as many, for good, each time that it runs out.

    Args:
        batch: how many are done side by side.
        there: how many there are.
        call: does those from the first of two places to before the second.
        doing: what is done to what, for the log: "prompts were answered".
        alone: what to say where there is no memory for the one at a place.

    Returns:
        What the calls gave, and how many are done side by side from now on.

    Raises:
        MemoryError: if there is no memory for one.
    """
    results: list[Result] = []
    start = 0
    while start < there:
        size = min(batch, there - start)
        try:
            results.append(call(start, start + size))
            start += size
            continue
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
        if size == 1:
            raise MemoryError(alone(start))
        batch = size // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        log.warning(
            "memory ran out while %d %s side by side; from here on %d are, and this run may differ from others of the same "
            "config in a bit here and there", size, doing, batch
        )  # fmt: skip
    return results, batch
