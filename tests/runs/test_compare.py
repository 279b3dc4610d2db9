"""evomerge compare through the real command: what it leaves, and what it goes on with."""

import csv
import io
import json
import logging
import math
import re
import shutil
import signal
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from html import escape, unescape
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree

import psutil
import pytest
import torch
from safetensors.torch import save_file
from whole_runs import assert_same_run, log_of, start, wait_for_births, write_config

from evomerge import UserError
from evomerge.cli import main
from evomerge.compare import side_by_side
from evomerge.compare.plan import plan
from evomerge.compare.rows import Run
from evomerge.intervals import Mean
from evomerge.rundir.births import read_births
from evomerge.rundir.snapshots import read_snapshot

HOSTILE = "tuned <img src=x onerror=alert(1)> & |co|"
"""A row's name that a page would run if it let it."""

SEED = "<script>alert(1)<{}.safetensors"
"""Seeds that are not there at first, of a name that the reason of the failure has in it."""

COMPARE = ("compare", "good.yaml", f"{HOSTILE}.yaml")
OPTIONS = ("--jobs", "2", "--out", "out", "--seeds", "0")
ROWS = ("good", HOSTILE, "best seed", "sweep")
FILES = {
    "comparison.json",
    "report.html",
    "table.csv",
    "table.md",
    "curves.csv",
    "score.svg",
    "coverage.svg",
    "entropy.svg",
}
PATIENCE = 1800
"""Seconds that a test waits for processes, on however busy a machine."""

BIRTHS = 300
"""Of the run that is stopped."""

SLOW = """
import time
from fitness.classification import Classification

class Slow(Classification):
    def score_many(self, models, datapoints, split):
        time.sleep(0.008)
        return super().score_many(models, datapoints, split)
"""


class Page(HTMLParser):
    """The tags and the text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.texts = [], []
        self.feed(path.read_text())
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)

    def handle_data(self, data):
        self.texts.append(data.strip())


def evomerge(folder, *arguments):
    """A command in this process, with its own child processes where it has some."""
    out, err, handlers = io.StringIO(), io.StringIO(), logging.root.handlers[:]
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "path", sys.path[:])
        code = main([str(argument) for argument in arguments])
    logging.root.handlers[:] = handlers
    return SimpleNamespace(folder=folder, code=code, out=out.getvalue(), err=err.getvalue())


def begun(ended):
    """The runs that a command began, in order."""
    return re.findall(r"^\S+ (.*) begins, ", ended.err, re.MULTILINE)


def run_of(folder, row, seed):
    """The directory of a run in `out`, as comparison.json has it."""
    rows = json.loads((folder / "out" / "comparison.json").read_text())
    return (Path(rows[row][0]).parent if row in rows else Path("out") / row) / str(seed)


def table(folder):
    """The lines of table.csv."""
    with open(folder / "table.csv", newline="") as file:
        return list(csv.DictReader(file))


def rows_of(folder):
    """The cells of table.md by row and column."""
    lines = [
        re.split(r" *(?<!\\)\| *", line)[1:-1]
        for line in (folder / "table.md").read_text().splitlines()
    ]
    head, _, *body = [[unescape(cell).replace("\\|", "|") for cell in line] for line in lines]
    return {cells[0]: dict(zip(head, cells, strict=True)) for cells in body}


def contents(folder):
    """Every file and folder below, with its bytes."""
    return {
        path.relative_to(folder): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def bests(run, births=10**9):
    """The log's lines of those that became best."""
    return [entry for entry in read_births(run) if entry.get("best") and entry["birth"] <= births]


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """A comparison of two rows, one of which fails, as its first command left it."""
    folder = tmp_path_factory.mktemp("compared")
    config = {"births": 60, "tile": 2000, "strategy": {"size": 4, "mutation": 0.01}}
    write_config(folder, **config).rename(folder / "good.yaml")
    population = {"seeds": [SEED.format("a"), SEED.format("b")]}
    (folder / f"{HOSTILE}.yaml").write_text(
        json.dumps({"_base_": "good.yaml", "population": population})
    )
    process = start(*COMPARE, *OPTIONS, cwd=folder)
    out, err = process.communicate(timeout=PATIENCE)
    return SimpleNamespace(folder=folder, code=process.returncode, out=out, err=err)


