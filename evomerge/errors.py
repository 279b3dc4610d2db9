"""The ways in which a run ends early, each with its exit code.

Anything else that is raised is a bug of evomerge.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

LONGEST_REASON = 300
"""Characters of an exception's text that a reason has."""


class UserError(Exception):
    """Something the user gave is wrong. The message says where, what was expected and what came."""

    exit_code = 2


class Interrupted(Exception):
    """What the environment did: a full disk, a silent server. What was there is saved."""

    exit_code = 1


class Lost(Interrupted):
    """One thing cost so many workers that it is rather its own fault.

    It is a birth's fault, if it was one that was scored.
    """


class Stopped(KeyboardInterrupt):
    """A run was asked to stop and did. As in a shell, it exits with 128 + the signal's number."""

    def __init__(self, number: int) -> None:
        """Takes the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def as_user_error(where: str, call: Callable[[], Any]) -> Any:
    """Calls what the user gave, and says where it was if it raises.

    Raises:
        UserError: instead of whatever was raised.
    """
    try:
        return call()
    except (UserError, Interrupted):
        raise
    except (ValueError, OSError, ImportError) as error:
        # These are raised on purpose, with a message for the user.
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        raise UserError(f"{where}: {reason(error)}") from error


def all_of(*calls: Callable[[], Any]) -> list[Any]:
    """What each of several calls gives; all that the user got wrong is told at once.

    Raises:
        UserError: with the messages of all that raised one.
    """
    given = []
    problems: list[UserError] = []
    causes = set()
    for call in calls:
        try:
            given.append(call())
        except UserError as error:
            # Two parts may read one file, and stumble over the same mistake.
            cause = str(error.__cause__ or error)
            if cause not in causes:
                problems.append(error)
            causes.add(cause)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise UserError("\n".join(map(str, problems)))
    return given


def reason(error: BaseException) -> str:
    """An exception in one line, with the line of code that raised it."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:LONGEST_REASON]}{_raised_at(error)}"


def _raised_at(error: BaseException) -> str:
    """The file and line that raised an exception, in brackets; nothing if it was never raised."""
    trace = error.__traceback__
    if trace is None:
        return ""
    # The innermost frame is the one that knows what went wrong.
    while trace.tb_next is not None:
        trace = trace.tb_next
    file = trace.tb_frame.f_code.co_filename.rpartition("/")[2]
    return f" ({file}:{trace.tb_lineno})"
