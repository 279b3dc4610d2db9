"""Which founder gives what: shares are those of the weights, where every merge is linear."""

import re
from dataclasses import replace

import numpy as np
import pytest
from whole_runs import DIGITS, small_run

from evomerge import Crossover, NaturalNiches
from evomerge.genome.crossover import Crossing, regions
from evomerge.genome.groups import Stretch, stretches_along
from evomerge.report.descent import (
    by_layer,
    founder_shares,
    parts,
    positions_along,
    second_share,
)
from evomerge.report.record import Record
from evomerge.report.sections import shares
from evomerge.rundir.snapshots import read_snapshot
from populations.mnist import Classifiers

LINEAR = Crossover(splits=2, ratio=(-0.3, 1.3), angle="none")


@pytest.fixture(scope="module")
def linear(tmp_path_factory):
    """A run of linear merges without mutation, two chromosomes and two splits in each."""
    path = tmp_path_factory.mktemp("runs") / "linear"
    population = Classifiers(DIGITS, hidden=(16,), sd=0.1, chromosomes={"first": r"^0\."})
    small_run(
        path, births=200, population=population, strategy=NaturalNiches(size=8, crossover=LINEAR)
    )
    return path, population


def test_shares_of_a_lineage_rebuild_the_best(linear):
    path, population = linear
    run = Record.read(path)
    at = positions_along(run.founding.stretches)
    found, births = founder_shares(run, at)
    assert births > 10
    assert found.sum(axis=1) == pytest.approx(1)
    founders = population.founders(np.random.default_rng(np.random.SeedSequence(0, spawn_key=(0,))))
    expected = sum(found[:, k] * founder.vector[at] for k, founder in enumerate(founders))
    best = read_snapshot(path)[2][f"genome.{run.bests[-1]['birth']}.vector"].numpy()
    assert best[at] == pytest.approx(expected, abs=1e-5)


def test_immigrants_have_a_share(tmp_path):
    strategy = NaturalNiches(size=8, crossover=LINEAR, immigrants=0.5)
    small_run(tmp_path, births=200, strategy=strategy)
    run = Record.read(tmp_path)
    found, _ = founder_shares(run, positions_along(run.founding.stretches))
    assert found.shape[1] == 3
    assert found.sum(axis=1) == pytest.approx(1)
    assert ">immigrants<" in "".join(shares.cards(run))


def test_parts_are_those_of_the_crossover(linear):
    path, population = linear
    run = Record.read(path)
    entry = run.bests[-1]
    crossing = Crossing(tuple(entry["ratios"]), tuple(map(tuple, entry["splits"])), "none")
    assert parts(entry, run.founding.stretches) == [
        part for region in regions(crossing, population.axis) for part in region.parts
    ]
    at = positions_along(run.founding.stretches)
    second = second_share(entry, run.founding.stretches, at)
    for start, stop, w in parts(entry, run.founding.stretches):
        assert set(second[(at >= start) & (at < stop)]) <= {w}
    assert run.founding.stretches == stretches_along(population.axis)


def test_positions_are_within_and_in_every_stretch():
    stretches = [
        Stretch("all", "a", 0, 3),
        Stretch("all", "b", 3, 100_000),
        Stretch("rest", "a", 100_000, 100_001),
    ]
    at = positions_along(stretches)
    assert len(set(at.tolist())) == len(at)
    assert [((at >= start) & (at < stop)).sum() > 0 for *_, start, stop in stretches] == [True] * 3


def test_a_layer_of_several_stretches_has_one_mean():
    stretches = [Stretch("all", "a", 0, 1), Stretch("all", "b", 1, 3), Stretch("all", "a", 3, 6)]
    at, values = np.arange(6), np.array([[1.0], [5.0], [7.0], [2.0], [2.0], [2.0]])
    assert by_layer(stretches, at, values) == {"all": [("a", [1.75]), ("b", [6.0])]}


def test_a_recipe_is_told_by_its_coefficients(linear):
    run = Record.read(linear[0])
    first, *_, last = run.founding.stretches
    recipe = {"bounds": [0, first.stop, last.stop], "coefficients": [[1.25, -0.5], [0.0, 1.0]]}
    html = shares.cards(replace(run, recipe=recipe))[1]
    numbers = re.findall(r">(-?\d\.\d\d)</td>", html)
    assert numbers[:2] == ["1.25", "-0.50"]
    assert set(numbers[2:]) == {"0.00", "1.00"}
