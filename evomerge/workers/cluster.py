"""The way to a cluster of Ray: the one at an address, or one of our own.

A machine that is too busy to start Ray is waited for.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evomerge.errors import Interrupted, Stopped, UserError, reason
from evomerge.workers.addresses import answering_address, named_address
from evomerge.workers.home import RayHome
from evomerge.workers.starting import LOOPBACK, kill_failed_start, patient

log = logging.getLogger(__name__)

PAUSE = 30.0
"""Most seconds between two tries."""

LETTERS = 300
"""Most letters of a message of Ray that are shown."""

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which a run is asked to stop."""


@dataclass(eq=False)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        ray: the module.
        home: of a cluster of our own, which ends with us; None of anybody else's.
    """

    ray: Any
    home: RayHome | None = None

    def close(self) -> None:
        """Ends the cluster, if it is our own."""
        # Other processes may still work on a cluster that is somebody else's.
        if self.home is not None:
            self.ray.shutdown()
            self.home.close()


def connected(address: str | None, cpus: int, wait: float = 0.0) -> Cluster:
    """Ray, connected to a cluster.

    Args:
        address: as for `Ray`.
        cpus: what a cluster of our own has at least.
        wait: seconds for which Ray is started again where it does not start; one try takes up to
            two minutes.

    Raises:
        UserError: if Ray is not installed, there is no cluster at the address, it is of another
            version, or there is no folder for Ray's files.
        Interrupted: if Ray does not start.
        Stopped: if the process is asked to stop between two tries.
    """
    address, name = named_address(address)
    # Ray reads these when it is imported. A Ray of our own is nobody else's business: it listens
    # on the loopback interface, and reports to nobody.
    if address is None:
        os.environ.setdefault(LOOPBACK, "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = _import_ray()
    # Whoever connected this process, a test or a user's script, also ends that connection.
    if ray.is_initialized():
        return Cluster(ray)
    if address is None:
        return _start_cluster(ray, cpus, wait)
    # Nothing is started for an address at which nobody answers.
    address = answering_address(address, name)
    _init_patiently(ray, {"address": address}, wait, f"{name}: cannot connect to {address}")
    return Cluster(ray)


def _import_ray() -> Any:
    """The module.

    Raises:
        UserError: if it is not installed, or cannot be imported.
    """
    try:
        import ray
        import ray._private.ray_constants
    except ImportError as error:
        # Ray is there and does not fit another package, or another module has its name.
        if error.name != "ray":
            raise UserError(f"workers: Ray cannot be imported: {error}") from error
        raise UserError(
            "workers: Ray is not installed: pip install 'evomerge[ray]', "
            "or use evomerge.workers.Local"
        ) from error
    return ray


def _start_cluster(ray: Any, cpus: int, wait: float) -> Cluster:
    """Starts a cluster of our own, on this machine."""
    # Whoever imported Ray before us had it read the variable too early.
    if os.environ[LOOPBACK] == "0":
        ray._private.ray_constants.ENABLE_RAY_CLUSTER = False
    home = RayHome()
    settings = {
        "address": "local",
        "include_dashboard": False,
        "num_cpus": max(cpus, os.cpu_count() or 1),
        "_temp_dir": str(home.folder),
    }
    try:
        _init_patiently(ray, settings, wait, "workers: Ray does not start")
    # Ctrl-C, too, must not leave a token or a link behind.
    except BaseException:
        home.close()
        raise
    return Cluster(ray, home)


def _init_patiently(ray: Any, settings: dict[str, Any], wait: float, failure: str) -> None:
    """Starts Ray, or connects to it, again and again for so many seconds.

    Ray itself gives up after 30 seconds, of whatever it waits for.

    Args:
        ray: the module.
        settings: arguments of `ray.init`.
        wait: seconds after which no other try is made.
        failure: how a message says that it failed.

    Raises:
        UserError: if the cluster is of another version.
        Interrupted: if Ray does not start.
        Stopped: if the process is asked to stop between two tries.
    """
    since = time.monotonic()
    tries = 0
    with _heard_signals() as received:
        while True:
            tries += 1
            try:
                with patient():
                    ray.init(**settings, logging_level=logging.WARNING)
                return
            except Exception as error:
                # Half a node still runs, and would be in the way of the next try.
                kill_failed_start(ray, error)
                seconds = time.monotonic() - since
                _check_version(error, failure)
                # Ray cannot be stopped in the middle of a start; a signal is heard now.
                if received:
                    raise Stopped(received[0]) from error
                message = _in_one_line(error)
                # To wait for what stays as it is would only keep the message back.
                if _is_lasting(error):
                    raise Interrupted(f"{failure}: {message}") from error
                if seconds >= wait:
                    raise Interrupted(
                        f"{failure} ({tries} tries in {seconds:.0f} s, at last: {message}); "
                        "if the machine is busy, a larger workers.wait helps"
                    ) from error
                log.warning(
                    "%s (%s); trying again, for up to %.0f s", failure, message, wait - seconds
                )
            _pause(min(2.0**tries, PAUSE, wait), received)


def _pause(seconds: float, received: list[int]) -> None:
    """Waits between two tries.

    Raises:
        Stopped: if a signal has come.
    """
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if received:
            raise Stopped(received[0])
        time.sleep(0.1)


@contextmanager
def _heard_signals() -> Iterator[list[int]]:
    """The signals that come meanwhile; each goes on to the handler that was there before, too."""
    received: list[int] = []
    # Python lets only the main thread set handlers.
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    handlers = {}
    for number in SIGNALS:
        handlers[number] = signal.getsignal(number)

    def receive(number: int, frame: Any) -> None:
        received.append(number)
        handler = handlers[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    # Ray would take SIGTERM when it starts, and not give it back.
    from ray._private import utils

    set_sigterm_handler = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _handler: None
    for number, handler in handlers.items():
        # A signal that is ignored, as under nohup, stays ignored.
        if callable(handler):
            signal.signal(number, receive)
    try:
        yield received
    finally:
        utils.set_sigterm_handler = set_sigterm_handler
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _is_lasting(error: Exception) -> bool:
    """Whether another try would end alike: a value that cannot be, a folder that is read-only."""
    # These are errors of the operating system, too, but of a machine that takes too long.
    if isinstance(error, ConnectionError | TimeoutError | BlockingIOError):
        return False
    return isinstance(error, OSError | ValueError | TypeError | LookupError | AttributeError)


def _in_one_line(error: BaseException) -> str:
    """Ray's many lines in one, with the kind of error where it says nothing."""
    return " ".join(str(error).split())[:LETTERS] or reason(error)


def _check_version(error: BaseException, failure: str) -> None:
    """Checks that it was not another version which it failed on.

    Raises:
        UserError: if it was.
    """
    cause: BaseException | None = error
    while cause is not None:
        if "ersion mismatch" in str(cause):
            raise UserError(
                f"{failure}: {_in_one_line(cause)}; "
                "all machines need the same versions of Python and Ray"
            ) from error
        cause = cause.__cause__
