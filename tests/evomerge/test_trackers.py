"""Trackers: a run's numbers in TensorBoard, Weights & Biases and MLflow, none of which needs a network here."""

import json
import logging
import shutil
import signal
import threading

import pytest
from local_servers import answering, closed, mute
from whole_runs import assert_same_run, log_of, small_run, start, wait_for_births, write_config

from evomerge import MLflow, TensorBoard, Wandb
from evomerge.run import tracking
from evomerge.rundir import identity
from evomerge.rundir.places import IDENTITY
from evomerge.rundir.rundir import RunDir

pytestmark = pytest.mark.whole


def scalars(run_dir):
    """What TensorBoard reads: by name (step, value)."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(run_dir / "tensorboard"), size_guidance={"scalars": 0})
    found.Reload()
    return {
        tag: [(event.step, event.value) for event in found.Scalars(tag)]
        for tag in found.Tags()["scalars"]
    }


def bests(run_dir):
    """What the log says of those that became best: (birth, training score)."""
    return [
        (entry["birth"], entry["train"])
        for entry in log_of(run_dir)
        if entry.get("best") and "founder" not in entry
    ]


def test_event_files_are_there_by_default_and_have_every_best(tmp_path):
    small_run(tmp_path / "run", births=80)
    told = scalars(tmp_path / "run")
    assert {
        "best/train",
        "best/test",
        "archive/coverage",
        "archive/entropy",
        "birth/scored",
        "run/births_per_second",
    } <= set(told)
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
    history = {
        (metric.step, metric.value)
        for metric in client.get_metric_history(run.info.run_id, "best/train")
    }
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
    assert (
        caplog.text.count("Broken is left out from here on: ConnectionError: nobody answers") == 1
    )
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["births"] == 60
    assert scalars(tmp_path / "run")["best/train"][-1][0] == 60


@pytest.mark.parametrize("name", ["a/b", "a\\b", "what?", "100%", "a#1", "a:b"])
def test_a_project_that_weights_and_biases_does_not_take_is_told_at_once(name):
    with pytest.raises(ValueError, match=r"project: Weights & Biases takes no . in a name, got"):
        Wandb(name)


def test_wrong_settings_are_told():
    with pytest.raises(
        ValueError, match="project: Weights & Biases takes at most 128 characters, got 129"
    ):
        Wandb("x" * 129)
    with pytest.raises(
        ValueError, match="mode: expected 'online', 'offline' or 'disabled', got 'off'"
    ):
        Wandb("tests", mode="off")


class Names:
    """A tracker that notes by what name it knows each run that it is given."""

    def __init__(self):
        self.names = []

    def begin(self, path, call, birth):
        self.names.append(identity.read(path))

    def put(self, birth, numbers):
        pass

    end = print


def name_of(run_dir, *, births, resume=False):
    """How a run is known to its trackers, when it has gone on to so many births."""
    names = Names()
    small_run(run_dir, births=births, resume=resume, trackers=[names])
    [name] = names.names
    return name


def test_a_run_is_known_again_wherever_it_goes_and_no_other_is_taken_for_it(tmp_path, caplog):
    one = name_of(tmp_path / "run", births=5)
    assert name_of(tmp_path / "run", births=6, resume=True) == one
    (tmp_path / "run").rename(tmp_path / "moved")
    two = name_of(tmp_path / "run", births=5)  # another, where it was
    assert two != one
    assert name_of(tmp_path / "moved", births=7, resume=True) == one
    assert "a copy of" not in caplog.text
    shutil.copytree(tmp_path / "moved", tmp_path / "copy")
    copy = name_of(tmp_path / "copy", births=8, resume=True)
    assert f"{tmp_path}/copy: a copy of {tmp_path}/moved, where that run still is" in caplog.text
    assert copy not in (one, two)
    assert name_of(tmp_path / "copy", births=9, resume=True) == copy
    assert name_of(tmp_path / "moved", births=8, resume=True) == one
    shutil.rmtree(tmp_path / "run")
    assert name_of(tmp_path / "run", births=5) not in (one, two, copy)
    assert_same_run(tmp_path / "moved", tmp_path / "moved")


def test_a_run_by_way_of_a_link_is_no_copy(tmp_path, caplog):
    one = name_of(tmp_path / "run", births=5)
    (tmp_path / "link").symlink_to("run")
    assert name_of(tmp_path / "link", births=6, resume=True) == one
    assert "a copy of" not in caplog.text


def test_the_identity_is_no_part_of_what_a_run_is(tmp_path):
    assert name_of(tmp_path / "one", births=20) != name_of(tmp_path / "two", births=20)
    assert_same_run(tmp_path / "one", tmp_path / "two")
    name = identity.read(tmp_path / "one")
    files = [
        path
        for path in (tmp_path / "one").rglob("*")
        if path.is_file() and name.encode() in path.read_bytes()
    ]
    assert files == [tmp_path / "one" / IDENTITY]


def test_what_a_beginning_left_is_no_identity_of_the_next(tmp_path):
    RunDir.create(tmp_path / "run").close()
    before = identity.read(tmp_path / "run")
    assert name_of(tmp_path / "run", births=5) != before


@pytest.mark.parametrize(
    "content",
    [None, "", "{}", '{"id": 5, "path": "x"}', "[1]", '{"id": "../../../../etc/", "path": "x"}'],
)
def test_a_run_without_an_identity_goes_on_by_its_path(tmp_path, content):
    """As versions of evomerge had it that kept none."""
    name_of(tmp_path / "run", births=5)
    file = tmp_path / "run" / IDENTITY
    if content is None:
        file.unlink()
    else:
        file.write_text(content)
    assert name_of(tmp_path / "run", births=6, resume=True) == identity.from_path(tmp_path / "run")
    (tmp_path / "run").rename(tmp_path / "moved")
    assert name_of(tmp_path / "moved", births=7, resume=True) == identity.from_path(
        tmp_path / "run"
    )


HARD = [
    "it's",
    'say "hi"',
    """both ' and \"""",
    "100% #1 ?&",
    "näme 名前",
    "two\nlines",
    "\udcff is no character",
    "a `b` \\ c",
]


