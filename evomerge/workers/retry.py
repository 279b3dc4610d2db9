"""Calls of a user's code, made again where its surroundings fail."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from evomerge.errors import Interrupted, reason

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a call is made when what it stands on (a disk, a server, memory) fails."""

PAUSE = 0.1
"""Seconds before the second attempt; each later one waits as much longer."""


def call_patiently(name: str, function: Callable[..., Any], *arguments: object) -> Any:
    """Calls a function, and calls it again where its surroundings failed.

    Args:
        name: what a message calls the function.
        function: a method of a fitness or of a population.
        arguments: its arguments.

    Raises:
        Interrupted: if the surroundings fail every time.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return function(*arguments)
        # Any other error is the child's own, and would come again.
        except (OSError, MemoryError) as error:
            if attempt == ATTEMPTS:
                raise Interrupted(
                    f"{name} failed {ATTEMPTS} times on its surroundings: {reason(error)}"
                ) from error
            log.warning("%s failed (%s); trying again", name, reason(error))
            time.sleep(PAUSE * attempt)
    raise AssertionError("unreachable")
