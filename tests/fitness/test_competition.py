"""Competition, and the bound that foresees a rejection."""

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fitness.competition import MARGIN, RejectionBound, competitive_fitness

SETTINGS = [
    {"alpha": alpha, "capacity": capacity, "weighted": weighted, "relative": relative}
    for alpha in (0, 0.5, 1, 1.0, 2.5)
    for capacity in ("max", "one")
    for weighted in (False, True)
    for relative in (False, True)
]


def draw_scores(rng, kind, shape):
    """Scores of one kind, exact in float32 as those of a run are."""
    numbers = rng.random(shape, dtype=np.float32)
    if kind == "binary":
        return (numbers < rng.random()).astype(np.float64)
    if kind == "sparse":
        return numbers.astype(np.float64) * (rng.random(shape) < 0.2)
    return numbers.astype(np.float64)


def by_the_equation(scores, alpha, capacity, weights, relative):
    """Fitness as the docstring has it, one number at a time."""
    rows = scores.tolist()
    if relative:
        floor = [min(column) for column in zip(*rows, strict=True)]
        rows = [[s - low for s, low in zip(row, floor, strict=True)] for row in rows]
    fitness = []
    for row in rows:
        total = 0.0
        for j, s in enumerate(row):
            column = [other[j] for other in rows]
            z = sum(column) or 1.0
            total += weights[j] * (max(column) if capacity == "max" else 1.0) * s / z**alpha
        fitness.append(total)
    return fitness


@pytest.mark.parametrize("how", SETTINGS, ids=lambda how: "-".join(map(str, how.values())))
def test_fitness_is_the_equation(how):
    rng = np.random.default_rng(1)
    for kind in ("binary", "fractional", "sparse"):
        scores = draw_scores(rng, kind, (5, 11))
        scores[:, 3] = 0  # nobody solves this one
        weights = rng.random(11) * 2 if how["weighted"] else None
        arguments = {name: how[name] for name in ("alpha", "capacity", "relative")}
        fitness = competitive_fitness(scores, weights=weights, **arguments)
        assert fitness.dtype == np.float64
        expected = by_the_equation(
            scores, weights=np.ones(11) if weights is None else weights, **arguments
        )
        np.testing.assert_allclose(fitness, expected, rtol=1e-12)


def test_fitness_agrees_with_the_reference_code(shared):
    cases = json.loads((shared / "golden/operators.json").read_text())["competition"]
    for case in cases:
        scores, alpha = np.array(case["scores"]), case["alpha"]
        for capacity, golden in (("one", case["reference_code"]), ("max", case["paper_capacity"])):
            fitness = competitive_fitness(scores, alpha=alpha, capacity=capacity)
            np.testing.assert_allclose(fitness, golden["fitness"], rtol=1e-5, atol=1e-5)
    assert {case["binary"] for case in cases} == {True, False}


def test_a_datapoint_that_nobody_solves_gives_nothing():
    scores = np.array([[0.0, 0.5, 0.25], [0.0, 0.5, 0.75]])
    assert competitive_fitness(scores).tolist() == [
        0.5 * 0.5 + 0.75 * 0.25,
        0.5 * 0.5 + 0.75 * 0.75,
    ]
    assert competitive_fitness(np.zeros((3, 4)), capacity="one").tolist() == [0.0, 0.0, 0.0]


def test_scores_in_float32_compete_in_float64():
    scores = np.random.default_rng(0).random((4, 500), dtype=np.float32)
    assert (
        competitive_fitness(scores).tolist()
        == competitive_fitness(scores.astype(np.float64)).tolist()
    )


def test_equal_rows_have_equal_fitness_to_the_bit():
    rng = np.random.default_rng(2)
    for members in (2, 3, 8, 21):
        for datapoints in (1, 2, 7, 64, 1437):
            scores = rng.random((members, datapoints), dtype=np.float32)
            scores[-1] = scores[0]
            for alpha in (0.3, 1.0):
                fitness = competitive_fitness(scores, alpha=alpha, weights=rng.random(datapoints))
                assert fitness[0] == fitness[-1]


def test_fitness_leaves_its_arguments_alone():
    scores, weights = np.random.default_rng(3).random((3, 5)), np.linspace(0.5, 1.5, 5)
    before = scores.copy(), weights.copy()
    competitive_fitness(scores, weights=weights, relative=True)
    assert (scores == before[0]).all()
    assert (weights == before[1]).all()


@pytest.mark.parametrize(
    ("scores", "arguments", "message"),
    [
        (np.zeros(3), {}, r"scores: .*\(3,\)"),
        (np.zeros((2, 3)), {"alpha": -0.5}, "alpha: .*-0.5"),
        (np.zeros((2, 3)), {"alpha": float("nan")}, "alpha: .*nan"),
        (np.zeros((2, 3)), {"capacity": "min"}, "capacity: .*'min'"),
        (np.zeros((2, 3)), {"weights": np.ones(2)}, r"weights: .*\(3,\).*\(2,\)"),
    ],
)
def test_a_wrong_argument_is_named(scores, arguments, message):
    with pytest.raises(ValueError, match=message):
        competitive_fitness(scores, **arguments)