@pytest.mark.parametrize("name", HARD, ids=range(len(HARD)))
def test_mlflow_takes_every_path_and_key_and_goes_on_in_its_run(
    tmp_path, monkeypatch, caplog, name
):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place, path = (tmp_path / "mlruns").as_uri(), tmp_path / name
    call = {"population": {name: 1, "a/b": 2, "a:b": 3, "a_b": 4, "x" * 300: "y" * 9000}}
    path.mkdir()
    identity.make(path)
    for birth in (0, 0, 7):  # begun, killed before its first birth, and later
        tracker = MLflow("tests", place)
        tracker.begin(path, call, birth)
        tracker.end()
    client = MlflowClient(place)
    [run] = client.search_runs([client.get_experiment_by_name("tests").experiment_id])
    assert len(run.data.params) == 5
    assert {"2", "3", "4"} <= set(run.data.params.values())


@pytest.mark.parametrize("name", ["plain", "it's", 'say "hi"', "100% #1"])
def test_mlflow_knows_a_run_of_before_by_its_path_and_then_by_its_identity(
    tmp_path, monkeypatch, name
):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    place, path = (tmp_path / "mlruns").as_uri(), tmp_path / name
    path.mkdir()
    client = MlflowClient(place)
    experiment = client.create_experiment("tests")
    client.create_run(experiment, tags={"evomerge_run": str(tmp_path / "another")})
    before = client.create_run(experiment, tags={"evomerge_run": str(path)}).info.run_id
    for folder in (path, tmp_path / "moved"):
        identity.keep(folder)
        tracker = MLflow("tests", place)
        tracker.begin(folder, {}, 5)
        tracker.put(5, {"best/train": 0.5})
        tracker.end()
        if folder == path:
            path.rename(tmp_path / "moved")
    assert len(client.search_runs([experiment])) == 2
    assert client.get_run(before).data.metrics == {"best/train": 0.5}


@pytest.mark.parametrize("name", ["it's", "100% #1 ?&", "two\nlines"])
def test_weights_and_biases_takes_every_path(tmp_path, name):
    (tmp_path / name).mkdir()
    tracker = {"_target_": "evomerge.Wandb", "project": 'it\'s "mine"', "mode": "offline"}
    process = start(
        "run",
        write_config(tmp_path, births=5, trackers=[tracker], run_dir=str(tmp_path / name)),
        cwd=tmp_path,
    )
    told = process.communicate()[1]
    assert process.returncode == 0, told
    assert "left out" not in told
    assert (
        len(
            list(
                (tmp_path / name / "wandb").glob(
                    f"offline-run-*-{identity.read(tmp_path / name)}/*.wandb"
                )
            )
        )
        == 1
    )


