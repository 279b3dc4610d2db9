"""What was won and what was lost, with both answers."""

import json

import numpy as np
from faulty_parts import ANSWERS
from whole_runs import DIGITS, small_run

from evomerge.report.record import Record
from evomerge.report.sections import changes
from evomerge.run import kept
from evomerge.rundir.births import read_births
from evomerge.rundir.founders import differing
from fitness.classification import Classification


def test_differing():
    best = np.array([1, 1, 0, 0, 0.6, 0.4], dtype=np.float32)
    founders = np.array([[0, 1, 1, 0, 0.45, 0.2], [0, 0, 0, 0, 0.2, 0.9]], dtype=np.float32)
    won, lost = differing(best, founders)
    assert won.tolist() == [0, 4]
    assert lost.tolist() == [2, 5]


def test_lines_say_what_the_rows_say(tmp_path):
    small_run(tmp_path, births=200)
    run = Record.read(tmp_path)
    best, founders = run.best_rows["test"], run.founding.scores["test"]
    assert len(run.changes) > kept.DIFFERENCES
    for line in run.changes:
        founder = line["id"] + 1
        assert line["best"]["score"] == best[line["datapoint"]]
        assert (
            line["founder"]["score"]
            == founders[founder, line["datapoint"]]
            == founders[:, line["datapoint"]].max()
        )
        assert line["best"]["score"] != line["founder"]["score"]
        assert (line["best"]["answer"] == line["best"]["expected"]) == (line["best"]["score"] == 1)
        assert (line["founder"]["answer"] == line["founder"]["expected"]) == (
            line["founder"]["score"] == 1
        )
    counts = [len(of) for of in differing(best, founders)]
    assert all(
        f"{count} of 360 test datapoints" in card
        for count, card in zip(counts, changes.cards(run), strict=True)
    )


def test_a_resume_keeps_the_same(tmp_path):
    for name, births in (("whole", (200,)), ("resumed", (120, 200))):
        for number, until in enumerate(births):
            small_run(tmp_path / name, births=until, resume=number > 0)
    whole, resumed = (
        (tmp_path / name / "best" / "changes.jsonl").read_text() for name in ("whole", "resumed")
    )
    assert whole == resumed


class Reserved(Classification):
    """Explains all of a split, but not some of it."""

    def explain(self, model, datapoints, split):
        return (
            super().explain(model, datapoints, split)
            if len(datapoints) == 360
            else ANSWERS["raises"](datapoints)
        )


def test_what_cannot_be_explained_costs_nothing_else(tmp_path, caplog):
    small_run(tmp_path, births=60, fitness=Reserved(DIGITS))
    assert "where the best and the founders differ is not kept" in caplog.text
    assert not (tmp_path / "best" / "changes.jsonl").exists()
    assert [entry for entry in read_births(tmp_path) if entry.get("best")][-1]["birth"] > 0
    assert len(changes.cards(Record.read(tmp_path))) == 2


class Wordy(Classification):
    """Answers in words, with a score of its own."""

    def explain(self, model, datapoints, split):
        told = super().explain(model, datapoints, split)
        return [
            {"prompt": f"what is {j}?", "answer": f"a {entry['answer']}"}
            for j, entry in zip(datapoints, told, strict=True)
        ]


def test_words_stand_in_a_table(tmp_path):
    small_run(tmp_path, births=60, fitness=Wordy(DIGITS))
    run = Record.read(tmp_path)
    html, line = "".join(changes.cards(run)), run.changes[0]
    assert (
        f'<td data-name="prompt">what is {line["datapoint"]}?</td>'
        f'<td data-name="best">{line["best"]["answer"]}</td>' in html
    )
    assert (
        f'<td data-name="founder">{run.label(line["id"])}: {line["founder"]["answer"]}</td>' in html
    )
    assert json.loads((tmp_path / "best" / "changes.jsonl").read_text().splitlines()[0]) == line