@pytest.fixture(scope="module")
def repaired(compared, tmp_path_factory):
    """The same command again, where what was missing is there."""
    folder = shutil.copytree(compared.folder, tmp_path_factory.mktemp("repaired") / "copy")
    rng = torch.Generator().manual_seed(0)
    for name in "ab":
        shapes = {"0.weight": (16, 64), "0.bias": (16,), "2.weight": (10, 16), "2.bias": (10,)}
        save_file(
            {key: 0.1 * torch.randn(shape, generator=rng) for key, shape in shapes.items()},
            folder / SEED.format(name),
        )
    return evomerge(folder, *COMPARE, *OPTIONS)


@pytest.fixture(scope="module")
def seeded(repaired, tmp_path_factory):
    """The same with a second random seed, whose runs were made by hand."""
    folder = shutil.copytree(repaired.folder, tmp_path_factory.mktemp("seeded") / "copy")
    for row in ("good", HOSTILE, "sweep"):
        one, other = (run_of(folder, row, seed) for seed in (0, 1))
        assert evomerge(folder, "run", f"{one}.yaml", "seed=1", f"run_dir={other}").code == 0
    return evomerge(folder, *COMPARE, *OPTIONS, "1")


@pytest.fixture
def place(seeded, tmp_path):
    """A copy of it that a test may spoil."""
    return shutil.copytree(seeded.folder, tmp_path / "place")


def test_a_row_that_fails_says_why_and_costs_no_other(compared):
    assert compared.code == 1, compared.err
    assert "Traceback" not in compared.err
    assert (
        "evomerge: some runs failed, the table has their reasons; the same command tries them again"
        in compared.err
    )
    reason = (
        "population: seeds: expected a safetensors file, "
        f"there is no file {SEED.format('a')} (exit code 2)"
    )
    lines = table(compared.folder / "out")
    assert [(line["row"], line["seed"]) for line in lines] == [(row, "0") for row in ROWS]
    assert [line["failed"] for line in lines] == ["", reason, "", ""]
    assert [line["test"] == "" for line in lines] == [False, True, False, False]
    assert f"seed 0: {reason}" in compared.out
    assert rows_of(compared.folder / "out")[HOSTILE]["failed"] == f"seed 0: {reason}"
    assert f"seed 0: {reason}" in Page(compared.folder / "out" / "report.html").texts


def events(told):
    """What became of runs, in order."""
    return re.findall(r"(begins|has ended|exit code 2)(?:, |: |\)$)", told, re.MULTILINE)


def test_runs_go_on_side_by_side(compared):
    """The two searches at once, then the sweep, by when the founders are known."""
    first, second, *later = events(compared.err)
    assert (first, second) == ("begins", "begins")
    assert sorted(later[:2]) == ["exit code 2", "has ended"]
    assert later[2:] == ["begins", "has ended"]
    assert begun(compared) == [
        str(run_of(compared.folder, row, 0)) for row in ("good", HOSTILE, "sweep")
    ]


def test_runs_side_by_side_are_the_runs_that_each_is_alone(compared, tmp_path):
    run = compared.folder / "out" / "good" / "0"
    alone = evomerge(tmp_path, "run", run.with_name("0.yaml"), "run_dir=alone")
    assert alone.code == 0, alone.err
    assert_same_run(run, tmp_path / "alone")