def error(_path, _content):
    return 500


SERVERS = {"mute": mute, "closed": closed, "error": lambda: answering(error)}


@pytest.mark.parametrize("kind", SERVERS)
@pytest.mark.parametrize("which", ["MLflow", "Wandb"])
def test_a_server_that_is_not_there_costs_the_curves_only(tmp_path, which, kind):
    with SERVERS[kind]() as address:
        if which == "MLflow":
            tracker = {"_target_": "evomerge.MLflow", "tracking_uri": address}
        else:
            tracker = {"_target_": "evomerge.Wandb", "project": "tests", "mode": "online"}
        environment = {"WANDB_BASE_URL": address, "WANDB_API_KEY": "0" * 40}
        with pytest.MonkeyPatch.context() as patch:
            for key, value in environment.items():
                patch.setenv(key, value)
            config = write_config(tmp_path, births=30, trackers=[tracker])
            process = start("run", config, "run_dir=run", cwd=tmp_path)
        told = process.communicate()[1]  # while the server is still there, and mute
    assert process.returncode == 0, told
    assert told.count(f"{which} is left out from here on: ") == 1
    assert "Traceback" not in told
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["births"] == 30


class Mlflows:
    """As much of MLflow's server as a run needs, which goes mute when it has taken so many numbers."""

    def __init__(self, batches):
        self.left, self.gone = batches, threading.Event()

    def __call__(self, path, content):
        if self.gone.is_set():
            return None
        kind = path.partition("/mlflow/")[2]
        if kind == "runs/log-batch" and content.get("metrics"):
            self.left -= 1
            if self.left < 0:
                self.gone.set()
                return None
        experiment = {"experiment": {"experiment_id": "1", "name": "evomerge"}}
        run = {"info": {"run_id": "a" * 32, "experiment_id": "1", "status": "RUNNING"}, "data": {}}
        answers = {
            "experiments/get-by-name": experiment,
            "runs/create": {"run": run},
            "runs/update": {"run_info": run["info"]},
        }
        return answers.get(kind, {})


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_a_server_that_goes_mute_holds_up_neither_births_nor_a_signal(tmp_path, batches):
    server = Mlflows(batches)
    with answering(server) as address:
        config = write_config(
            tmp_path,
            births=10**6,
            trackers=[{"_target_": "evomerge.MLflow", "tracking_uri": address}],
        )
        process = start("run", config, "run_dir=run", cwd=tmp_path)
        assert server.gone.wait(300)
        wait_for_births(process, tmp_path / "run", len(log_of(tmp_path / "run")) + 50)
        process.send_signal(signal.SIGTERM)
        told = process.communicate()[1]
    assert process.returncode == 128 + signal.SIGTERM, told
    assert told.count("MLflow is left out from here on: no answer for ") == 1
    assert "Traceback" not in told


class Stuck:
    """A tracker whose server says nothing until it is let go."""

    def __init__(self):
        self.let_go, self.reached = threading.Event(), threading.Event()

    def begin(self, path, call, birth):
        self.reached.set()
        self.let_go.wait()

    put = end = begin


def test_one_that_does_not_answer_keeps_no_other_from_its_curves(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(tracking, "BEGINNING", 0.1)
    monkeypatch.setattr(tracking, "ANSWER", 0.5)
    stuck, broken = Stuck(), Broken(2)
    small_run(tmp_path / "run", births=60, trackers=[stuck, broken, TensorBoard()])
    stuck.let_go.set()
    assert caplog.text.count("Stuck is left out from here on: no answer for ") == 1
    assert caplog.text.count("Broken is left out from here on: ConnectionError") == 1


def test_a_tracker_that_does_not_answer_is_left_out_while_the_run_goes_on(
    tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(tracking, "BEGINNING", 0.01)
    monkeypatch.setattr(tracking, "SILENCE", 0.0)
    stuck = Stuck()
    small_run(tmp_path / "run", births=60, trackers=[stuck])
    assert stuck.reached.is_set()
    stuck.let_go.set()
    assert caplog.text.count("Stuck is left out from here on: no answer for ") == 1
