"""The best beside the founders: the table says what the rows of scores say."""

import re
from dataclasses import replace

import numpy as np
import pytest
from faulty_parts import Weighted
from scipy import stats
from whole_runs import DIGITS, small_run

from evomerge.intervals import Mean, interval
from evomerge.report.record import Record
from evomerge.report.sections import standing


def test_an_interval_over_datapoints_that_weigh_the_same_is_students():
    values = np.random.default_rng(0).random(50)
    assert Mean.over(values).half == pytest.approx(
        stats.ttest_1samp(values, 0).confidence_interval().high - values.mean()
    )
    assert Mean.over(values, np.full(50, 7.0)).half == pytest.approx(Mean.over(values).half)


def test_a_weighted_interval_covers_as_often_as_it_says():
    rng, weights = np.random.default_rng(0), np.repeat([1.0, 5.0], 200)
    found = [Mean.over((rng.random(400) < 0.3).astype(float), weights) for _ in range(2000)]
    assert 0.93 < np.mean([abs(mean.value - 0.3) < mean.half for mean in found]) < 0.97


@pytest.mark.parametrize("score", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weight", [1.0, 0.7])
def test_an_interval_of_scores_that_are_all_alike_has_a_width(score, weight):
    """Whatever sum their shares round to: 10 or 200 right answers of as many are not certain."""
    for count in range(2, 700):
        low, high = interval(np.full(count, score), np.full(count, weight))
        assert low - 1e-12 <= score <= high + 1e-12
        assert high - low > 1 / (count + 4)


def numbers(html):
    """The rows of the table of scores, by name."""
    cells = [re.findall(r"<td.*?>(.*?)</td>", row) for row in html.split("<tr>")[2:]]
    return {name: [re.sub("<.*?>", "", value) for value in values] for name, *values in cells}


def test_the_table_has_means_and_paired_differences(tmp_path):
    small_run(tmp_path, births=100, fitness=Weighted(DIGITS, first=30.0))
    run = Record.read(tmp_path)
    told, columns = numbers(standing.cards(run)[0]), ("test", "train")
    assert len(told) == 4
    for entry in (*run.founders, run.bests[-1]):
        name = run.label(entry["id"]) if "founder" in entry else f"best, birth {entry['birth']}"
        for text, split in zip(told[name], columns, strict=True):
            row = (
                run.founding.scores[split][entry["founder"]]
                if "founder" in entry
                else run.best_rows[split]
            )
            low, high = interval(row.astype(float), run.founding.weights[split])
            assert text == f"{entry[split]:.3f} {low:.3f} to {high:.3f}"
    for text, split in zip(told["best minus the best founder"], columns, strict=True):
        highest = max(run.founders, key=lambda entry: entry[split])
        apart = run.best_rows[split].astype(float) - run.founding.scores[split][highest["founder"]]
        mean = Mean.over(apart, run.founding.weights[split])
        assert text == f"{mean.value:+.3f} ± {mean.half:.3f}"
        assert mean.value == pytest.approx(run.bests[-1][split] - highest[split])


def test_no_child_is_best(tmp_path):
    small_run(tmp_path, births=0)
    run = Record.read(tmp_path)
    html = standing.cards(run)[0]
    assert set(numbers(html)) == {"founder 0", "founder 1"}
    assert "no child has beaten it yet" in html
    assert "best minus" not in html
    # the founder that is best has one column by group, not two
    columns = re.findall(r">(best|founder \d)<", standing.cards(run)[2])
    assert len(columns) == 2
    assert columns.count("best") == 1


def test_a_snapshot_that_is_older_than_the_log_tells_no_interval_of_the_best(tmp_path):
    small_run(tmp_path, births=100)
    run = Record.read(tmp_path)
    told = numbers(standing.cards(replace(run, best_rows={}))[0])
    assert " to " not in "".join(told[f"best, birth {run.bests[-1]['birth']}"])
    assert " to " in "".join(told["founder 0"])
    assert "±" not in "".join(told["best minus the best founder"])
