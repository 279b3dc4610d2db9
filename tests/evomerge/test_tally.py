"""What runs came to: means with their intervals, births to a score, and curves."""

import json
import math
from dataclasses import fields, replace

import numpy as np
import pytest
from faulty_parts import Faulty
from scipy import stats
from whole_runs import DIGITS, small_run

from evomerge.compare.tally import POINTS, Done, Row
from evomerge.intervals import Mean
from evomerge.rundir.births import read_births
from fitness.classification import Classification
from fitness.images import SklearnDigits
from populations.mnist import Classifiers

SAMPLES = [
    [0.5, 0.6, 0.7],
    [0.91, 0.88],
    [0.2, 0.9, 0.4, 0.4, 0.7],
    [0.11, 0.12, 0.1, 0.13, 0.11, 0.12],
]


def done(test=0.5, *, founder=0.1, steps=((0, 0.1), (10, 0.5)), **changes):
    """A run that came to these scores."""
    curves = {name: np.zeros(3) for name in ("births", "scores", "coverage", "entropy")}
    made = Done(
        seed=0,
        train=0.6,
        test=test,
        founder_train=founder,
        founder_test=founder,
        **curves,
        steps=list(steps),
        scored=1.0,
        failures=0,
        born=10,
        tested=True,
        seconds=2.0,
        memory=0,
    )
    return replace(made, **changes)


def row(*tests, **changes):
    return Row("row", [done(test, **changes) for test in tests])


