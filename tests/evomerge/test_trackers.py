"""Trackers: a run's numbers in TensorBoard, Weights & Biases and MLflow, none of which needs a network here."""

import json
import logging

import pytest
from whole_runs import assert_same_run, log_of, small_run, start, write_config

from evomerge import MLflow, TensorBoard, Wandb


def scalars(run_dir):
    """What TensorBoard reads: by name (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {tag: [(event.step, event.value) for event in found.Scalars(tag)] for tag in found.Tags()["scalars"]}


def bests(run_dir):
    """What the log says of those that became best: (birth, training score)."""
    return [(entry["birth"], entry["train"]) for entry in log_of(run_dir) if entry.get("best") and "founder" not in entry]


def test_event_files_are_there_by_default_and_have_every_best(tmp_path):
    small_run(tmp_path / "run", births=80)
    told = scalars(tmp_path / "run")
    assert {"best/train", "best/test", "archive/coverage", "archive/entropy", "birth/scored", "run/births_per_second"} <= set(
        told
    )
    values = dict(told["best/train"])
    for birth, train in bests(tmp_path / "run"):
        assert values[birth] == pytest.approx(train)
    last = log_of(tmp_path / "run")[-1]
    assert told["archive/coverage"][-1] == (80, pytest.approx(last["coverage"]))


def test_no_trackers_no_files_and_the_same_run(tmp_path):
    small_run(tmp_path / "with", births=40)
    small_run(tmp_path / "without", births=40, trackers=[])
    assert not (tmp_path / "without" / "tensorboard").exists()
    assert_same_run(tmp_path / "with", tmp_path / "without")


def test_a_resume_strikes_out_what_was_not_kept(tmp_path):
    small_run(tmp_path / "run", births=30)
    small_run(tmp_path / "run", births=60, resume=True)
    steps = [step for step, _ in scalars(tmp_path / "run")["best/train"]]
    assert steps == sorted(steps)
    assert 30 in steps
    assert steps[-1] == 60


def test_one_line_of_a_config_is_weights_and_biases_offline(tmp_path):
    tracker = {"_target_": "evomerge.Wandb", "project": "tests", "mode": "offline"}
    config = write_config(tmp_path, births=30, trackers=[tracker])
    for command in (("run", config, "run_dir=mine"), ("resume", "mine", "births=40")):
        process = start(*command, cwd=tmp_path)
        _, told = process.communicate()
        assert process.returncode == 0, told
        assert "left out" not in told
    runs = sorted((tmp_path / "mine" / "wandb").glob("offline-run-*"))
    assert len({run.name.rpartition("-")[2] for run in runs}) == 1  # the same run, gone on with
    assert all(list(run.glob("*.wandb")) for run in runs)
    content = b"".join(file.read_bytes() for run in runs for file in run.glob("*.wandb"))
    assert b"best/train" in content
    assert b"archive/coverage" in content
    assert not (tmp_path / "mine" / "tensorboard").exists()


def test_mlflow_has_settings_and_curves_and_goes_on_in_its_run(tmp_path, monkeypatch):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder will do here
    place = (tmp_path / "mlruns").as_uri()
    tracker = MLflow("tests", place)
    small_run(tmp_path / "run", births=30, trackers=[tracker])
    small_run(tmp_path / "run", births=60, trackers=[MLflow("tests", place)], resume=True)
    client = MlflowClient(place)
    [run] = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert run.info.run_name == "run"
    assert run.info.status == "FINISHED"
    assert run.data.params["strategy.size"] == "8"
    history = {(metric.step, metric.value) for metric in client.get_metric_history(run.info.run_id, "best/train")}
    assert set(bests(tmp_path / "run")) <= history
    assert max(step for step, _ in history) == 60


class Broken:
    """A tracker whose server is gone, from its n-th call on."""

    def __init__(self, good=0):
        self.good = good

    def _call(self, *_):
        self.good -= 1
        if self.good < 0:
            raise ConnectionError("nobody answers")

    begin = put = _call

    def end(self):
        self._call()


@pytest.mark.parametrize("good", [0, 1, 3])
def test_a_tracker_that_fails_costs_its_curves_only(tmp_path, caplog, good):
    with caplog.at_level(logging.WARNING):
        small_run(tmp_path / "run", births=60, trackers=[Broken(good), TensorBoard()])
    assert caplog.text.count("Broken is left out from here on: ConnectionError: nobody answers") == 1
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["births"] == 60
    assert scalars(tmp_path / "run")["best/train"][-1][0] == 60


def test_wrong_settings_are_told():
    with pytest.raises(ValueError, match="mode: expected 'online', 'offline' or 'disabled', got 'off'"):
        Wandb("tests", mode="off")
