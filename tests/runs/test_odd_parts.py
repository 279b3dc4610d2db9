"""What a fitness or a population says of itself, beside what it is asked for, may be wrong: that may cost a card or a picture, not the run."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
from whole_runs import DIGITS, small_run

from evomerge.cli import main
from evomerge.run.run import Run
from evomerge.rundir.births import read_births
from fitness.classification import Classification
from populations.mnist import Classifiers


class Grouped(Classification):
    def __init__(self, data, found=None):
        super().__init__(data)
        self.found = found

    def groups(self, split):
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


class Shows(Classification):
    def showcase(self, split):
        raise RuntimeError("nothing to show")


class Explains(Classification):
    def explain(self, model, datapoints, split):
        return [{"datapoint": "mine", "answer": "a"} for _ in datapoints]


class Carded(Classifiers):
    def __init__(self, data, hidden, says=None):
        super().__init__(data, hidden)
        self.says = says

    def card(self):
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def whole(path):
    """Whether a run has left all that it should."""
    return all(
        (path / name).is_file()
        for name in ("best/model.safetensors", "best/README.md", "report.html", "summary.json")
    )


@pytest.mark.parametrize(
    "groups",
    [["a"], {"a": [0, 10**6]}, {"a": [-1]}, {"a": "x"}, {"a": [[0]]}, RuntimeError("none")],
    ids=lambda found: type(found).__name__,
)
def test_groups_that_are_none_are_left_out_with_a_warning(tmp_path, caplog, groups):
    small_run(tmp_path / "run", births=5, fitness=Grouped(DIGITS, groups))
    assert whole(tmp_path / "run")
    assert any(
        "groups('train')" in record.getMessage() and record.levelno == logging.WARNING
        for record in caplog.records
    )


@pytest.mark.parametrize(
    "fitness", [Shows(DIGITS), Explains(DIGITS)], ids=lambda fitness: type(fitness).__name__
)
def test_what_cannot_be_shown_is_left_out(tmp_path, fitness):
    small_run(tmp_path / "run", births=5, fitness=fitness)
    assert whole(tmp_path / "run")
    kept = tmp_path / "run" / "best" / "test.jsonl"
    answers = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [answer["datapoint"] for answer in answers] == list(range(len(answers)))


@pytest.mark.parametrize(
    "says", [RuntimeError("no card"), {"tags": np.float64(1)}, {"seeds": 3}, 7], ids=str
)
def test_a_card_is_without_what_cannot_stand_in_it(tmp_path, caplog, says):
    small_run(tmp_path / "run", births=5, population=Carded(DIGITS, [4], says))
    assert whole(tmp_path / "run")
    assert "the card is without what the population says" in caplog.text


def test_a_report_that_cannot_be_drawn_costs_the_report_alone(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("evomerge.report.heading.heading", lambda _: 1 / 0)
    small_run(tmp_path / "run", births=5)
    assert (tmp_path / "run" / "best" / "README.md").is_file()
    assert "report.html is not drawn: ZeroDivisionError" in caplog.text


def test_a_run_that_was_killed_while_it_began_begins_again(tmp_path, monkeypatch):
    """After its first snapshot, before config.yaml."""
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_keep_founders", lambda run, founders: (_kept(run, founders), 1 / 0))
        with pytest.raises(ZeroDivisionError):
            small_run(tmp_path / "run", births=5)
    assert (tmp_path / "run" / "state" / "latest").is_dir()
    small_run(tmp_path / "run", births=5)
    assert whole(tmp_path / "run")


def test_a_run_that_has_lost_its_config_is_left_alone(tmp_path, capsys):
    small_run(tmp_path / "run", births=5)
    before = read_births(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").unlink()
    assert (
        main(
            [
                "run",
                str(Path(__file__).parents[2] / "configs" / "digits.yaml"),
                f"run_dir={tmp_path / 'run'}",
            ]
        )
        == 2
    )
    assert "has lost its config.yaml" in capsys.readouterr().err
    assert read_births(tmp_path / "run") == before


_kept = Run._keep_founders
