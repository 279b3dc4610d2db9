"""A signal while models are scored that are no births: heard between two tiles; a second one ends at once. Files stand for what has happened."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from whole_runs import ROOT, log_of, start, write_config

from evomerge.errors import Stopped
from evomerge.run.between import Between
from evomerge.run.stop import StopRequest
from evomerge.rundir.checks import check_free, free_name
from fitness.classification import Classification

PATH = os.pathsep.join(map(str, (ROOT, ROOT / "tests" / "runs", ROOT / "tests" / "helpers")))
"""Where a process of its own finds this file, and what it imports."""


class Slow(Classification):
    """Tells by a file that tile number `at` of a split has begun, and is not done with it before there is a file `on`, if it ever is."""

    score_many = None  # one by one: it cannot score stacks

    def __init__(self, data, at: int = 2, split: str = "train"):
        super().__init__(data)
        self.at, self.split = at, split
        self._calls = 0

    def __getstate__(self):
        return vars(self)

    def __call__(self, model, datapoints, split):
        self._calls += split == self.split
        if split == self.split and self._calls == self.at:
            Path("begun").touch()
            while not Path("on").exists():
                time.sleep(0.01)
        return super().__call__(model, datapoints, split)

    def explain(self, model, datapoints, split):
        if self.split == "explain":
            self._calls += 1
            if self._calls == self.at:
                Path("begun").touch()
                while not Path("on").exists():
                    time.sleep(0.01)
        return super().explain(model, datapoints, split)


class Forking(Slow):
    """Scores in a process of its own, which it has forked, and which a signal ends as it ends any other."""

    def __call__(self, model, datapoints, split):
        heard, said = os.pipe()
        if (child := os.fork()) == 0:
            os.write(said, b"here")  # a signal before Python's own work after a fork would be lost
            time.sleep(1000)
        os.read(heard, 4)
        os.close(heard)
        os.close(said)
        os.kill(child, signal.SIGTERM)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGTERM
        return super().__call__(model, datapoints, split)


def config(folder, name="Slow", **settings):
    data = {"_target_": "fitness.images.SklearnDigits"}
    population = {
        "_target_": "populations.mnist.Classifiers",
        "data": data,
        "hidden": [16],
        "sd": 0.1,
    }
    fitness = {"_target_": f"test_signals.{name}", "data": data} | settings
    return write_config(folder, population=population, fitness=fitness)


def begun(folder, command, *overrides, **settings):
    """A command that has begun the tile which it does not get done with."""
    path = PATH
    process = start(command, config(folder, **settings), *overrides, cwd=folder, path=path)
    wait_for(process, folder / "begun")
    return process


def wait_for(process, path):
    """Until there is a file; fails if the process ends before."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


def ended(process, number):
    """What a process said that a signal has ended, without a traceback."""
    out, err = process.communicate(timeout=300)
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    return out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_founders_are_scored(tmp_path, number):
    process = begun(tmp_path, "run", "run_dir=run")
    process.send_signal(number)
    (tmp_path / "on").touch()
    _, err = ended(process, number)
    assert "founder 1 of 2: 120 of 1,437 datapoints" in err
    assert "founder 2 of 2" not in err
    assert err.count("nothing had begun; the same command begins again") == 1
    check_free(tmp_path / "run")
    again = start(
        "run",
        "config.yaml",
        "run_dir=run",
        cwd=tmp_path,
        path=PATH,
    )
    _, err = again.communicate(timeout=300)
    assert again.returncode == 0, err
    assert log_of(tmp_path / "run")[-1]["birth"] == 100


def test_a_second_signal_ends_a_tile_that_never_ends(tmp_path):
    process = begun(tmp_path, "run", "run_dir=run")
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)  # another one, since two of a kind that wait are one
    _, err = process.communicate(timeout=300)
    assert process.returncode in (128 + signal.SIGTERM, 128 + signal.SIGINT), err
    assert not (tmp_path / "on").exists()
    assert "Traceback" not in err
    check_free(tmp_path / "run")


def test_a_check_says_how_far_it_is_and_leaves_nothing(tmp_path):
    process = begun(tmp_path, "check", "run_dir=run")
    before = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".rehearsal-")}
    process.send_signal(signal.SIGTERM)
    (tmp_path / "on").touch()
    _, err = ended(process, signal.SIGTERM)
    assert "founder 1 of 2: 120 of 1,437 datapoints" in err
    assert {path.name for path in tmp_path.iterdir()} == before | {"on"}


def test_founders_are_scored_on_the_test_split(tmp_path):
    process = begun(tmp_path, "run", "run_dir=run", split="test")
    process.send_signal(signal.SIGTERM)
    (tmp_path / "on").touch()
    _, err = ended(process, signal.SIGTERM)
    assert "nothing had begun" in err
    check_free(tmp_path / "run")


def test_a_new_best_is_scored_on_the_test_split(tmp_path):
    """Its birth is not decided by then, and a resume raises it again: the run is the one that was never stopped."""
    process = begun(tmp_path, "run", "run_dir=run", split="test", at=8)
    process.send_signal(signal.SIGTERM)
    (tmp_path / "on").touch()
    _, err = ended(process, signal.SIGTERM)
    assert "evomerge resume" in err
    path = PATH
    for command in (("resume", "run"), ("run", "config.yaml", "run_dir=whole")):
        process = start(*command, cwd=tmp_path, path=path)
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
    assert log_of(tmp_path / "run") == log_of(tmp_path / "whole")


def test_the_best_member_answers_at_the_end(tmp_path):
    process = begun(tmp_path, "run", "run_dir=run", split="explain", at=1)
    process.send_signal(signal.SIGTERM)
    (tmp_path / "on").touch()
    _, err = ended(process, signal.SIGTERM)
    assert "stopped at the end, all births are decided" in err
    assert not (tmp_path / "run" / "best").exists()
    process = start("resume", "run", cwd=tmp_path, path=PATH)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert (tmp_path / "run" / "best" / "README.md").is_file()


def test_a_birth_is_raised(tmp_path):
    process = begun(tmp_path, "run", "run_dir=run", "lookahead=2", at=40)
    process.send_signal(signal.SIGTERM)
    (tmp_path / "on").touch()
    _, err = ended(process, signal.SIGTERM)
    assert "go on with `evomerge resume" in err


def test_what_a_fitness_forks_ends_by_a_signal(tmp_path):
    process = begun(tmp_path, "run", "run_dir=run", name="Forking")
    process.send_signal(signal.SIGTERM)
    (tmp_path / "on").touch()
    ended(process, signal.SIGTERM)


def test_another_run_cannot_begin_while_founders_are_scored(tmp_path):
    process = begun(tmp_path, "run", "run_dir=run")
    other = start(
        "run",
        "config.yaml",
        "run_dir=run",
        cwd=tmp_path,
        path=PATH,
    )
    _, err = other.communicate(timeout=300)
    assert other.returncode == 2
    assert "another process is using this run directory" in err
    assert free_name(tmp_path / "run") == tmp_path / "run-2"
    (tmp_path / "on").touch()
    _, err = process.communicate(timeout=300)
    assert process.returncode == 0, err


def test_a_stage_that_says_nothing_is_told_and_a_block_can_be_unheard(caplog, monkeypatch):
    monkeypatch.setattr("evomerge.run.between.SOON", 0.0)
    caplog.set_level("INFO")
    with StopRequest() as request:
        between = Between(request)
        with between.alone(), between.stage("making the founders"):
            while not re.search(r"making the founders: [\d:]+ so far", caplog.text):
                time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        with between.unheard():
            between(1)
        with pytest.raises(Stopped):
            between(0)
