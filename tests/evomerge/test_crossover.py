"""Split-point crossover: what is drawn, and which regions it makes."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing, Crossover, regions

SHAPES = {"0.weight": (3, 4), "0.bias": (3,), "2.weight": (2, 3), "2.bias": (2,), "scale": ()}
AXES = {
    "flat": Axis.flat(SHAPES),
    "whole tensors": Axis.flat(SHAPES, cut="tensor"),
    "by_input": Axis.flat(SHAPES, layout="by_input"),
    "chromosomes": Axis.flat(SHAPES, chromosomes={"biases": "bias", "second": "2"}),
    "unit": Axis.unit(SHAPES, [(["0.weight", "0.bias"], ["2.weight"])]),
}


@settings(max_examples=300)
@given(
    axis=st.sampled_from(list(AXES.values())),
    splits=st.integers(0, 4),
    angle=st.sampled_from(["tensor", "part", "whole"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_regions_cover_the_axis_once_and_ratios_take_turns(axis, splits, angle, seed):
    crossing = Crossover(splits, (-0.3, 1.3), angle).draw(axis, np.random.default_rng(seed))
    assert crossing.angle == angle
    made = list(regions(crossing, axis))
    parts = [part for region in made for part in region.parts]
    assert [(region.start, region.stop) for region in made] == [
        (r.parts[0][0], r.parts[-1][1]) for r in made
    ]
    assert parts[0][0] == 0
    assert parts[-1][1] == axis.size
    assert all(start < stop for start, stop, _ in parts)
    assert [stop for _, stop, _ in parts[:-1]] == [start for start, _, _ in parts[1:]]
    ratios = np.concatenate([np.full(stop - start, w) for start, stop, w in parts])
    for bounds, ratio, places in zip(
        axis.unit_bounds, crossing.ratios, crossing.splits, strict=True
    ):
        positions = np.arange(bounds[0], bounds[-1])
        turns = (positions[:, None] >= np.array(places)).sum(axis=1)
        assert ratios[positions].tolist() == np.where(turns % 2 == 0, ratio, 1 - ratio).tolist()
    edges = [(int(a), int(b)) for bounds in axis.unit_bounds for a, b in pairwise(bounds)]
    expected = {
        "tensor": edges,
        "part": [(start, stop) for start, stop, _ in parts],
        "whole": [(int(bounds[0]), int(bounds[-1])) for bounds in axis.unit_bounds],
    }
    assert [(region.start, region.stop) for region in made] == expected[angle]


@pytest.mark.parametrize("name", AXES)
def test_draws_stay_within_their_chromosome_and_reach_all_of_it(name):
    axis, rng = AXES[name], np.random.default_rng(0)
    crossings = [Crossover(2, (0.25, 0.5)).draw(axis, rng) for _ in range(600)]
    for index, bounds in enumerate(axis.unit_bounds):
        ratios = [crossing.ratios[index] for crossing in crossings]
        assert 0.25 <= min(ratios) < 0.26
        assert 0.49 < max(ratios) <= 0.5
        assert all(
            crossing.splits[index] == tuple(sorted(crossing.splits[index]))
            for crossing in crossings
        )
        places = {place for crossing in crossings for place in crossing.splits[index]}
        expected = range(bounds[0], bounds[-1]) if axis.cut == "element" else bounds[:-1].tolist()
        assert places == set(expected)


def test_chromosomes_draw_each_for_itself():
    crossing = Crossover(splits=3).draw(AXES["chromosomes"], np.random.default_rng(1))
    assert len(set(crossing.ratios)) == len(crossing.ratios) == 3
    assert [len(places) for places in crossing.splits] == [3, 3, 3]


def test_splits_that_coincide_leave_the_turn_to_the_next():
    axis = Axis.flat({"w": (10,)})
    crossing = Crossing((0.2,), ((0, 4, 4, 7),), "whole")
    (region,) = regions(crossing, axis)
    assert region.parts == ((0, 4, 0.8), (4, 7, 0.8), (7, 10, 0.2))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"splits": -1}, "splits: .*-1"),
        ({"ratio": (1.0, 0.0)}, r"ratio: .*\[1\.0, 0\.0\]"),
        ({"ratio": (0.0, math.inf)}, "ratio: .*inf"),
        ({"ratio": (math.nan, 1.0)}, "ratio: .*nan"),
        ({"angle": "tensors"}, "angle: .*'tensors'"),
    ],
)
def test_a_wrong_setting_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Crossover(**arguments)


@pytest.mark.parametrize("name", AXES)
@pytest.mark.parametrize("angle", ["tensor", "part", "whole"])
def test_a_tensor_has_an_angle_where_it_is_whole(name, angle):
    if name == "unit" and angle == "tensor":
        with pytest.raises(ValueError, match="angle: 'tensor' needs a flat axis"):
            Crossover(angle=angle).fit(AXES[name])
    else:
        Crossover(angle=angle).fit(AXES[name])


def test_an_angle_that_is_not_said_is_as_the_genomes_allow():
    rng = np.random.default_rng(0)
    axis = AXES["chromosomes"]
    assert Crossover().draw(axis, rng).angle == "part"
    assert Crossover().draw(axis, rng, linear=True).angle == "none"
    # What is said is not changed: a strategy refuses it before a run begins.
    assert Crossover(angle="whole").draw(axis, rng, linear=True).angle == "whole"
