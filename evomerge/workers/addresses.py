"""The address of a cluster of Ray: which one is meant, and whether a cluster answers there."""

from __future__ import annotations

import os
import socket

from evomerge.errors import UserError

ANSWER = 60
"""Seconds in which a cluster has to answer; it does so at once where its machine is not busy."""

PORTS = 65536
"""Ports of a machine; they count from 0, and 0 is none."""


def named_address(address: str | None) -> tuple[str | None, str]:
    """The address that is meant, and the name of the setting that it comes from.

    Args:
        address: as for `Ray`.

    Returns:
        None in place of the address where a Ray of our own is meant.
    """
    name = "workers.address"
    # `ray job submit` names its cluster in the variable.
    if address in (None, "auto") and os.environ.get("RAY_ADDRESS"):
        name = "RAY_ADDRESS"
        address = os.environ["RAY_ADDRESS"]
    if address == "local":
        address = None
    return address, name


def answering_address(address: str, name: str) -> str:
    """The address of a cluster that answers.

    Ray itself would try for a minute, and then end the process, or wait for ever.

    Args:
        address: host:port, or auto.
        name: of the setting that it comes from.

    Returns:
        The address as host:port.

    Raises:
        UserError: if nobody answers, or it is no address.
    """
    way_out = "; leave it out for a Ray of our own"
    if name == "RAY_ADDRESS":
        way_out = "; unset it for a Ray of our own"
    # Ray keeps the address of this machine's cluster in a file, which may outlive the cluster.
    if address == "auto":
        address = _running_here(name, way_out)
        name = f"{name}: auto"
    host, port = _host_and_port(address, name, way_out)

    # A machine that cannot be reached is told from one on which something else listens.
    try:
        socket.create_connection((host, port), timeout=ANSWER).close()
    except (OSError, UnicodeError) as error:
        raise UserError(f"{name}: there is no cluster at {address} ({error}){way_out}") from error
    if not _is_cluster(address):
        raise UserError(
            f"{name}: what listens at {address} does not answer as a cluster of Ray does "
            f"within {ANSWER} s{way_out}"
        )
    return address


def _running_here(name: str, way_out: str) -> str:
    """The address of the Ray that runs on this machine.

    Raises:
        UserError: if none does.
    """
    from ray._private.services import get_ray_address_from_environment

    try:
        return get_ray_address_from_environment("auto", None)
    except ConnectionError as error:
        raise UserError(
            f"{name}: auto, and no Ray runs on this machine: start one (ray start --head){way_out}"
        ) from error


def _host_and_port(address: str, name: str, way_out: str) -> tuple[str, int]:
    """The host, without the brackets of IPv6, and the port.

    Raises:
        UserError: if it is no address.
    """
    host, _, port = str(address).rpartition(":")
    # An address with // is that of Ray's client, or of its dashboard.
    if not host or "//" in host or not port.isdigit() or not 0 < int(port) < PORTS:
        raise UserError(
            f"{name}: expected auto, or host:port of a cluster, got {address!r}{way_out}"
        )
    return host.strip("[]"), int(port)


def _is_cluster(address: str) -> bool:
    """Whether what listens there speaks as a cluster of Ray does."""
    import grpc
    from ray._private.gcs_utils import create_gcs_channel

    with create_gcs_channel(str(address)) as channel:
        try:
            grpc.channel_ready_future(channel).result(timeout=ANSWER)
        except grpc.FutureTimeoutError:
            return False
    return True
