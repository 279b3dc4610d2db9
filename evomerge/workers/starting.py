"""What a start of Ray needs that is not to fail on a busy machine, in a deep folder, or with no home; what one that failed leaves."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from evomerge.errors import UserError

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where it is 0, Ray's servers listen on the loopback interface only, as they do on Windows and macOS by default."""

SOCKET_PATH = 107
"""Most bytes of the path of a Unix socket on Linux; macOS takes four less."""

SOCKET_NAME = len("/session_2026-11-28_12-41-40_518310_4194304/sockets/plasma_store") + 4
"""Bytes that Ray puts behind its folder to name a socket, with the four that macOS lacks."""

AGENTS = (
    "metrics_agent_port",
    "metrics_export_port",
    "dashboard_agent_listen_port",
    "runtime_env_agent_port",
)
"""Ports of a node's agents. A node that knows them need not wait for the agents to say theirs, which it does for 15 s only."""

DEFAULT = 52365
"""Where the first of Ray's agents on a machine would listen, and no other can."""

LIMITS = {
    "RAY_gcs_server_port_wait_time_s": "120",
    "RAY_raylet_start_wait_time_s": "60",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_prestart_worker_first_driver": "0",
}
"""How long the parts of a node wait for each other, where that can be set. And no process is started for each processor before
there is anything to do: an actor has one of its own."""

TOKEN = "RAY_AUTH_TOKEN"  # noqa: S105, the variable's name


class Own:
    """What a Ray of our own needs beside Ray, from before its start until after its end."""

    def __init__(self) -> None:
        """Finds a folder for it, and a token where there is none.

        Raises:
            UserError: if there is no folder in which Ray can work.
        """
        self._link: tempfile.TemporaryDirectory[str] | None = None
        self.folder = self._short(_writable())
        self._token = self._make_token()

    def close(self) -> None:
        """Takes back what was set for it."""
        if self._link is not None:
            self._link.cleanup()
        if self._token:
            from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined,unused-ignore]

            os.environ.pop(TOKEN, None)
            AuthenticationTokenLoader.instance().reset_cache()

    def _short(self, folder: Path) -> Path:
        """The folder under a name that is short enough for the sockets in it: a link, where its own is too long."""
        if len(os.fsencode(folder)) <= SOCKET_PATH - SOCKET_NAME:
            return folder
        for place in ("/tmp", "/var/tmp", "/dev/shm"):  # noqa: S108, mkdtemp makes a folder of our own there
            try:
                self._link = tempfile.TemporaryDirectory(
                    prefix="evomerge-", dir=place, ignore_cleanup_errors=True
                )
            except OSError:
                continue
            link = Path(self._link.name) / "ray"
            link.symlink_to(folder)
            return link
        most = SOCKET_PATH - SOCKET_NAME - len("/ray")
        raise UserError(
            f"workers: Ray cannot work in {folder}: the paths of its sockets would be longer than {SOCKET_PATH} bytes; "
            f"set RAY_TMPDIR to a folder with a path of at most {most} bytes"
        )

    def _make_token(self) -> bool:
        """Makes a token where Ray would write one to the home folder, which may not be there, or which another run may write too."""
        from ray._raylet import AuthenticationTokenLoader  # type: ignore[attr-defined,unused-ignore]

        if AuthenticationTokenLoader.instance().has_token(ignore_auth_mode=True):
            return False
        os.environ[TOKEN] = secrets.token_hex(32)
        AuthenticationTokenLoader.instance().reset_cache()
        return True


def _writable() -> Path:
    """The folder in which Ray keeps its files: where it would itself, or else the system's own for such files.

    Raises:
        UserError: if a variable names one that cannot be written.
    """
    from ray._common.utils import get_default_ray_temp_dir

    folder = Path(get_default_ray_temp_dir()).absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        for name in ("RAY_TMPDIR", "TMPDIR"):
            if name in os.environ:
                raise UserError(
                    f"workers: Ray cannot keep its files in {folder}: {error.strerror}; "
                    f"set {name} to a folder that can be written"
                ) from error
        # another user's /tmp/ray: a folder beside it is as good
        folder = Path(f"{folder}-{os.getuid()}")
        try:
            folder.mkdir(exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
        except OSError:
            raise UserError(
                f"workers: Ray cannot keep its files in {folder}: {error.strerror}; set RAY_TMPDIR to a folder that can be written"
            ) from error
    return folder


@contextmanager
def patient() -> Iterator[None]:
    """A node of Ray that starts meanwhile is as patient as a busy machine needs."""
    from ray._private import parameter, services

    given, start = parameter.RayParams, services.start_ray_process
    ports = dict(zip(AGENTS, _free_ports(len(AGENTS)), strict=True))

    class Params(given):  # type: ignore[misc,valid-type]
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            ports.update(
                {
                    name: vars(self)[name]
                    for name in ports
                    if vars(self).get(name) not in (None, 0, DEFAULT)
                }
            )
            self.__dict__.update(ports)

    def start_process(command: list[str], kind: str, *arguments: Any, **settings: Any) -> Any:
        if kind == "raylet":  # Ray tells the agent where to listen, and the node not
            command = [
                *command,
                f"--dashboard_agent_listen_port={ports['dashboard_agent_listen_port']}",
            ]
        return start(command, kind, *arguments, **settings)

    unset = LIMITS.keys() - os.environ.keys()
    os.environ.update({name: LIMITS[name] for name in unset})
    parameter.RayParams, services.start_ray_process = Params, start_process
    try:
        yield
    finally:
        parameter.RayParams, services.start_ray_process = given, start
        for name in unset:
            os.environ.pop(name, None)


def _free_ports(count: int) -> list[int]:
    """So many free ports; all are held until each is found, so that no two are the same."""
    with ExitStack() as held:
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("", 0))
        return [probe.getsockname()[1] for probe in probes]


def clear(ray: Any, error: BaseException) -> None:
    """Ends the processes of a start that failed: its node, half of it running, is to be found only in the error's frames."""
    from ray._private.node import Node

    ray.shutdown()
    cause: BaseException | None = error
    while cause is not None:
        trace = cause.__traceback__
        while trace is not None:
            node = trace.tb_frame.f_locals.get("self")
            if isinstance(node, Node):
                node.kill_all_processes(check_alive=False, allow_graceful=False)
            trace = trace.tb_next
        cause = cause.__cause__ or cause.__context__


def _command() -> None:
    """The command `ray`, more patient: `python -m evomerge.workers.starting start --head`."""
    with patient():
        from ray.scripts.scripts import main

        main()


if __name__ == "__main__":
    _command()
