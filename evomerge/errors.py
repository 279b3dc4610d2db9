"""The two ways in which a run ends early, each with its exit code. Anything else that is raised is a bug of evomerge."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any


class UserError(Exception):
    """Something the user gave is wrong. The message says where, what was expected and what came."""

    exit_code = 2


class Interrupted(Exception):
    """What the environment did: a full disk, a silent server. What was there is saved, and a resume goes on."""

    exit_code = 1


class Lost(Interrupted):
    """One thing cost so many workers that it is rather its own fault: a birth's, if it was one that was scored."""


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
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        raise UserError(f"{where}: {reason(error)}") from error


def reason(error: BaseException) -> str:
    """An exception in one line, with the line of code that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = (
        f" ({trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno})"
        if trace is not None
        else ""
    )
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}{where}"


class Stopped(KeyboardInterrupt):
    """A run was asked to stop and did. As a shell has it, the exit code is 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        """Takes the signal's number."""
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number
