"""A sweep: the founders mixed on a grid."""

import itertools
import math

import numpy as np
import pytest
from whole_runs import DIGITS, log_of, small_run

from evomerge import Sweep, UserError
from evomerge.rundir.snapshots import read_snapshot
from evomerge.strategies.sweep import grid
from populations.mnist import Classifiers


def test_two_founders_have_an_even_grid():
    assert grid(2, 5) == [(1.0, 0.0), (0.75, 0.25), (0.5, 0.5), (0.25, 0.75), (0.0, 1.0)]


@pytest.mark.parametrize(
    ("founders", "points"), [*itertools.product((2, 3, 4, 9), (2, 10, 41)), (40, 41)]
)
def test_a_grid_is_even_as_far_as_that_goes_and_drawn_beyond(founders, points):
    mixtures = grid(founders, points)
    assert len(mixtures) == len(set(mixtures)) == max(points, founders)
    assert all(sum(mixture) == pytest.approx(1) and min(mixture) >= 0 for mixture in mixtures)
    assert {tuple(row) for row in np.eye(founders).tolist()} <= set(mixtures)  # each founder alone
    steps = next(n for n in itertools.count(1) if math.comb(n + founders, founders - 1) > points)
    even = [
        mixture
        for mixture in mixtures
        if np.allclose(np.array(mixture) * steps, np.round(np.array(mixture) * steps))
    ]
    assert len(even) == math.comb(steps + founders - 1, founders - 1)


def test_a_sweep_is_a_run_whose_births_are_the_grid(tmp_path):
    small_run(tmp_path / "run", births=7, strategy=Sweep(points=5, angle="whole"))
    log = [entry for entry in log_of(tmp_path / "run") if "founder" not in entry]
    assert [entry["ratios"] for entry in log] == [
        [0.0],
        [0.25],
        [0.5],
        [0.75],
        [1.0],
        [0.0],
        [0.25],
    ]
    assert all(entry["parents"] == [-1, 0] and entry["splits"] == [[]] for entry in log)
    assert log[0]["train"] == log_of(tmp_path / "run")[0]["train"]  # all of the first
    assert log[4]["train"] == log_of(tmp_path / "run")[1]["train"]


def test_three_founders_are_mixed_one_after_another(tmp_path):
    population = Classifiers(DIGITS, hidden=(16,), sd=0.1, count=3)
    small_run(
        tmp_path / "run", births=6, population=population, strategy=Sweep(points=6, angle="none")
    )
    _, data, tensors = read_snapshot(tmp_path / "run")
    children = {
        id: tensors[f"genome.{id}.vector"].numpy() for id in data["state"]["archive"] if id > 0
    }
    founders = population.founders(np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,))))
    for id, vector in children.items():
        expected = sum(
            np.float32(share) * founder.vector
            for share, founder in zip(grid(3, 6)[id - 1], founders, strict=True)
        )
        assert np.allclose(vector, expected, atol=1e-6)
    assert len(children) >= 3


def test_a_sweep_needs_points_and_an_angle_that_fits(tmp_path):
    with pytest.raises(ValueError, match="points: expected a number of at least 2, got 1"):
        Sweep(points=1)
    with pytest.raises(ValueError, match="angle: expected one of"):
        Sweep(angle="wide")
    linear = Classifiers(DIGITS, hidden=(16,), sd=0.1)
    linear.linear = True
    small_run(
        tmp_path / "linear", births=3, strategy=Sweep(points=3, angle="part"), population=linear
    )
    *_, tensors = read_snapshot(tmp_path / "linear")
    first, second = (
        founder.vector
        for founder in linear.founders(
            np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,)))
        )
    )
    assert np.allclose(tensors["genome.2.vector"].numpy(), (first + second) / 2, atol=1e-7)
    with pytest.raises(UserError, match="angle: 'tensor' needs a flat axis"):
        small_run(
            births=2,
            strategy=Sweep(angle="tensor"),
            population=Classifiers(DIGITS, hidden=(16,), order="unit"),
        )
