"""To a cluster of Ray: the one at an address, or one of our own; a machine that is too busy for it is waited for."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from evomerge.errors import Interrupted, Stopped, UserError, reason
from evomerge.workers.starting import LOOPBACK, Own, clear, patient

log = logging.getLogger(__name__)

ANSWER = 60
"""Seconds in which a cluster has to answer; it does so at once where its machine is not busy."""

PAUSE = 30.0
"""Most seconds between two tries."""


@dataclass(eq=False)
class Cluster:
    """A cluster that this process is connected to.

    Attributes:
        ray: the module.
        own: of a cluster of our own, which ends with us; None of anybody else's.
    """

    ray: Any
    own: Own | None = None

    def close(self) -> None:
        """Ends it, if it is our own."""
        if self.own is not None:
            self.ray.shutdown()
            self.own.close()


def connected(address: str | None, cpus: int, wait: float = 0.0) -> Cluster:
    """Ray, connected to a cluster.

    Args:
        address: as for `Ray`.
        cpus: what a cluster of our own has at least.
        wait: seconds for which Ray is started again where it does not start; one try takes up to two minutes.

    Raises:
        UserError: if Ray is not installed, there is no cluster at the address, it is of another version, or there is no folder for
            Ray's files.
        Interrupted: if Ray does not start.
        Stopped: if the process is asked to stop between two tries.
    """
    name = "workers.address"
    if address in (None, "auto") and os.environ.get("RAY_ADDRESS"):
        name, address = "RAY_ADDRESS", os.environ["RAY_ADDRESS"]
    if address == "local":
        address = None
    if address is None:
        os.environ.setdefault(LOOPBACK, "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
        from ray._private import ray_constants
    except ImportError as error:
        if (
            error.name != "ray"
        ):  # it is there, and does not fit something else; or another module has its name
            raise UserError(f"workers: Ray cannot be imported: {error}") from error
        raise UserError(
            "workers: Ray is not installed: pip install 'evomerge[ray]', or use evomerge.workers.Local"
        ) from error
    if ray.is_initialized():
        return Cluster(ray)
    if address is not None:
        address = _answering(address, name)
        _persistent(ray, {"address": address}, wait, f"{name}: cannot connect to {address}")
        return Cluster(ray)
    if os.environ[LOOPBACK] == "0":
        ray_constants.ENABLE_RAY_CLUSTER = (
            False  # whoever imported Ray before us had it read the variable too early
        )
    own = Own()
    processors = max(cpus, os.cpu_count() or 1)
    settings = {
        "address": "local",
        "include_dashboard": False,
        "num_cpus": processors,
        "_temp_dir": str(own.folder),
    }
    try:
        _persistent(ray, settings, wait, "workers: Ray does not start")
    except BaseException:
        own.close()
        raise
    return Cluster(ray, own)


def _persistent(ray: Any, settings: dict[str, Any], wait: float, failure: str) -> None:
    """Starts Ray, or connects to it, again and again for so many seconds; Ray itself gives up after 30, of whatever it waits for.

    Raises:
        UserError: if the cluster is of another version.
        Interrupted: if it does not start.
        Stopped: if the process is asked to stop between two tries.
    """
    since, tries = time.monotonic(), 0
    with _signals() as asked:
        while True:
            tries += 1
            try:
                with patient():
                    ray.init(**settings, logging_level=logging.WARNING)
            except Exception as error:
                clear(ray, error)
                seconds = time.monotonic() - since
                _check_version(error, failure)
                if asked:
                    raise Stopped(asked[0]) from error
                if _lasting(error):
                    raise Interrupted(f"{failure}: {_said(error)}") from error
                if seconds >= wait:
                    raise Interrupted(
                        f"{failure} ({tries} tries in {seconds:.0f} s, at last: {_said(error)}); "
                        "if the machine is busy, a larger workers.wait helps"
                    ) from error
                log.warning(
                    "%s (%s); trying again, for up to %.0f s", failure, _said(error), wait - seconds
                )
            else:
                return
            again = time.monotonic() + min(2.0**tries, PAUSE, wait)
            while time.monotonic() < again:
                if asked:
                    raise Stopped(asked[0])
                time.sleep(0.1)


@contextmanager
def _signals() -> Iterator[list[int]]:
    """Which signals came meanwhile; each goes to whom it would have gone to, too."""
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }

    def hear(number: int, frame: Any) -> None:
        came.append(number)
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    from ray._private import utils

    setter = utils.set_sigterm_handler
    utils.set_sigterm_handler = lambda _handler: (
        None
    )  # Ray would take SIGTERM, and not give it back
    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, hear)
    try:
        yield came
    finally:
        utils.set_sigterm_handler = setter
        for number, handler in before.items():
            signal.signal(number, handler)


def _lasting(error: Exception) -> bool:
    """Whether another try would end alike: a value that cannot be, a folder that cannot be written; not what takes too long."""
    if isinstance(error, ConnectionError | TimeoutError | BlockingIOError):
        return False
    return isinstance(error, OSError | ValueError | TypeError | LookupError | AttributeError)


def _said(error: BaseException) -> str:
    """What Ray says in many lines, in one, with the kind of error where it says nothing."""
    return " ".join(str(error).split())[:300] or reason(error)


def _check_version(error: BaseException, failure: str) -> None:
    """Whether it failed on another version.

    Raises:
        UserError: if so.
    """
    cause: BaseException | None = error
    while cause is not None:
        if "ersion mismatch" in str(cause):
            raise UserError(
                f"{failure}: {_said(cause)}; all machines need the same versions of Python and Ray"
            ) from error
        cause = cause.__cause__


def _answering(address: str, name: str) -> str:
    """The address of a cluster that answers; Ray itself would try for a minute, and then end the process, or wait for ever.

    Args:
        address: host:port, or auto.
        name: of the setting that it comes from.

    Returns:
        It, as host:port.

    Raises:
        UserError: if nobody answers, or it is no address.
    """
    way_out = (
        "; unset it for a Ray of our own"
        if name == "RAY_ADDRESS"
        else "; leave it out for a Ray of our own"
    )
    if address == "auto":
        from ray._private.services import get_ray_address_from_environment

        try:
            address = get_ray_address_from_environment("auto", None)
        except ConnectionError as error:
            raise UserError(
                f"{name}: auto, and no Ray runs on this machine: start one (ray start --head){way_out}"
            ) from error
        name = f"{name}: auto"
    host, _, port = str(address).rpartition(":")
    if not host or "//" in host or not port.isdigit() or not 0 < int(port) < 65536:
        raise UserError(
            f"{name}: expected auto, or host:port of a cluster, got {address!r}{way_out}"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER).close()
    except (OSError, UnicodeError) as error:
        raise UserError(f"{name}: there is no cluster at {address} ({error}){way_out}") from error
    import grpc
    from ray._private.gcs_utils import create_gcs_channel

    with create_gcs_channel(str(address)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER)
        except grpc.FutureTimeoutError:
            raise UserError(
                f"{name}: what listens at {address} does not answer as a cluster of Ray does within {ANSWER} s{way_out}"
            ) from None
    return address
