"""Births on Ray actors: the same run as in one process, whatever happens to the workers."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time

import psutil
import pytest
from evotorch.algorithms import SNES
from ray_runs import Slow, Unlucky, Vectors
from whole_runs import PATIENCE, ROOT, assert_same_run, log_of, small_run, start, state_of

from evomerge import Crossover, NaturalNiches, Search, Sweep, evolve
from evomerge.errors import Interrupted
from evomerge.evotorch import MergeProblem
from evomerge.rundir.births import read_births
from evomerge.rundir.snapshots import read_snapshot
from evomerge.strategies.problem import as_numpy
from evomerge.workers.ray import Ray

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]


SEARCH = Search(SNES, {"popsize": 10, "stdev_init": 0.1})


def bred(fitness, workers=None, births=60, run_dir=None, **settings):
    strategy = NaturalNiches(size=8, crossover=Crossover())
    call = {
        "strategy": strategy,
        "births": births,
        "lookahead": 6,
        "tile": 8,
        "run_dir": run_dir,
        "progress": False,
    }
    return evolve(Vectors(), fitness, workers=workers, **call | settings)


@pytest.mark.parametrize(("count", "births", "stack"), [(2, 5, 1), (3, 1, 4)])
def test_digits_are_the_same_run_as_in_one_process(tmp_path, count, births, stack):
    for name, workers in (("here", None), ("there", Ray(count, cpus=0.5, births=births))):
        small_run(tmp_path / name, births=100, lookahead=8, retile=40, stack=stack, workers=workers)
    assert_same_run(tmp_path / "here", tmp_path / "there")
    workers = {entry["worker"] for entry in read_births(tmp_path / "there") if entry["birth"]}
    assert workers <= set(range(count))
    page = (tmp_path / "there" / "report.html").read_text()
    assert (f"{len(workers):,} workers, those with the slowest births first" in page) == (
        len(workers) > 1
    )
    assert "0 were lost" in page or len(workers) == 1


@pytest.mark.parametrize(
    "strategy", [SEARCH, Sweep(points=12, angle="none")], ids=["SNES", "sweep"]
)
def test_what_a_strategy_makes_itself_is_raised_there_too(tmp_path, strategy):
    for name, workers in (("here", None), ("there", Ray(2, cpus=0.5))):
        small_run(tmp_path / name, births=40, lookahead=10, strategy=strategy, workers=workers)
    assert_same_run(tmp_path / "here", tmp_path / "there")
    assert {entry["worker"] for entry in read_births(tmp_path / "there") if entry["birth"]} == {
        0,
        1,
    }


def test_a_problem_of_evotorch_is_evaluated_there():
    evals = []
    for workers in (None, Ray(2, cpus=0.5)):
        problem = MergeProblem(Vectors(), Slow(), workers=workers, tile=8, seed=3)
        batch = problem.generate_batch(5)
        problem.evaluate(batch)
        evals.append(as_numpy(batch.evals))
        problem.close()
    assert (evals[0] == evals[1]).all()
    assert len(set(evals[0][:, 0])) == 5


def test_killed_workers_change_nothing(tmp_path):
    bred(Slow(0.02), run_dir=tmp_path / "undisturbed", births=40)
    over, killed = threading.Event(), []

    def kill():
        dice = random.Random(0)
        while not over.wait(0.05):
            with contextlib.suppress(psutil.Error):  # one may be gone while it is looked at
                actors = [
                    p
                    for p in psutil.Process().children(recursive=True)
                    if (p.cmdline() or [""])[0].startswith("ray::Actor")
                ]
                if actors and len(births_of(tmp_path / "disturbed")) > 10 * (len(killed) + 1):
                    killed.append(dice.choice(actors))
                    killed[-1].kill()

    thread = threading.Thread(target=kill)
    thread.start()
    try:
        bred(Slow(0.02), Ray(2, retries=50), run_dir=tmp_path / "disturbed", births=40)
    finally:
        over.set()
        thread.join()
    assert len(killed) >= 2
    assert log_of(tmp_path / "undisturbed") == log_of(tmp_path / "disturbed")
    assert state_of(tmp_path / "undisturbed") == state_of(tmp_path / "disturbed")
    workers = json.loads((tmp_path / "disturbed" / "summary.json").read_text())["workers"]
    assert 1 <= workers["restarts"] <= len(killed)


def test_a_birth_that_hangs_too_often_is_a_failure(tmp_path):
    (tmp_path / "switch").touch()
    fitness = Unlucky("hangs", str(tmp_path / "switch"))
    bred(
        fitness,
        Ray(2, limit=0.5, retries=2, births=3),
        births=14,
        run_dir=tmp_path / "run",
        save_every=1e9,
    )
    failed = [entry for entry in read_births(tmp_path / "run") if "failure" in entry]
    assert 1 <= len(failed) < 10
    for entry in failed:
        assert entry["failure"] == "it lost its worker 2 times, at last: it took longer than 0.5 s"
        assert entry["lost"]
    _, data, _ = read_snapshot(tmp_path / "run")
    assert data["state"]["counters"]["failures"] == len(failed)


def test_the_verdict_outlives_the_driver(tmp_path):
    """It is saved when it is reached.

    A resume does not ask again, though this time the birth would live.
    """
    (tmp_path / "switch").touch()
    config = {
        "population": {"_target_": "ray_runs.Vectors"},
        "fitness": {
            "_target_": "ray_runs.Unlucky",
            "what": "dies",
            "while_there": str(tmp_path / "switch"),
            "seconds": 0.1,
        },
        "workers": {"_target_": "evomerge.Ray", "count": 2, "retries": 1},
        "strategy": {"size": 8},
        "births": 20,
        "lookahead": 4,
        "save_every": 1e9,
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}"
    driver = start("run", "config.yaml", "run_dir=run", cwd=tmp_path, path=path)
    try:
        deadline = time.monotonic() + PATIENCE
        while not (lost := [entry for entry in births_of(tmp_path / "run") if entry.get("lost")]):
            assert driver.poll() is None, driver.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        while (
            read_snapshot(tmp_path / "run")[1]["state"]["counters"]["decided"] < lost[0]["birth"]
        ):  # the log comes first
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        driver.kill()
        driver.communicate()
    (tmp_path / "switch").unlink()
    assert start("resume", "run", cwd=tmp_path, path=path).wait(timeout=PATIENCE) == 0
    after = [entry for entry in read_births(tmp_path / "run") if entry.get("lost")]
    assert [entry["birth"] for entry in after] == [entry["birth"] for entry in lost]


def births_of(run_dir):
    return read_births(run_dir) if (run_dir / "births.jsonl").is_file() else []


def test_what_a_fitness_raises_is_a_failed_birth_and_no_dead_worker(tmp_path):
    (tmp_path / "switch").touch()
    workers = Ray(2)
    bred(Unlucky("raises", str(tmp_path / "switch")), workers, births=40, run_dir=tmp_path / "run")
    failed = [entry["failure"] for entry in read_births(tmp_path / "run") if "failure" in entry]
    assert failed
    assert all("no such thing" in failure for failure in failed)
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["workers"]["restarts"] == 0


def test_what_the_surroundings_do_ends_the_run_saved(tmp_path):
    (tmp_path / "switch").touch()
    fitness = Unlucky("surroundings", str(tmp_path / "switch"))
    with pytest.raises(
        Interrupted, match=r"the disk is gone.* is saved; go on with `evomerge resume"
    ):
        bred(fitness, Ray(2, retries=2), births=60, run_dir=tmp_path / "run")
    (tmp_path / "switch").unlink()
    bred(fitness, Ray(2), births=60, run_dir=tmp_path / "run", resume=True)
    bred(fitness, births=60, run_dir=tmp_path / "whole")
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_a_run_goes_on_with_other_workers(tmp_path):
    bred(Slow(), births=40, run_dir=tmp_path / "whole")
    bred(Slow(), Ray(2), births=15, run_dir=tmp_path / "parts")
    bred(Slow(), births=25, run_dir=tmp_path / "parts", resume=True)
    bred(Slow(), Ray(1), births=40, run_dir=tmp_path / "parts", resume=True)
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "parts")
    assert state_of(tmp_path / "whole") == state_of(tmp_path / "parts")


def test_a_worker_that_cannot_load_is_of_no_use_and_spoils_no_birth(tmp_path, caplog, monkeypatch):
    """Say, its node has no seeds: it is replaced, after a pause, and the others go on."""
    monkeypatch.setattr("evomerge.workers.vacancies.PAUSE", 0.1)
    bred(Slow(0.05), births=25, run_dir=tmp_path / "whole")
    population = Poor(tmp_path)
    evolve(
        population,
        Slow(0.05),
        workers=Late(2, tmp_path),
        births=25,
        lookahead=6,
        tile=8,
        progress=False,
        strategy=NaturalNiches(size=8, crossover=Crossover()),
        run_dir=tmp_path / "poor",
    )
    assert log_of(tmp_path / "whole") == log_of(tmp_path / "poor")
    assert "there are no seeds here" in caplog.text


class Late(Ray):
    """Says when the first birth is planned."""

    def __init__(self, count, folder):
        super().__init__(count, retries=1)
        self.folder = folder

    def submit(self, job):
        (self.folder / "begun").touch()
        super().submit(job)


class Poor(Vectors):
    """From the first birth on one process cannot read the seeds: the first that tries."""

    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def express(self, genome):
        poor = self.folder / "poor one"
        if (self.folder / "begun").exists():
            with contextlib.suppress(FileExistsError):
                poor.mkdir()  # one process makes it, whoever else tries at the same time
                (poor / str(os.getpid())).touch()
            if (poor / str(os.getpid())).exists():
                raise FileNotFoundError("there are no seeds here")
        return super().express(genome)


@pytest.mark.parametrize("what", ["dies", "hangs"])
def test_what_a_child_does_to_its_worker_on_the_test_split_is_a_failure_too(tmp_path, what):
    (tmp_path / "switch").touch()
    fitness = OnTest(what, str(tmp_path / "switch"))
    bred(fitness, Ray(2, limit=1.0, retries=1), births=6, run_dir=tmp_path / "run")
    failed = [entry for entry in read_births(tmp_path / "run") if "failure" in entry]
    assert failed
    assert all(
        entry["lost"] and entry["failure"].startswith("score lost its worker 1 times")
        for entry in failed
    )


class OnTest(Unlucky):
    """Does what it should not on the test split only, to every child."""

    share = 1.0

    def size(self, split):
        return super().size("train") if split == "test" else super().size(split)

    def __call__(self, model, datapoints, split):
        return (
            super().__call__(model, datapoints, split)
            if split == "test"
            else Slow.__call__(self, model, datapoints, split)
        )


def test_without_room_for_a_worker_it_waits_says_so_and_ends(caplog, monkeypatch):
    monkeypatch.setattr("evomerge.workers.absence.SILENT", 0.2)
    with pytest.raises(
        Interrupted,
        match=r"there was no worker for 1.5 s: one needs 1 CPU, 1 unobtainium, the cluster has",
    ):
        bred(Slow(), Ray(2, resources={"unobtainium": 1}, wait=1.5))
    assert "there is no worker; waiting up to 1.5 s" in caplog.text


def test_a_worker_that_cannot_be_made_is_said():
    with pytest.raises(Interrupted, match=r"workers do not come to life: .*cannot travel"):
        bred(Stubborn(), Ray(1, retries=1))


class Stubborn(Slow):
    def __reduce__(self):
        return _raise, ()


def _raise():
    raise ImportError("cannot travel")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"count": 0}, "count: expected a whole number of at least 1, got 0"),
        ({"count": 1, "threads": 0}, "threads: expected"),
        ({"count": 1, "births": 1.5}, "births: expected a whole number"),
        ({"count": 1, "retries": 0}, "retries: expected"),
        ({"count": 1, "gpus": -1}, "gpus: expected a number of at least 0"),
        ({"count": 1, "gpus": 1.5}, "gpus: expected a share of one GPU or a whole number"),
        (
            {"count": 1, "cpus": 0.00001},
            "cpus: expected a number of at least 0 with at most 4 decimals",
        ),
        ({"count": 1, "resources": {"tpu": float("nan")}}, "tpu: expected a number of at least 0"),
        (
            {"count": 1, "resources": {"CPU": 1}},
            "resources: expected names that nodes have given; CPU has a setting",
        ),
        (
            {"count": 1, "runtime_env": {"env_vars": {"A": 1}}},
            "runtime_env.env_vars: expected names and texts",
        ),
        ({"count": 1, "wait": None}, "wait: expected a number of seconds above 0"),
        ({"count": 1, "limit": 0}, "limit: expected a number of seconds above 0"),
        ({"count": 1, "wait": -5}, "wait: expected a number of seconds above 0"),
    ],
)
def test_a_setting_out_of_range_is_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Ray(**settings)


def python(code, **environment):
    """Runs code in a process of its own; gives what it prints."""
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests' / 'helpers'}",
    } | environment
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_without_ray_everything_else_works():
    code = """