def test_all_files_are_there(compared, seeded):
    for ended in (compared, seeded):
        out = ended.folder / "out"
        assert {path.name for path in out.iterdir() if path.is_file()} == FILES
        folders = {run_of(out.parent, row, 0).parent.name for row in ("good", HOSTILE, "sweep")}
        assert {path.name for path in out.iterdir() if path.is_dir()} == folders
        assert "report: out/report.html" in ended.out
        for name in ("score", "coverage", "entropy"):
            text = (out / f"{name}.svg").read_text()
            assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
            assert "var(--" not in text
    texts = [
        "".join(text.itertext())
        for text in ElementTree.parse(out / "score.svg").iter()
        if text.tag.endswith("text")
    ]
    assert set(ROWS) <= set(texts)


def test_text_of_others_stays_text(compared, seeded):
    for ended in (compared, seeded):
        page = Page(ended.folder / "out" / "report.html")
        assert not {"img", "script"} & set(page.tags)
        assert page.texts.count(HOSTILE) >= 2
    assert escape(HOSTILE).replace("|", "\\|") in (seeded.folder / "out" / "table.md").read_text()


def test_only_what_failed_is_tried_again(compared, repaired):
    assert repaired.code == 0, repaired.err
    assert begun(repaired) == [str(run_of(repaired.folder, HOSTILE, 0))]
    for row in ("good", "sweep"):
        before, after = (contents(ended.folder / "out" / row) for ended in (compared, repaired))
        assert before == after
    lines = table(repaired.folder / "out")
    assert [line["row"] for line in lines] == list(ROWS)
    assert all(line["test"] and not line["failed"] for line in lines)
    assert "failed" not in repaired.out.splitlines()[0]


def test_more_seeds_can_be_added(repaired, seeded):
    assert seeded.code == 0, seeded.err
    assert not begun(seeded)
    before, after = (table(ended.folder / "out") for ended in (repaired, seeded))
    assert [(line["row"], line["seed"]) for line in after] == [
        (row, seed) for row in ROWS for seed in "01"
    ]
    assert [line["test"] for line in before] == [
        line["test"] for line in after if line["seed"] == "0"
    ]


def test_the_table_has_the_runs_numbers(seeded):
    out = seeded.folder / "out"
    lines = {(line["row"], line["seed"]): line for line in table(out)}
    sweeps = Mean.over([bests(out / "sweep" / seed)[-1]["test"] for seed in "01"]).value
    score = math.floor(1e4 * sweeps) / 1e4
    for row in ("good", HOSTILE, "sweep"):
        for seed in "01":
            run = seeded.folder / run_of(seeded.folder, row, seed)
            line, best, summary = (
                lines[row, seed],
                bests(run),
                json.loads((run / "summary.json").read_text()),
            )
            assert (float(line["train"]), float(line["test"])) == (
                best[-1]["train"],
                best[-1]["test"],
            )
            assert (float(line["seconds"]), int(line["memory"])) == (
                summary["seconds"],
                summary["peak_memory"],
            )
            reached = next((str(entry["birth"]) for entry in best if entry["test"] >= score), "")
            assert line[f"births_to_{score:g}"] == reached
    for seed in "01":
        founders = [entry for entry in read_births(out / "good" / seed) if "founder" in entry]
        best = max(founders, key=lambda entry: entry["train"])
        assert float(lines["best seed", seed]["test"]) == best["test"]
        assert float(lines["best seed", seed]["train"]) == best["train"]


def test_the_table_has_means_with_intervals(seeded):
    out = seeded.folder / "out"
    rows = rows_of(out)
    assert list(rows) == list(ROWS)
    lines = table(out)
    for name, cells in rows.items():
        for key in ("test", "train"):
            mean = Mean.over([float(line[key]) for line in lines if line["row"] == name])
            assert cells[key] == f"{mean.value:.3f} ± {mean.half:.3f}"
    tests = {name: [float(line["test"]) for line in lines if line["row"] == name] for name in rows}
    ahead = sum(tests["sweep"]) / 2 - sum(tests["good"]) / 2
    assert rows["sweep"]["ahead of good"].startswith(f"{ahead:+.3f} ± ")
    assert rows["good"]["ahead of good"] == ""
    for name in rows:
        assert any(
            line.startswith(name) and rows[name]["test"] in line for line in seeded.out.splitlines()
        )