def entries(path):
    """The log's founders and its births."""
    log = read_births(path)
    return [entry for entry in log if "founder" in entry], [
        entry for entry in log if "founder" not in entry
    ]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run, as far as birth 50 and as far as birth 300."""
    folder = tmp_path_factory.mktemp("runs")
    for births in (50, 300):
        small_run(folder / str(births), births=births)
    return folder


def test_a_mean_and_its_interval_by_hand():
    """The standard deviation is 0.1.

    97.5 % of Student's t with two degrees of freedom lie below 4.302653.
    """
    mean = Mean.over([0.5, 0.6, 0.7])
    assert mean.value == pytest.approx(0.6)
    assert mean.half == pytest.approx(4.302653 * 0.1 / math.sqrt(3), rel=1e-6)


@pytest.mark.parametrize("values", SAMPLES, ids=str)
def test_a_mean_has_the_interval_of_students_test(values):
    mean, (low, high) = Mean.over(values), stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert (mean.value - mean.half, mean.value + mean.half) == pytest.approx((low, high))


def test_a_mean_of_few():
    assert Mean.over([0.25, 0.25, 0.25]) == Mean(0.25, 0.0)
    assert Mean.over([0.25]).value == 0.25
    assert math.isnan(Mean.over([0.25]).half)
    assert math.isnan(Mean.over([]).value)
    assert math.isnan(Mean.over([]).half)


def test_a_difference_by_hand():
    """Variances of the means are 1/400 and 1/300.

    Welch's degrees of freedom are (7/1200)^2 / (1/400^2 + 1/300^2 / 2) = 49/17.
    """
    ahead = row(0.8, 0.9).ahead(row(0.5, 0.6, 0.7))
    assert ahead.value == pytest.approx(0.25)
    assert ahead.half == pytest.approx(stats.t.ppf(0.975, 49 / 17) * math.sqrt(7 / 1200))


@pytest.mark.parametrize("theirs", SAMPLES, ids=str)
@pytest.mark.parametrize("mine", SAMPLES, ids=str)
def test_a_difference_has_the_interval_of_welchs_test(mine, theirs):
    low, high = stats.ttest_ind(mine, theirs, equal_var=False).confidence_interval(0.95)
    ahead = row(*mine).ahead(row(*theirs))
    assert (ahead.value - ahead.half, ahead.value + ahead.half) == pytest.approx((low, high))


def test_a_difference_between_rows_without_spread():
    assert row(0.75, 0.75).ahead(row(0.5, 0.5, 0.5)) == Mean(0.25, 0.0)
    spread = [0.5, 0.6, 0.7]
    ahead = row(0.75, 0.75).ahead(row(*spread))  # all the spread is the other's
    assert (ahead.value, ahead.half) == pytest.approx((0.15, Mean.over(spread).half))


@pytest.mark.parametrize(
    ("mine", "theirs"), [([0.75], [0.5]), ([0.75], [0.4, 0.6]), ([0.7, 0.8], [0.5])]
)
def test_a_difference_of_a_single_run_has_no_interval(mine, theirs):
    ahead = row(*mine).ahead(row(*theirs))
    assert ahead.value == pytest.approx(0.25)
    assert math.isnan(ahead.half)


def test_there_is_no_difference_from_nothing():
    assert math.isnan(row().ahead(row(0.5)).value)
    assert math.isnan(row(0.5).ahead(row()).value)


def test_the_best_seed_is_told_by_its_founders():
    runs = [done(0.9, founder=0.25), done(0.8, founder=0.75, founder_train=0.5)]
    seed = Row("best seed", runs, seed=True)
    assert (seed.test.value, seed.train.value) == (0.5, 0.375)
    assert seed.ahead(Row("search", runs)).value == pytest.approx(0.5 - 0.85)


def test_births_to_a_score():
    steps = [
        (0, 0.1),
        (7, 0.4),
        (20, 0.3),
        (31, 0.8),
    ]  # chosen by training scores: a test score may fall
    reached = [
        done(steps=steps).births_to(score) for score in (0.05, 0.1, 0.2, 0.4, 0.41, 0.8, 0.81)
    ]
    assert reached == [0, 0, 7, 7, 31, 31, None]


def test_births_to_a_score_that_only_some_reach():
    both = Row(
        "row", [done(steps=[(0, 0.1), (10, 0.5)]), done(steps=[(0, 0.2), (30, 0.5), (60, 0.9)])]
    )
    mean, count = both.births_to(0.5)
    assert (mean.value, count) == (20.0, 2)
    assert mean.half == pytest.approx(stats.t.ppf(0.975, 1) * 10)
    assert (both.births_to(0.9)[0].value, both.births_to(0.9)[1]) == (60.0, 1)
    mean, count = both.births_to(0.95)
    assert math.isnan(mean.value)
    assert count == 0


def test_the_best_seed_takes_no_births_or_never_gets_there():
    seed = Row(
        "best seed",
        [done(founder=0.2, steps=[(0, 0.2), (5, 0.9)]), done(founder=0.4, steps=[(0, 0.4)])],
        seed=True,
    )
    assert [seed.births_to(score)[1] for score in (0.2, 0.3, 0.5)] == [
        2,
        1,
        0,
    ]  # the 0.9 is not the seed's
    assert seed.births_to(0.3)[0].value == 0.0


def test_scores_after_so_many_births():
    steps = [(0, 0.1), (7, 0.4), (20, 0.3), (31, 0.8)]
    assert [done(steps=steps).after(births) for births in (0, 6, 7, 25, 31, 500)] == [
        0.1,
        0.1,
        0.4,
        0.3,
        0.8,
        0.8,
    ]
    runs = [done(steps=steps, founder=0.1), done(steps=[(0, 0.2), (8, 0.6)], founder=0.2)]
    assert Row("row", runs).after(7) == Mean.over([0.4, 0.2])
    assert Row("best seed", runs, seed=True).after(7) == Mean.over(
        [0.1, 0.2]
    )  # nothing was bred for it


def test_a_curve_is_the_mean_with_its_interval_at_every_point():
    births = np.array([0, 5, 9])
    values = [[0.1, 0.2, 0.2], [0.3, 0.4, 0.9], [0.2, 0.3, 0.7]]
    at, mean, half = Row(
        "row", [done(births=births, entropy=np.array(value)) for value in values]
    ).curve("entropy")
    expected = [Mean.over(column) for column in zip(*values, strict=True)]
    assert at.tolist() == [0, 5, 9]
    assert mean == pytest.approx([point.value for point in expected])
    assert half == pytest.approx([point.half for point in expected])


def test_the_curve_of_a_single_run_has_no_band():
    _, mean, half = Row("row", [done(scores=np.array([0.1, 0.2, 0.4]))]).curve("scores")
    assert mean.tolist() == [0.1, 0.2, 0.4]
    assert half.tolist() == [0, 0, 0]


def test_a_number_is_the_mean_over_the_runs_that_have_it():
    assert (
        Row("row", [done(seconds=1.0), done(seconds=None), done(seconds=4.0)]).mean("seconds")
        == 2.5
    )
    assert math.isnan(Row("row", [done(seconds=None)]).mean("seconds"))


@pytest.mark.parametrize("births", [300, 120])
def test_a_run_is_read_as_its_log_has_it(runs, births):
    read = Done.read(runs / "300", 3, births)
    founders, children = entries(runs / "300")
    children = children[:births]
    bests = [entry for entry in founders + children if entry.get("best")]
    assert len(bests) > 5
    assert (read.seed, read.train, read.test) == (3, bests[-1]["train"], bests[-1]["test"])
    first = max(founders, key=lambda entry: entry["train"])
    assert (read.founder_train, read.founder_test) == (first["train"], first["test"])
    assert read.steps == [(entry["birth"], entry["test"]) for entry in bests]
    assert read.scored == pytest.approx(sum(entry["scored"] for entry in children) / births)
    assert (read.failures, read.born, read.tested) == (0, births, True)


@pytest.mark.parametrize("births", [300, 120])
def test_a_curve_has_the_last_best_of_so_many_births(runs, births):
    read = Done.read(runs / "300", 0, births)
    founders, children = entries(runs / "300")
    assert len(read.births) == min(births + 1, POINTS)
    assert (read.births[0], read.births[-1]) == (0, births)
    assert set(np.diff(read.births)) <= ({1} if births < POINTS else {1, 2})
    for at, score, coverage, entropy in zip(
        read.births, read.scores, read.coverage, read.entropy, strict=True
    ):
        assert (
            score
            == [
                entry["test"]
                for entry in founders + children
                if entry.get("best") and entry["birth"] <= at
            ][-1]
        )
        if at:
            assert (coverage, entropy) == (
                children[at - 1]["coverage"],
                children[at - 1]["entropy"],
            )
    assert len(set(read.scores)) > 5


def test_as_much_of_a_longer_run_as_is_compared(runs):
    long, short = (Done.read(runs / name, 0, 50) for name in ("300", "50"))
    same = {field.name for field in fields(Done)} - {"seconds", "memory"}
    for name in same:
        assert np.array_equal(getattr(long, name), getattr(short, name)), name
    assert long.seconds is None  # they are those of more births
    summary = json.loads((runs / "50" / "summary.json").read_text())
    assert (short.seconds, short.memory) == (summary["seconds"], summary["peak_memory"])
    assert short.memory > 0


def test_failed_births_are_counted(tmp_path):
    small_run(
        tmp_path / "run", births=30, tile=2000, fitness=Faulty(DIGITS, "raises", good=2, every=3)
    )  # birth 3, 6, ... 30
    assert [Done.read(tmp_path / "run", 0, births).failures for births in (30, 15, 2)] == [10, 5, 0]


def test_the_best_founder_is_chosen_by_the_validation_split(tmp_path):
    data = SklearnDigits(validation=0.2)
    population = Classifiers(data, (16,), sd=0.1, count=5)
    small_run(
        tmp_path / "run",
        births=5,
        validate=True,
        fitness=Classification(data),
        population=population,
    )
    founders, _ = entries(tmp_path / "run")
    by_train, by_validation = (
        max(founders, key=lambda entry: entry[split]) for split in ("train", "validation")
    )
    assert by_train is not by_validation
    read = Done.read(tmp_path / "run", 0, 5)
    assert (read.founder_train, read.founder_test) == (
        by_validation["train"],
        by_validation["test"],
    )


def test_without_a_test_split_there_are_training_scores(tmp_path):
    data = SklearnDigits(train=1.0)
    small_run(
        tmp_path / "run",
        births=40,
        fitness=Classification(data),
        population=Classifiers(data, (16,), sd=0.1),
    )
    founders, children = entries(tmp_path / "run")
    assert not any("test" in entry for entry in founders + children)
    bests = [(entry["birth"], entry["train"]) for entry in founders + children if entry.get("best")]
    read = Done.read(tmp_path / "run", 0, 40)
    assert read.steps == bests
    assert not read.tested
    assert (read.test, read.scores[-1]) == (bests[-1][1], bests[-1][1])
    assert read.founder_test == read.founder_train == max(entry["train"] for entry in founders)


def test_a_run_without_births_cannot_be_read(tmp_path):
    small_run(tmp_path / "run", births=0)
    with pytest.raises(ValueError, match="2 founders and 0 births"):
        Done.read(tmp_path / "run", 0, 10)


def test_runs_that_ended_early_have_one_curve(tmp_path):
    """Patience ends them at different births; from there on the best stays who it was."""
    for seed in (0, 1):
        small_run(tmp_path / str(seed), births=400, patience=15, seed=seed)
    ends = [len(entries(tmp_path / str(seed))[1]) for seed in (0, 1)]
    assert ends[0] != ends[1]
    assert max(ends) < 400
    runs = [Done.read(tmp_path / str(seed), seed, 400) for seed in (0, 1)]
    assert [run.born for run in runs] == ends
    at, mean, _ = Row("row", runs).curve("scores")
    for birth, value in zip(at, mean, strict=True):
        assert value == pytest.approx(
            np.mean([[test for step, test in run.steps if step <= birth][-1] for run in runs])
        )