import sys
sys.modules["ray"] = None
from whole_runs import small_run
from evomerge.errors import UserError
from evomerge.workers.ray import Ray
print(len(small_run(births=5).members))
try:
    small_run(births=5, workers=Ray(1))
except UserError as error:
    print(error)
"""
    assert python(code).splitlines() == [
        "7",
        "workers: Ray is not installed: pip install 'evomerge[ray]', or use evomerge.workers.Local",
    ]


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("127.0.0.1:1", "workers.address: there is no cluster at 127.0.0.1:1 ("),
        ("nowhere", "workers.address: expected auto, or host:port of a cluster, got 'nowhere'"),
        (
            "ray://127.0.0.1:10001",
            "workers.address: expected auto, or host:port of a cluster, "
            "got 'ray://127.0.0.1:10001'",
        ),
    ],
)
def test_no_cluster_at_an_address_is_said(address, message):
    code = f"""
from evomerge.errors import UserError
from evomerge.workers.cluster import connected
try:
    connected({address!r}, 1)
except UserError as error:
    print(error)
"""
    assert python(code).startswith(message)


def test_a_listener_that_is_no_cluster_is_said():
    """One that says nothing, on which Ray itself would wait for ever."""
    code = """
import socket
from evomerge.workers import addresses, cluster
from evomerge.errors import UserError
addresses.ANSWER = 1
with socket.create_server(("127.0.0.1", 0)) as mute:
    try:
        cluster.connected("127.0.0.1:%d" % mute.getsockname()[1], 1)
    except UserError as error:
        print(error)