def test_the_curves_have_the_means_of_the_runs(seeded):
    out = seeded.folder / "out"
    with open(out / "curves.csv", newline="") as file:
        points = list(csv.DictReader(file))
    assert {point["row"] for point in points} == {"good", HOSTILE, "sweep"}
    good = [point for point in points if point["row"] == "good"]
    assert [int(point["births"]) for point in good] == list(range(61))
    for point in good:
        tests = [bests(out / "good" / seed, int(point["births"]))[-1]["test"] for seed in "01"]
        mean = Mean.over(tests)
        assert (float(point["scores"]), float(point["scores_half"])) == pytest.approx(
            (mean.value, mean.half)
        )
    last = [read_births(out / "good" / seed)[-1] for seed in "01"]
    for name in ("coverage", "entropy"):
        assert float(good[-1][name]) == pytest.approx(sum(entry[name] for entry in last) / 2)


def test_with_nothing_left_to_run_all_is_drawn_again(place):
    before = contents(place)
    for name in FILES:
        (place / "out" / name).unlink()
    again = evomerge(place, *COMPARE, *OPTIONS, "1")
    assert again.code == 0, again.err
    assert not begun(again)
    assert contents(place) == before


def test_the_folder_itself_can_be_compared(place):
    again = evomerge(place, "compare", "out", "--out", "again")
    assert again.code == 0, again.err
    assert not begun(again)
    assert {path.name for path in (place / "again").iterdir()} == FILES
    first, second, *others = rows_of(place / "again")
    assert (first, others) == ("good", ["best seed", "sweep"])
    assert second in (HOSTILE, run_of(place, HOSTILE, 0).parent.name)
    for name in ("table.csv", "curves.csv"):
        before = (place / "out" / name).read_text()
        assert (place / "again" / name).read_text() == before.replace(HOSTILE, second), name


def test_fewer_births_than_the_runs_have(place):
    again = evomerge(place, *COMPARE, *OPTIONS, "1", "births=45")
    assert again.code == 0, again.err
    assert not begun(again)
    for line in table(place / "out"):
        if line["row"] in ("good", HOSTILE):
            assert (
                float(line["test"])
                == bests(place / run_of(place, line["row"], line["seed"]), 45)[-1]["test"]
            )
            assert line["seconds"] == ""


def test_the_same_founders_are_swept_once(place):
    """As files are for every random seed: one run counts for both."""
    sweep = "strategy={_target_: evomerge.Sweep, points: 9}"
    made = evomerge(
        place,
        "run",
        f"{run_of(place, HOSTILE, 0)}.yaml",
        "births=9",
        sweep,
        "run_dir=again/sweep/0",
    )
    assert made.code == 0, made.err
    again = evomerge(
        place, "compare", run_of(place, HOSTILE, 0).parent, "--points", "9", "--out", "again"
    )
    assert again.code == 0, again.err
    assert not begun(again)
    score = str(bests(place / "again" / "sweep" / "0")[-1]["test"])
    assert [
        (line["seed"], line["test"]) for line in table(place / "again") if line["row"] == "sweep"
    ] == [
        ("0", score),
        ("1", score),
    ]


def test_scores_to_be_reached_and_births_to_be_told_can_be_given(place):
    again = evomerge(place, *COMPARE, *OPTIONS, "1", "--reach", "0", "1", "--at", "0", "30")
    assert again.code == 0, again.err
    mean = Mean.over([bests(place / "out" / "good" / seed, 30)[-1]["test"] for seed in "01"])
    assert rows_of(place / "out")["good"]["test after 30"] == f"{mean.value:.3f} ± {mean.half:.3f}"
    assert (
        rows_of(place / "out")["good"]["test after 0"]
        == rows_of(place / "out")["best seed"]["test"]
    )
    assert {line["births_to_0"] for line in table(place / "out") if line["row"] != "best seed"} == {
        "0"
    }
    assert {line["births_to_1"] for line in table(place / "out")} == {""}
    head, *lines = again.out.splitlines()
    assert "births to 0  births to 1" in head
    assert sum("0 (2 of 2)" in line and "never" in line for line in lines) == 4


