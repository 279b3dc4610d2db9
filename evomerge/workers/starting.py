"""A start of Ray that does not fail on a busy machine, and what one that failed leaves behind.

    python -m evomerge.workers.starting start --head

is the command `ray`, more patient.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where this variable is 0, Ray's servers listen on the loopback interface only.

They do so on Windows and macOS by default."""

DASHBOARD_AGENT = "dashboard_agent_listen_port"
"""The agent that Ray tells where to listen, and does not tell the node."""

AGENTS = (
    "metrics_agent_port",
    "metrics_export_port",
    DASHBOARD_AGENT,
    "runtime_env_agent_port",
)
"""Ports of a node's agents. A node that knows them need not wait for the agents to say theirs,
which it does for 15 s only."""

DEFAULT = 52365
"""Where the first of Ray's agents on a machine would listen, and no other can."""

LIMITS = {
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_prestart_worker_first_driver": "0",
}
"""How long the parts of a node wait for each other, where that can be set. And no process is
started for each processor before there is anything to do: an actor has one of its own."""


@contextmanager
def patient() -> Iterator[None]:
    """Makes a node of Ray that starts meanwhile as patient as a busy machine needs."""
    from ray._private import parameter, services

    ray_params = parameter.RayParams
    start_ray_process = services.start_ray_process
    # The ports are chosen here, and told to the node and its agents alike.
    ports = dict(zip(AGENTS, _free_ports(len(AGENTS)), strict=True))

    class ParamsWithPorts(ray_params):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            # A port that somebody has chosen stays; Ray's own default is no choice.
            for name in ports:
                chosen = vars(self).get(name)
                if chosen not in (None, 0, DEFAULT):
                    ports[name] = chosen
            self.__dict__.update(ports)

    def start_process(command: list[str], kind: str, *arguments: Any, **settings: Any) -> Any:
        # Ray tells this port to the agent alone, so that the node would wait to hear it.
        if kind == "raylet":
            command = [*command, f"--{DASHBOARD_AGENT}={ports[DASHBOARD_AGENT]}"]
        return start_ray_process(command, kind, *arguments, **settings)

    # What the user has set goes before our limits.
    unset = LIMITS.keys() - os.environ.keys()
    for name in unset:
        os.environ[name] = LIMITS[name]
    parameter.RayParams = ParamsWithPorts
    services.start_ray_process = start_process
    try:
        yield
    finally:
        parameter.RayParams = ray_params
        services.start_ray_process = start_ray_process
        for name in unset:
            os.environ.pop(name, None)


def kill_failed_start(ray: Any, error: BaseException) -> None:
    """Ends the processes of a start that failed.

    Ray keeps no reference to a node of which only half runs. It is still in the error's frames.
    """
    from ray._private.node import Node

    ray.shutdown()
    cause: BaseException | None = error
    while cause is not None:
        # The error that arrives may hide the one in whose frames the node is.
        trace = cause.__traceback__
        while trace is not None:
            node = trace.tb_frame.f_locals.get("self")
            if isinstance(node, Node):
                node.kill_all_processes(check_alive=False, allow_graceful=False)
            trace = trace.tb_next
        cause = cause.__cause__ or cause.__context__


def _free_ports(count: int) -> list[int]:
    """So many free ports."""
    ports = []
    with ExitStack() as held:
        # Each socket is held until the last port is known, so that no two ports are the same.
        for _ in range(count):
            probe = held.enter_context(socket.socket())
            probe.bind(("", 0))
            ports.append(probe.getsockname()[1])
    return ports


def _command() -> None:
    """Runs the command `ray`."""
    with patient():
        from ray.scripts.scripts import main

        main()


if __name__ == "__main__":
    _command()