"""
    assert "does not answer as a cluster of Ray does within 1 s" in python(code)


def test_a_ray_of_our_own_listens_to_nobody_else_and_is_gone_afterwards():
    """Even where somebody imported Ray before us, who read its environment too early."""
    code = """
import ray
import psutil
from evotorch.algorithms import SNES
from ray_runs import Slow, Vectors
from evomerge import evolve
from evomerge.workers.ray import Ray

class Spy(Ray):
    def result(self, number):
        if number == 1:
            mine = {process.pid for process in psutil.Process().children(recursive=True)}
            for process in psutil.process_iter(["cmdline"]):
                if "ray" in " ".join(process.info["cmdline"] or ()):
                    mine.add(process.pid)
            connections = psutil.net_connections("tcp")
            listening = [c for c in connections if c.status == "LISTEN" and c.pid in mine]
            addresses = {c.laddr.ip.removeprefix("::ffff:") for c in listening}
            print(len(listening), addresses - {"127.0.0.1", "::1"})
        return super().result(number)

evolve(Vectors(), Slow(), births=2, workers=Spy(1, address="local"), progress=False)
print(len([p for p in psutil.Process().children(recursive=True) if p.status() != "zombie"]))
"""
    seen, left = python(code).splitlines()
    count, others = seen.split(" ", 1)
    assert int(count) > 5
    assert others == "set()"
    assert left == "0"


def test_ctrl_c_is_ours(tmp_path):
    code = f"""
import os, signal, threading, time
from pathlib import Path
from evotorch.algorithms import SNES
from ray_runs import Slow, Vectors
from evomerge import evolve
from evomerge.workers.ray import Ray
from evomerge.errors import Stopped
log = Path({str(tmp_path / "run" / "births.jsonl")!r})

def stop():
    while not log.exists() or len(log.read_text().splitlines()) < 6:
        time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=stop, daemon=True).start()
try:
    run_dir = {str(tmp_path / "run")!r}
    evolve(Vectors(), Slow(0.1), births=10_000, workers=Ray(1), run_dir=run_dir, progress=False)
except Stopped as error:
    print(error.exit_code)
"""
    assert python(code).strip() == str(128 + signal.SIGTERM)
    assert len(read_births(tmp_path / "run")) > 3
