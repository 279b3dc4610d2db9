"""Fitnesses that are wrong or fail: told in one message, or failed births."""

import json
import os
from pathlib import Path

import pytest
from mistakes import (
    FAULTY,
    RUN,
    SEEDS,
    check_message,
    check_mistake,
    contents,
    evomerge,
    row,
    seeds,
)

from evomerge.rundir.births import read_births
from fitness.classification import Classification

FITNESSES = [
    row(
        "scores NaN",
        FAULTY + "nan",
        "fitness of founder 0",
        "scores in [0, 1]; 1 of 1437 are not, such as nan",
    ),
    row(
        "too few scores",
        FAULTY + "short",
        "fitness of founder 0",
        "shape (1437,); it returned (1436,)",
    ),
    row(
        "scores below 0",
        FAULTY + "negative",
        "fitness of founder 0",
        "scores in [0, 1]",
        "such as -0.5",
    ),
    row(
        "scores above 1",
        FAULTY + "high",
        "fitness of founder 0",
        "scores in [0, 1]",
        "are not, such as 4.0",
    ),
    row(
        "scores are a text",
        FAULTY + "text",
        "fitness of founder 0",
        "must return numbers of shape (1437,), it returned str",
    ),
    row(
        "scores are nothing",
        FAULTY + "nothing",
        "fitness of founder 0",
        "must return",
        "shape (1437,)",
        "it returned",
    ),
    row(
        "fitness raises",
        FAULTY + "raises",
        "fitness of founder 0",
        "KeyError",
        "no such key",
        "(faulty_parts.py:",
    ),
    row(
        "check finds it too",
        FAULTY.replace("run", "check", 1) + "raises",
        "fitness of founder 0",
        "KeyError",
    ),
    row(
        "second founder",
        FAULTY + "short fitness.good=1",
        "fitness of founder 1",
        "it returned (1436,)",
    ),
    row(
        "wrong on the test split",
        FAULTY + "short fitness.split=test",
        "fitness on the test split",
        "shape (360,); it returned (359,)",
    ),
    row(
        "size is nothing",
        RUN + "fitness._target_=faulty_parts.OddSize",
        "fitness",
        "size",
        "train",
        "whole number",
        "None",
    ),
    row(
        "too few weights",
        RUN + "fitness._target_=faulty_parts.Weighted fitness.train=7",
        "fitness.weights",
        "expected 1437 numbers above 0, got shape (7,)",
    ),
    row(
        "weights below 0",
        RUN + "fitness._target_=faulty_parts.Weighted fitness.first=-1",
        "fitness.weights",
        "expected 1437 numbers above 0",
        "-1.0",
    ),
    row(
        "too few weights on the test split",
        RUN + "fitness._target_=faulty_parts.Weighted fitness.test=7",
        "fitness.weights",
        "360",
        "7",
    ),
    row(
        "population of one",
        RUN + "population._target_=faulty_parts.Lonely",
        "population: expected at least two founders, got 1",
    ),
    row(
        "founder not finite",
        RUN + "population._target_=faulty_parts.Infinite",
        "population: founder 1 has numbers that are not finite",
    ),
]


@pytest.mark.parametrize(("command", "said", "given", "lines"), FITNESSES)
def test_a_mistake_is_told_and_nothing_is_written(place, capsys, command, said, given, lines):
    check_mistake(place, capsys, command, said, given, lines)


def test_children_that_fail_now_and_then_are_failed_births(place, capsys):
    """Two founders and then every third child: births 3, 6, ... 30 fail, never many in a row."""
    code, output = evomerge(
        FAULTY + "raises fitness.good=2 fitness.every=3 births=30 run_dir=new failures=2", capsys
    )
    assert code == 0, output.err
    births = [entry for entry in read_births(Path("new")) if entry["birth"]]
    failed = {entry["birth"]: entry["failure"] for entry in births if "failure" in entry}
    assert list(failed) == list(range(3, 31, 3))
    assert all(
        "KeyError: 'the file of answers has no such key' (faulty_parts.py:" in failure
        for failure in failed.values()
    )
    assert not any(entry["admitted"] for entry in births if "failure" in entry)
    assert json.loads(Path("new/summary.json").read_text())["failures"] == 10


@pytest.mark.parametrize("answer", ["raises", "nan", "short", "text"])
def test_children_that_always_fail_end_the_run_which_can_be_resumed(place, capsys, answer):
    command = FAULTY + f"{answer} fitness.good=12 births=30 run_dir=new failures=5"
    code, output = evomerge(command, capsys)
    check_message(
        code, output.err, ["5 births in a row failed, the last with: ", "evomerge resume new"], 1
    )
    births = read_births(Path("new"))
    assert births[-1]["birth"] == 15
    assert births[-1]["failure"] in output.err
    assert sum("failure" in entry for entry in births) == 5

    code, output = evomerge(
        "resume new", capsys
    )  # made anew, the fitness is right 12 times again: births 28 to 30 fail
    assert code == 0, output.err
    assert read_births(Path("new"))[: len(births)] == births
    assert json.loads(Path("new/summary.json").read_text())["failures"] == 8


def test_a_check_tries_a_birth_where_none_is_asked_for(place, capsys):
    before = contents(place)
    code, output = evomerge("check digits.yaml births=0", capsys)
    assert code == 0, output.err
    assert "yes, this can run" in output.out
    assert contents(place) == before


class Wandering(Classification):
    """Changes the working directory whenever it scores."""

    score_many = None

    def __call__(self, model, datapoints, split):
        Path("elsewhere").mkdir(exist_ok=True)
        os.chdir("elsewhere")
        return super().__call__(model, datapoints, split)


def test_a_fitness_that_changes_directory_splits_no_run(place, capsys):
    seeds()(place)
    command = f"{SEEDS} fitness._target_={__name__}.Wandering run_dir=new"
    code, output = evomerge(command, capsys)
    os.chdir(place)
    assert code == 0, output.err
    assert "report: new/report.html, best member: new/best" in output.out
    kept = {path.name for path in (place / "new").iterdir()}
    assert kept >= {"config.yaml", "births.jsonl", "state", "best", "summary.json", "report.html"}
    assert not list((place / "elsewhere").rglob("*.*"))
    code, output = evomerge("resume new births=8", capsys)
    os.chdir(place)
    assert code == 0, output.err
