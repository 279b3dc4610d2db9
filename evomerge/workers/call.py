"""What a worker on Ray is asked for, and where births and their results go."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

LETTERS = 300
"""Most letters of a message of Ray that are shown."""


@dataclass(eq=False)
class Call:
    """What one worker is asked for.

    Attributes:
        method: of `evomerge.workers.actor.Actor`.
        arguments: its arguments.
        births: the numbers of the births that it raises, if any.
        seconds: how long it may take.
        losses: how many workers it has cost, or how often it failed on its surroundings.
        answer: what the worker gave.
        error: what the call raised, if it is not made again.
        done: whether there is an answer or an error.
    """

    method: str
    arguments: tuple[Any, ...]
    births: tuple[int, ...] = ()
    seconds: float = math.inf
    losses: int = 0
    answer: Any = None
    error: Exception | None = None
    done: bool = False

    def succeed(self, answer: Any) -> None:
        """Ends the call with an answer."""
        self.answer = answer
        self.done = True

    def fail(self, error: Exception) -> None:
        """Ends the call with an error."""
        self.error = error
        self.done = True


class Births(Protocol):
    """Where births come from, and where what becomes of them goes."""

    def preparation(self) -> Call | None:
        """What a worker needs before its first birth; None if no birth waits."""

    def next(self) -> Call | None:
        """The oldest births that wait, as many as go in one call; None if none waits."""

    def answered(self, call: Call, worker: int) -> None:
        """Takes the outcomes of births, and the number of the worker that raised them."""

    def failed(self, call: Call, error: Exception) -> None:
        """Takes an error of the surroundings, or a bug; the worker lives."""

    def lost(self, call: Call, why: str, *, blameless: bool) -> None:
        """Takes back births whose worker is gone.

        Args:
            call: the births.
            why: what happened to the worker.
            blameless: whether it cannot have been the births' own doing.
        """


def one_line(text: str) -> str:
    """The first and the last of the many lines in which Ray reports; the last one says why."""
    lines = []
    for part in text.splitlines():
        if part.strip():
            lines.append(" ".join(part.split()))
    # A report of one line is its own first and last line, and is shown once.
    ends = dict.fromkeys([*lines[:1], *lines[-1:]])
    return " ... ".join(ends)[:LETTERS]
