"""A Ray that does not start: one line with the way out, or another try.

And one that starts where Ray alone would not.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from whole_runs import PATIENCE, ROOT, write_config

pytestmark = pytest.mark.ray

KEEP = "workers: Ray cannot keep its files in "
EXPECTED = "expected auto, or host:port of a cluster"

NO_START = {"RAY_gcs_server_port_wait_time_s": "0"}
"""Ray's own limit, so low that it gives up at once.

It does so after half a minute where the machine is too busy."""


def run(folder, environment, **workers):
    """`evomerge run` of two births on Ray, in a process of its own.

    It has no other settings of Ray than these.
    """
    write_config(folder, births=2, workers={"_target_": "evomerge.Ray", "count": 1} | workers)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    command = [sys.executable, "-m", "evomerge", "run", "config.yaml", "run_dir=run"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=inherited | {"PYTHONPATH": str(ROOT)} | environment,
        text=True,
        stderr=subprocess.PIPE,
    )


def ended(process):
    """The exit code, and what stands on stderr in lines of ours."""
    _, text = process.communicate(timeout=PATIENCE)
    assert "Traceback" not in text
    return process.returncode, [line for line in text.splitlines() if line.startswith("evomerge: ")]


def leftovers():
    """Links to folders with long names."""
    return {
        path
        for place in ("/tmp", "/var/tmp", "/dev/shm")
        for path in Path(place).glob("evomerge-*/ray")
    }


@pytest.mark.parametrize(
    "names", [("TMPDIR",), ("RAY_TMPDIR",), ("TMPDIR", "HOME")], ids=" and ".join
)
def test_it_starts_in_a_folder_whose_name_is_too_long_for_sockets_and_without_a_home(
    tmp_path, names
):
    deep = tmp_path / ("a" * 60) / ("ü" * 60)
    deep.mkdir(parents=True)
    before = leftovers()
    process = run(
        tmp_path,
        {name: "/proc/nowhere" if name == "HOME" else str(deep) for name in names},
        wait=PATIENCE,
    )
    assert ended(process) == (0, [])
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["workers"]["count"] == 1
    assert list(deep.glob("ray/session_*/logs"))  # Ray's files are where they were to be
    assert leftovers() <= before


@pytest.mark.parametrize(
    ("environment", "workers", "message"),
    [
        ({"RAY_TMPDIR": "{folder}/file"}, {}, KEEP + "file/ray: Not a directory; set RAY_TMPDIR"),
        (
            {"TMPDIR": "/proc/nowhere"},
            {},
            KEEP + "/proc/nowhere/ray: No such file or directory; set TMPDIR",
        ),
        ({"RAY_TMPDIR": "/dev/null"}, {}, KEEP + "/dev/null/ray: Not a directory; set RAY_TMPDIR"),
        ({"RAY_ADDRESS": "127.0.0.1:1"}, {}, "RAY_ADDRESS: there is no cluster at 127.0.0.1:1 ("),
        ({"RAY_ADDRESS": "http://127.0.0.1:8265"}, {}, f"RAY_ADDRESS: {EXPECTED}, got 'http://"),
        (
            {"RAY_ADDRESS": "127.0.0.1:1"},
            {"address": "auto"},
            "RAY_ADDRESS: there is no cluster at 127.0.0.1:1 (",
        ),
        ({}, {"address": "127.0.0.1:99999"}, f"workers.address: {EXPECTED}, got '127.0.0.1:99999'"),
        (
            {},
            {"address": "no such host:6379"},
            "workers.address: there is no cluster at no such host:6379 (",
        ),
        (
            {"PYTHONPATH": "{folder}/hides"},
            {},
            "workers: Ray cannot be imported: No module named 'ray._private'",
        ),
    ],
)
def test_what_the_user_can_mend_is_one_line(tmp_path, environment, workers, message):
    (tmp_path / "file").touch()
    (tmp_path / "hides").mkdir()
    (tmp_path / "hides" / "ray.py").touch()
    given = {name: value.format(folder=tmp_path) for name, value in environment.items()}
    if "PYTHONPATH" in given:
        given["PYTHONPATH"] += f"{os.pathsep}{ROOT}"
    code, [line] = ended(run(tmp_path, given, **workers))
    assert code == 2
    assert line.startswith("evomerge: " + message.format(folder=tmp_path))


def test_auto_that_names_a_cluster_which_is_gone_is_said(tmp_path):
    """Ray itself tries for two minutes and then ends the process."""
    code = """
import os
from evomerge.workers.cluster import connected
from evomerge.errors import UserError
from ray._private import services
services.find_gcs_addresses = set  # those of other tests, and of anybody else on this machine
try:
    connected("auto", 1)
except UserError as error:
    print(error)
"""
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray" / "ray_current_cluster").write_text("127.0.0.1:1")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment = inherited | {"PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(tmp_path)}
    for message in (
        "workers.address: auto: there is no cluster at ",
        "workers.address: auto, and no Ray runs on this machine",
    ):
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert done.stdout.startswith(message), done
        (tmp_path / "ray" / "ray_current_cluster").unlink(missing_ok=True)


def test_a_cluster_of_another_version_is_said(cluster):
    code = f"""
import ray
from evomerge.workers.cluster import connected
from evomerge.errors import UserError
ray.__version__ = "2.0.0"  # what this process says that it has
try:
    connected({cluster.ray.get_runtime_context().gcs_address!r}, 1)
except UserError as error:
    print(error)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert "ersion mismatch" in done.stdout, done
    assert "Ray: 2.0.0" in done.stdout
    assert cluster.ray.__version__ in done.stdout
    assert done.stdout.endswith("all machines need the same versions of Python and Ray\n")


def test_a_machine_that_is_too_busy_for_long_is_the_environment_s_doing(tmp_path):
    code, [line] = ended(run(tmp_path, NO_START, wait=4))
    assert code == 1
    assert line.startswith("evomerge: workers: Ray does not start (")
    assert line.endswith("if the machine is busy, a larger workers.wait helps")
    assert int(line.split("(")[1].split(" tries")[0]) > 1
    assert not (tmp_path / "run").exists()


def test_a_machine_that_is_busy_at_first_is_waited_for():
    code = f"""
import logging, os
import psutil
from evomerge.workers.cluster import connected

class NotBusyAnyMore(logging.Handler):
    def emit(self, record):
        print(record.getMessage())
        os.environ.pop("{next(iter(NO_START))}", None)
        left = [p for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]
        print(len(left))  # of the try that failed

logging.getLogger("evomerge.workers.cluster").addHandler(NotBusyAnyMore())
cluster = connected("local", 1, wait={PATIENCE})
print(cluster.ray.is_initialized())
cluster.close()
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | NO_START
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    lines = done.stdout.splitlines()
    assert "workers: Ray does not start (Timed out" in lines[0], done
    assert f"; trying again, for up to {PATIENCE} s" in lines[0].replace(
        str(PATIENCE - 1), str(PATIENCE)
    )
    assert lines[1] == "0"
    assert lines[-1] == "True"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_is_heard_while_it_tries_again(tmp_path, number):
    process = run(tmp_path, NO_START, wait=PATIENCE)
    for line in process.stderr:
        if "trying again" in line:
            break
    process.send_signal(number)
    assert ended(process) == (128 + number, [])
