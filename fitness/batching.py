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
    if not isinstance(error, RuntimeError):
        return False
    message = str(error).lower()
    return any(words in message for words in EXHAUSTED)


def in_batches(
    batch: int,
    count: int,
    call: Callable[[int, int], Result],
    doing: str,
    no_memory: Callable[[int], str],
) -> tuple[list[Result], int]:
    """Calls for one batch after another, of as many as fit into memory.

    Each time that memory runs out, batches are half as large from there on, for good.

    Args:
        batch: how many are done side by side.
        count: how many there are.
        call: does those from the first of two places to before the second.
        doing: what is done to what, for the log: "prompts were answered".
        no_memory: what to say where there is no memory for the one at a place.

    Returns:
        What the calls gave, and how many are done side by side from now on.

    Raises:
        MemoryError: if there is no memory for one.
    """
    results: list[Result] = []
    start = 0
    while start < count:
        # the last batch may be smaller, and halving starts from what did not fit
        size = min(batch, count - start)
        try:
            results.append(call(start, start + size))
            start += size
            continue
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
        # outside the handler, where the error no longer holds on to what filled the memory
        if size == 1:
            raise MemoryError(no_memory(start))
        batch = size // 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        # other company changes a score now and then, so the bitwise claim ends here (DESIGN.md, 3)
        log.warning(
            "memory ran out while %d %s side by side; from here on %d are, and this run may differ "
            "from others of the same config in a bit here and there",
            size,
            doing,
            batch,
        )
    return results, batch