def cut(rng, datapoints, tiles):
    """All datapoints in random order, in tiles of random size."""
    places = np.sort(
        rng.choice(np.arange(1, datapoints), min(tiles, datapoints) - 1, replace=False)
    )
    return np.split(rng.permutation(datapoints), places)


def gap(scores, child, **how):
    """By how much the child's fitness is above that of the least fit member, among all N + 1."""
    fitness = competitive_fitness(np.vstack([scores, child]), **how)
    return fitness[-1] - fitness[:-1].min()


def test_a_rejection_that_is_certain_comes_true():
    """10,000 cases, each asked after every number of tiles."""
    seen: Counter[str] = Counter()

    @settings(max_examples=500)
    @given(
        seed=st.integers(0, 2**32 - 1),
        members=st.integers(1, 8),
        datapoints=st.integers(1, 30),
        tiles=st.integers(1, 6),
        alpha=st.sampled_from([0.0, 1.0]) | st.floats(0.0, 1.0),
        capacity=st.sampled_from(["max", "one"]),
        kind=st.sampled_from(["binary", "fractional", "sparse"]),
        weighted=st.booleans(),
    )
    def ask(seed, members, datapoints, tiles, alpha, capacity, kind, weighted):
        rng = np.random.default_rng(seed)
        for _ in range(20):
            scores = draw_scores(rng, kind, (members, datapoints))
            child = draw_scores(rng, kind, datapoints) * (rng.random(datapoints) < rng.random())
            how = {
                "alpha": alpha,
                "capacity": capacity,
                "weights": rng.random(datapoints) * 2 if weighted else None,
            }
            cuts = cut(rng, datapoints, tiles)
            bound = RejectionBound(scores, cuts, **how)
            narrow = 3 * MARGIN * (datapoints if how["weights"] is None else how["weights"].sum())
            truth = gap(scores, child, **how)
            certain, lead, at_best = [], np.zeros(members), np.ones(datapoints)
            for k in range(len(cuts) + 1):
                certain.append(bound.certain(lead, k))
                ahead = gap(scores, at_best, **how)
                assert certain[-1] == (ahead < 0) or abs(ahead) < narrow, (
                    "the bound is what full marks from here on would give"
                )
                if k < len(cuts):
                    lead = lead + bound.lead(k, child[cuts[k]])
                    at_best[cuts[k]] = child[cuts[k]]
            assert not any(certain) or truth < 0
            assert certain == sorted(certain), "what was certain stays certain"
            seen["cases"] += 1
            seen["rejected"] += truth < 0
            seen["foreseen"] += certain[-2] and len(cuts) > 1
            seen["could be foreseen"] += truth < 0 and len(cuts) > 1

    ask()
    assert seen["cases"] >= 10_000
    assert seen["rejected"] > 0.2 * seen["cases"]
    assert seen["foreseen"] > 0.3 * seen["could be foreseen"]


def test_the_bound_keeps_ties_out():
    """Of equals the older is the least fit, not the newcomer; rounding must not decide it."""
    rng = np.random.default_rng(4)
    for _ in range(300):
        scores = rng.random((3, 40), dtype=np.float32)
        scores[1:] = np.maximum(scores[1:], scores[0])
        child = scores[0].astype(np.float64)
        tiles = cut(rng, 40, 4)
        weights = rng.random(40)
        bound = RejectionBound(scores, tiles, weights=weights)
        assert not bound.certain(
            sum(bound.lead(k, child[tile]) for k, tile in enumerate(tiles)), len(tiles)
        )


def test_leads_add_up_to_the_difference_in_fitness():
    rng = np.random.default_rng(5)
    scores, child, weights = rng.random((4, 30)), rng.random(30), rng.random(30)
    tiles = cut(rng, 30, 5)
    bound = RejectionBound(scores, tiles, alpha=0.7, weights=weights)
    fitness = competitive_fitness(np.vstack([scores, child]), alpha=0.7, weights=weights)
    lead = sum(bound.lead(k, child[tile]) for k, tile in enumerate(tiles))
    np.testing.assert_allclose(lead, fitness[-1] - fitness[:-1], atol=1e-12)


@pytest.mark.parametrize("weights", [None, np.linspace(0.1, 1.9, 30)])
def test_what_is_lost_is_the_mean_score_below_one(weights):
    rng = np.random.default_rng(6)
    child, tiles = rng.random(30), cut(rng, 30, 4)
    bound = RejectionBound(rng.random((2, 30)), tiles, weights=weights)
    lost = sum(bound.lost(k, child[tile]) for k, tile in enumerate(tiles))
    assert lost == pytest.approx(1 - np.average(child, weights=weights), abs=1e-12)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, float("nan")])
def test_the_bound_says_where_it_holds(alpha):
    with pytest.raises(ValueError, match=r"alpha: .*\[0, 1\]"):
        RejectionBound(np.ones((2, 3)), [np.arange(3)], alpha=alpha)