def test_a_run_that_another_call_made_is_told_and_nothing_is_changed(place):
    before = contents(place)
    ended = evomerge(place, *COMPARE, "strategy.mutation=0.02", "births=90", *OPTIONS, "1")
    assert ended.code == 2
    assert ended.out == ""
    told = [line for line in ended.err.splitlines() if line.startswith("evomerge: ")]
    for row in ("good", HOSTILE):
        for seed in "01":
            mistake = (
                f"evomerge: strategy.mutation: the run in {run_of(place, row, seed)} has 0.01, "
                "a resume cannot make it 0.02; "
            )
            assert sum(line.startswith(mistake) for line in told) == 1
    assert told[-1] == "evomerge: compare into another folder with --out, or remove these runs"
    assert len(told) == 5
    assert contents(place) == before


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--at", "61"], "--at: expected at most the 60 births of the comparison, got 61"),
        (["--out", "out/good/0"], "--out: out/good/0 is a run; name another folder"),
        (
            ["--out", "mine"],
            "--out: mine has a table.csv that is no comparison's; name another folder",
        ),
        (["--out", "good.yaml"], "good.yaml"),
    ],
)
def test_where_and_what_cannot_be_written_is_told(place, options, told):
    (place / "mine").mkdir()
    (place / "mine" / "table.csv").write_text("years of work")
    before = contents(place)
    ended = evomerge(place, *COMPARE, *OPTIONS, *options)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err
    assert contents(place) == before


def test_a_run_of_others_that_has_not_ended_is_a_reason(place):
    (place / "out" / "good" / "1" / "summary.json").unlink()
    ended = evomerge(place, "compare", "out/good", "out/sweep", "--out", "again")
    assert ended.code == 1, ended.err
    assert not begun(ended)
    failed = {
        (line["row"], line["seed"]): line["failed"]
        for line in table(place / "again")
        if line["failed"]
    }
    assert failed == {("good", "1"): "it has not ended; go on with `evomerge resume out/good/1`"}


def test_the_command_to_go_on_with_is_one_to_paste(tmp_path):
    run = Run(tmp_path / "my run", {}, ours=False)
    assert side_by_side.run_all([run], 1) == {
        run.path: f"it has not ended; go on with `evomerge resume '{run.path}'`"
    }


def made(*runs):
    """Makes runs one by one; gives why those that failed did."""
    side_by_side.check(runs)
    return side_by_side.run_all(runs, 1)


def test_what_lies_where_a_run_should_be_is_not_removed(tmp_path):
    config = write_config(tmp_path, births=1).rename(tmp_path / "good.yaml")
    (tmp_path / "good" / "0").mkdir(parents=True)
    (tmp_path / "good" / "0" / "thesis.txt").write_text("years of work")
    [run] = plan([config], [], vary={}, seeds=[0], out=tmp_path, points=2).rows["good"]
    with pytest.raises(UserError, match="other files"):
        made(run)
    assert (tmp_path / "good" / "0" / "thesis.txt").read_text() == "years of work"


@pytest.mark.parametrize("left", ["births.jsonl", "gallery/0.json"])
def test_a_beginning_that_was_cut_off_is_begun_again(tmp_path, left):
    """Killed before config.yaml was there, such as while the founders show themselves."""
    config = write_config(tmp_path, births=1).rename(tmp_path / "good.yaml")
    [run] = plan([config], [], vary={}, seeds=[0], out=tmp_path / "out", points=2).rows["good"]
    for name in (".lock", left):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).write_text("")
    side_by_side.check([run])


