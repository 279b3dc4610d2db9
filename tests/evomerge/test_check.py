"""evomerge check: what a run will need, and that nothing is left of the rehearsal."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from evomerge import memory
from evomerge.check import needs
from evomerge.check.batches import batch_line
from evomerge.check.rehearsal import bytes_in
from evomerge.cli import main
from evomerge.run.parts import Parts
from evomerge.run.settings import Settings
from fitness.combined import Combined
from populations import skills
from populations.llm import LanguageModels

pytestmark = pytest.mark.whole

DIGITS = {
    "population": {
        "_target_": "populations.mnist.Classifiers",
        "data": {"_target_": "fitness.images.SklearnDigits"},
    },
    "fitness": {
        "_target_": "fitness.classification.Classification",
        "data": {"_target_": "fitness.images.SklearnDigits"},
    },
    "births": 300,
}
LLAMAS = {
    "population": {
        "_target_": "populations.llm.LanguageModels",
        "seeds": [
            {"_target_": "populations.skills.folder", "name": name}
            for name in ("arithmetic", "shopping")
        ],
    },
    "fitness": {
        "_target_": "fitness.questions.QuestionAnswering",
        "data": {"_target_": "fitness.skills.Arithmetic", "train": 20, "test": 10},
        "template": "{question} = ",
    },
    "births": 4,
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    return tmp_path


def config(given, **changes):
    with open("config.yaml", "w") as file:
        yaml.safe_dump(given | changes, file)
    return "config.yaml"


def figures(text):
    """The lines of a check by what they are about."""
    return {line.split()[0]: line for line in text.splitlines()}


def test_the_rehearsal_is_the_run_and_leaves_nothing(place, capsys):
    assert main(["check", config(DIGITS), "run_dir=deep/er/run"]) == 0
    said = figures(capsys.readouterr().out)
    assert said["rehearsal"].startswith("rehearsal    60 births")
    assert "300 births" in said["time"]
    assert said["disk"].endswith(f"free in {place}")
    assert said["yes,"] == "yes, this can run"
    assert [path.name for path in place.iterdir()] == ["config.yaml"]


def test_memory_and_disk_are_what_the_run_then_takes(place):
    def evomerge(command):
        done = subprocess.run(
            [sys.executable, "-m", "evomerge", *command.split()],
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    said = figures(evomerge(f"check {config(DIGITS, births=400)}"))
    evomerge("run config.yaml run_dir=run")
    summary = json.loads((place / "run" / "summary.json").read_text())
    memory, disk = (
        1e6 * float(re.search(r" ([\d.]+) MB of", said[name])[1]) for name in ("memory", "disk")
    )
    assert memory == pytest.approx(summary["peak_memory"], rel=0.15)
    on_disk = bytes_in(place / "run")
    assert on_disk <= disk <= 3 * on_disk  # it may have had up to three snapshots on the way


def test_a_model_that_has_no_room_is_never_loaded(place, monkeypatch, capsys):
    monkeypatch.setattr(memory, "room", lambda: 100_000)
    monkeypatch.setattr(LanguageModels, "founders", lambda *_: pytest.fail("a weight was read"))
    assert main(["check", config(LLAMAS)]) == 1
    output = capsys.readouterr()
    assert "one model 469 kB" in output.out
    assert "no, this cannot run here" in output.err
    assert "memory: the model needs 469 kB, there are 100 kB" in output.err


def test_so_is_one_whose_best_has_no_room_on_the_disk(place, monkeypatch, capsys):
    monkeypatch.setattr(needs.shutil, "disk_usage", lambda _: namedtuple("Usage", "free")(1000))
    assert main(["check", config(LLAMAS)]) == 1
    assert f"disk: the best member needs 469 kB, {place} has 1 kB free" in capsys.readouterr().err


def test_what_a_rehearsal_takes_can_be_too_much(place, monkeypatch, capsys):
    monkeypatch.setattr(memory, "room", lambda: 50_000_000)
    assert main(["check", config(DIGITS)]) == 1
    assert re.search(
        r"memory: the run needs [\d.]+ [MG]B here, there are 50 MB", capsys.readouterr().err
    )


def test_a_footprint_is_what_is_then_loaded():
    population = LanguageModels(
        [skills.folder("arithmetic"), skills.folder("shopping")], dtype="bfloat16"
    )
    told = population.footprint()
    assert "_kept" not in vars(population)
    model = population.express(population.founders(None)[0]).model
    assert told["model"] == sum(p.numel() * p.element_size() for p in model.parameters())
    assert told["gpu"] == torch.cuda.is_available()


class Moody:
    """Fails with every child after the founders."""

    def __init__(self):
        self.calls = 0

    def size(self, split):
        return 4 if split == "train" else 0

    def __call__(self, model, datapoints, split):
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("no more")
        return [0.5] * len(datapoints)


def test_births_that_all_fail_are_the_configs_fault(place, capsys):
    assert (
        main(["check", config(DIGITS, fitness={"_target_": f"{__name__}.Moody"}, births=10)]) == 2
    )
    said = capsys.readouterr().err
    assert "evomerge: the first birth failed: RuntimeError: no more" in said
    assert "resume" not in said
    assert len(list(place.iterdir())) == 1


def test_a_server_hears_nothing_of_a_rehearsal(place, capsys):
    tracker = {"_target_": "evomerge.Wandb", "project": "mine", "mode": "offline"}
    assert main(["check", config(DIGITS, births=20, trackers=[tracker])]) == 0
    assert [path.name for path in place.iterdir()] == ["config.yaml"]
    capsys.readouterr()


def test_each_worker_on_ray_tells_its_memory(place, capsys, cluster):
    assert (
        main(
            [
                "check",
                config(
                    DIGITS, births=20, lookahead=4, workers={"_target_": "evomerge.Ray", "count": 2}
                ),
            ]
        )
        == 0
    )
    told = re.search(
        r": ([\d.]+) MB a worker, [\d.]+ [MG]B the process",
        figures(capsys.readouterr().out)["memory"],
    )
    assert told is not None
    assert 100 < float(told[1]) < 1000


def test_what_a_container_may_have_counts(tmp_path, monkeypatch):
    before, place = memory.room(), tmp_path / "job_7"
    place.mkdir()
    (tmp_path / "mine").write_text("0::/job_7/step_0\n")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    monkeypatch.setattr(memory, "MINE", tmp_path / "mine")

    def room(limit, files):
        (place / "memory.max").write_text(f"{limit}\n")
        (place / "memory.current").write_text("999000000\n")
        (place / "memory.stat").write_text(f"anon 1\ninactive_file {files}\n")
        return memory.room()

    assert room(1_000_000_000, files=0) < before - 10_000_000
    assert room(1_000_000_000, files=500_000_000) - room(1_000_000_000, files=0) == pytest.approx(
        500_000_000, rel=0.1
    )
    assert room("max", files=0) == pytest.approx(before, rel=0.2)


def test_a_place_that_the_run_will_not_get_is_told_at_once(place, capsys):
    assert main(["run", config(DIGITS, births=2), "run_dir=taken"]) == 0
    for run_dir, said in (
        ("taken", "there is a run in it already"),
        ("config.yaml/run", "config.yaml"),
        ("5", "expected a path, got 5"),
    ):
        assert main(["check", "config.yaml", f"run_dir={run_dir}"]) == 2
        assert said in capsys.readouterr().err


def test_hours_say_how_many_births_there_will_be(place, capsys):
    assert (
        main(["check", "--seconds", "1", config(DIGITS), "births=1000000000", "hours=0.001"]) == 0
    )
    said = figures(capsys.readouterr().out)
    assert "0.001 hours, in which there are about" in said["time"]
    assert re.search(r" [\d.]+ [kM]B of ", said["disk"])
    assert float(re.search(r" ([\d.]+) [MG]B of ", said["memory"])[1]) < 1000


def test_seconds_are_some(place, capsys):
    for text in ("0", "-1", "nan", "1e-9"):
        assert main(["check", "--seconds", text, config(DIGITS)]) == 2
        assert "--seconds: expected a number of at least 0.1" in capsys.readouterr().err


def test_a_terminal_that_goes_away_leaves_nothing(place):
    command = [
        sys.executable,
        "-m",
        "evomerge",
        "check",
        config(DIGITS, births=10**6),
        "--seconds",
        "60",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    while not list(place.glob(".rehearsal-*/run/births.jsonl")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGHUP)
    assert process.wait(1800) == 128 + signal.SIGHUP
    assert [path.name for path in place.iterdir()] == ["config.yaml"]


class HalfMoody(Moody):
    """Fails with every other child."""

    def __call__(self, model, datapoints, split):
        self.calls += 1
        if self.calls > 2 and self.calls % 2:
            raise RuntimeError("not \x1b[31mnow")
        return [0.5] * len(datapoints)


def test_births_of_which_some_fail_are_a_yes_with_a_doubt(place, capsys):
    assert (
        main(["check", config(DIGITS, fitness={"_target_": f"{__name__}.HalfMoody"}, births=50)])
        == 0
    )
    said = capsys.readouterr().out
    assert "yes, this can run; but 5 of 10 births failed" in said
    assert "\x1b" not in said


def parts_of(*counts, batch=64, tile=128):
    """What `check` sees of a run whose parts have so many datapoints, or of one that is no sum."""
    parts = [SimpleNamespace(size=lambda split, n=n: n, batch=batch) for n in counts]
    fitness = parts[0]
    if len(parts) > 1:
        fitness = Combined(parts, names=[f"part {n}" for n in counts])
    return run_of(fitness, sum(counts), tile)


def run_of(fitness, size, tile):
    """The parts of a run, as far as `batch_line` looks at them."""
    return Parts(
        population=None,
        fitness=fitness,
        strategy=None,
        workers=None,
        settings=Settings(births=1, tile=tile),
        sizes={"train": size},
        axis=None,
        folder=Path(),
    )


@pytest.mark.parametrize(
    ("parts", "line"),
    [
        (parts_of(100, 300, tile=400), "part 100 64, part 300 64 datapoints at once"),
        (parts_of(100, 300, tile=200), "part 100 64, part 300 64 datapoints at once"),
        (
            parts_of(100, 101, 102, tile=70),
            "part 100 50, part 101 51, part 102 51 datapoints at once",
        ),
        (
            parts_of(100, 300, tile=50),
            "part 100 50, part 300 50 of 64 datapoints at once; a tile of 50 has no more, a larger `tile` has",
        ),
        (parts_of(10, 300, tile=400), "part 10 10, part 300 64 datapoints at once"),
        (parts_of(500, tile=500), "64 datapoints at once"),
        (
            parts_of(500, batch=256),
            "125 of 256 datapoints at once; a tile of 125 has no more, a larger `tile` has",
        ),
        (run_of(1, 5, 2), None),
    ],
)
def test_how_many_datapoints_a_model_reads_at_once(parts, line):
    """A tile has whole batches of each part, so only a tile below a batch cuts it."""
    assert batch_line(parts) == (line and f"batch        {line}")


def test_check_says_how_many_datapoints_a_model_reads_at_once(place, capsys):
    assert main(["check", config(LLAMAS, tile=8), "--seconds", "0.1"]) == 0
    assert "batch        7 of 20 datapoints at once; a tile of 7" in capsys.readouterr().out
