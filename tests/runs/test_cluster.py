"""The files of cluster/, as far as their own tools can check them here."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import psutil
import pytest
import yaml
from whole_runs import PATIENCE, ROOT

CLUSTER = ROOT / "cluster"
pytestmark = pytest.mark.ray


def test_the_autoscaler_s_file_is_of_ray_s_schema():
    from jsonschema import validate

    schema = json.loads(
        (Path(find_spec("ray").origin).parent / "autoscaler" / "ray-schema.json").read_text()
    )
    config = yaml.safe_load((CLUSTER / "aws.yaml").read_text())
    validate(config, schema)
    assert config["head_node_type"] in config["available_node_types"]
    assert (
        sum(kind["max_workers"] for kind in config["available_node_types"].values())
        == config["max_workers"]
    )


def test_the_manifest_is_a_rayjob_of_this_version_of_ray():
    job = yaml.safe_load((CLUSTER / "kuberay.yaml").read_text())
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    cluster = job["spec"]["rayClusterSpec"]
    pinned = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line
    )
    assert cluster["rayVersion"] == pinned["ray"]
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    assert [len(group["template"]["spec"]["containers"]) for group in groups] == [1, 1]
    mounts = {
        mount["name"] for mount in groups[0]["template"]["spec"]["containers"][0]["volumeMounts"]
    }
    assert mounts == {volume["name"] for volume in groups[0]["template"]["spec"]["volumes"]}
    assert all(
        isinstance(value, str) for group in groups for value in group["rayStartParams"].values()
    )


@pytest.fixture
def alone():
    """An environment in which a Ray can be reached by nobody else."""
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        **token,
        "PATH": path,
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("RAY_ADDRESS", None)
    return environment


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


DIGITS = [
    "births=50",
    "lookahead=4",
    "workers._target_=evomerge.Ray",
    "workers.count=2",
    "workers.cpus=0.5",
]


def test_a_job_that_is_submitted_leaves_its_run(alone, tmp_path):
    deadline = time.monotonic() + PATIENCE
    while not job_left_its_run(alone, tmp_path):  # Ray has given up
        assert time.monotonic() < deadline


def job_left_its_run(alone, folder):
    """Starts a head and submits a job; says whether Ray did what it was asked for.

    What the job itself does wrong fails the test.
    """
    dashboard = free_port()
    head = [
        sys.executable,
        "-m",
        "evomerge.workers.starting",
        "start",
        "--head",
        "--node-ip-address=127.0.0.1",
        "--num-cpus=2",
    ]
    head += [
        f"--port={free_port()}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={dashboard}",
        "--block",
    ]
    started = subprocess.Popen(
        head, env=alone, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not answers(dashboard):
            if started.poll() is not None:
                return False
            time.sleep(0.5)
        return submitted(alone, dashboard, started, Path(tempfile.mkdtemp(dir=folder)))
    finally:  # not `ray stop`, which would end everybody's
        if started.poll() is None:
            family = psutil.Process(started.pid).children(recursive=True)
            started.terminate()
            started.wait(timeout=PATIENCE)
            for process in psutil.wait_procs(family, timeout=10)[1]:
                process.kill()
            psutil.wait_procs(family, timeout=PATIENCE)


def answers(port):
    """Whether the job server does."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/version", timeout=60):
            return True
    except HTTPError:  # it asks for a token
        return True
    except OSError:
        return False


def submitted(alone, dashboard, head, tmp_path):
    """Submits a job until the server takes it.

    Gives False if the head ended, or the connection did before the job.
    """
    checkout = tmp_path / "checkout"
    for name in ("evomerge", "fitness", "populations", "configs"):
        shutil.copytree(
            ROOT / name,
            checkout / name,
            ignore=shutil.ignore_patterns("*.safetensors", "__pycache__"),
        )
    submit = [
        "ray",
        "job",
        "submit",
        "--address",
        f"http://127.0.0.1:{dashboard}",
        "--working-dir",
        ".",
    ]
    command = [
        "python",
        "-m",
        "evomerge",
        "run",
        "configs/digits.yaml",
        f"run_dir={tmp_path / 'run'}",
        *DIGITS,
    ]
    while True:
        done = subprocess.run(
            [*submit, "--", *command],
            cwd=checkout,
            env=alone,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        if "No available agent" not in done.stderr or head.poll() is not None:
            break
        time.sleep(1)  # the server of jobs answers before whoever runs them
    if done.returncode != 0 and any(words in done.stderr + done.stdout for words in GIVEN_UP):
        return False
    assert done.returncode == 0, done.stdout + done.stderr
    assert "succeeded" in done.stdout
    assert {"report.html", "summary.json", "best", "births.jsonl"} <= {
        path.name for path in (tmp_path / "run").iterdir()
    }
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["workers"]["count"] == 2
    return True


GIVEN_UP = (
    "ConnectionError",
    "Connection refused",
    "Connection reset",
    "RemoteDisconnected",
    "ServerDisconnected",
    "Timeout",
    "timed out",
    "No available agent",
    "Failed to connect",
    "job supervisor",
    "failed to start",
)
"""What Ray says where its servers, and not the job, have failed."""


STAND_INS = {
    "scontrol": 'echo "$(hostname)"',
    "srun": 'while [[ "$1" == --* ]]; do shift; done\nexec "$@"',
    "hostname": 'if [ "${1:-}" = --ip-address ]; then echo 127.0.0.1; else echo here; fi',
}
"""Slurm's commands, as they would be for a job of one node."""


def test_the_slurm_script_runs_where_slurm_s_commands_are_stood_in_for(alone, tmp_path):
    subprocess.run(["bash", "-n", CLUSTER / "slurm.sh"], check=True)
    (tmp_path / "bin").mkdir()
    for name, body in STAND_INS.items():
        (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
        (tmp_path / "bin" / name).chmod(0o755)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "activate").write_text("")
    slurm = {
        "SLURM_JOB_ID": str(free_port()),
        "SLURM_JOB_NODELIST": "here",
        "SLURM_CPUS_PER_TASK": "2",
    }
    environment = {**alone, **slurm, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{alone['PATH']}"}
    run = [
        CLUSTER / "slurm.sh",
        str(ROOT / "configs" / "digits.yaml"),
        "run_dir=run",
        *DIGITS[:2],
        *DIGITS[3:],
    ]
    done = subprocess.run(
        run, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "report.html").is_file()