def runs_going(folder):
    """The processes of runs in a folder."""
    commands = [
        (process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])
    ]
    return [
        process
        for process, command in commands
        if any(f"{folder}/" in part for part in command) and "compare" not in command
    ]


def assert_stopped_and_saved(run):
    """A run has ended by itself before its last birth, and what it did is in its snapshot."""
    assert "stopped after birth" in run.with_name(f"{run.name}.log").read_text()
    assert not (run / "summary.json").exists()
    last = log_of(run)[-1]["birth"]
    assert read_snapshot(run)[1]["state"]["counters"]["decided"] == last < BIRTHS
    return last


def test_stopped_and_killed_it_goes_on_to_the_same_runs(tmp_path):
    """A birth takes 8 ms at least, so that there is time to stop it.

    Snapshots are 10 s apart, so that a stop has to save.
    """
    (tmp_path / "slow.py").write_text(SLOW)
    fitness = {"_target_": "slow.Slow", "data": {"_target_": "fitness.images.SklearnDigits"}}
    config = write_config(tmp_path, births=BIRTHS, tile=2000, fitness=fitness).rename(
        tmp_path / "slow.yaml"
    )
    out = tmp_path / "out"
    command = ("compare", config, "--seeds", "3", "--out", out, "--points", "3")
    run = out / "slow" / "3"

    process = start(*command, cwd=tmp_path)
    wait_for_births(process, run, 10)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert not runs_going(out)
    assert "Traceback" not in err
    assert not (out / "report.html").exists()
    first = assert_stopped_and_saved(run)
    before = (run / "births.jsonl").read_bytes()

    process = start(*command, cwd=tmp_path)
    wait_for_births(process, run, first + 2)  # and two founders
    assert runs_going(out)
    process.kill()
    process.communicate()
    deadline = time.monotonic() + PATIENCE
    while runs_going(out) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not runs_going(out)
    assert assert_stopped_and_saved(run) > first
    assert (
        (run / "births.jsonl").read_bytes().startswith(before)
    )  # with its clocks: nothing was raised again
    before = (run / "births.jsonl").read_bytes()

    ended = evomerge(tmp_path, *command)
    assert ended.code == 0, ended.err
    assert len(begun(ended)) == 2
    assert (run / "births.jsonl").read_bytes().startswith(before)
    quick = "fitness._target_=fitness.classification.Classification"
    undisturbed = evomerge(tmp_path, "run", run.with_name("3.yaml"), "run_dir=undisturbed", quick)
    assert undisturbed.code == 0, undisturbed.err
    assert_same_run(run, tmp_path / "undisturbed")
    assert len(log_of(run)) == 2 + BIRTHS


def test_one_by_one_beyond_the_births_asked_for_now(tmp_path, caplog):
    """A resume can only raise the births, so a run that was stopped ends with those that it had.

    The next begins then, and fails.
    """
    caplog.set_level(logging.INFO)
    config = write_config(tmp_path, births=60, strategy={"size": 4, "mutation": 0.01}).rename(
        tmp_path / "good.yaml"
    )
    run = tmp_path / "out" / "good" / "0"
    assert evomerge(tmp_path, "run", config, f"run_dir={run}").code == 0
    (run / "summary.json").unlink()
    [longer] = plan(
        [config], ["births=20"], vary={}, seeds=[0], out=tmp_path / "out", points=2
    ).rows["good"]
    call = {
        **longer.call,
        "population": longer.call["population"] | {"seeds": ["a.safetensors", "b.safetensors"]},
    }
    failing = replace(longer, path=tmp_path / "out" / "none" / "0", call=call)
    assert list(made(longer, failing)) == [failing.path]
    assert events(caplog.text) == ["begins", "has ended", "begins", "exit code 2"]
    assert len(log_of(run)) == 2 + 60
