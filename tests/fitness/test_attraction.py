"""Attraction: what the other can do and the first parent cannot."""

import json

import numpy as np
import pytest

from fitness.attraction import attraction


def test_attraction_agrees_with_the_reference_code(shared):
    for case in json.loads((shared / "golden/operators.json").read_text())["competition"]:
        scores, first, alpha = np.array(case["scores"]), case["first"], case["alpha"]
        for capacity, golden in (("one", case["reference_code"]), ("max", case["paper_capacity"])):
            found = attraction(scores, first, alpha=alpha, capacity=capacity)
            np.testing.assert_allclose(found, golden["attraction"], rtol=1e-5, atol=1e-5)


SCORES = np.array([[1.0, 0.0, 0.5, 0.0], [0.0, 1.0, 0.5, 0.0], [0.5, 0.25, 1.0, 0.0]])
# z = 1.5, 1.25, 2, 0 and c = 1, 1, 1, 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [0, 1 / 1.25, 0.25 / 1.25 + 0.5 / 2]),
        ({"alpha": 0}, [0, 1, 0.75]),
        ({"alpha": 2}, [0, 1 / 1.25**2, 0.25 / 1.25**2 + 0.5 / 4]),
        (
            {"weights": np.array([1.0, 3.0, 0.5, 9.0])},
            [0, 3 / 1.25, 3 * 0.25 / 1.25 + 0.5 * 0.5 / 2],
        ),
        # the worst of each column is 0, 0, 0.5, 0: then s = 0.5 and z = 0.5, c = 0.5 at the third
        ({"relative": True}, [0, 1 / 1.25, 0.25 / 1.25 + 0.5 * 0.5 / 0.5]),
        ({"relative": True, "capacity": "one"}, [0, 1 / 1.25, 0.25 / 1.25 + 0.5 / 0.5]),
    ],
)
def test_attraction_by_hand(arguments, expected):
    before = SCORES.copy()
    np.testing.assert_allclose(attraction(SCORES, 0, **arguments), expected, rtol=1e-12)
    assert (before == SCORES).all()


def test_nobody_attracts_a_parent_that_is_best_everywhere():
    scores = np.array([[1.0, 1.0, 0.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.0]])
    assert attraction(scores, 0).tolist() == [0, 0, 0]
    assert attraction(scores, 1).tolist() == [0.5 / 2.5, 0, 0.5 / 2.5]


@pytest.mark.parametrize(
    ("scores", "first", "arguments", "error", "message"),
    [
        (np.zeros(3), 0, {}, ValueError, "scores: "),
        (np.zeros((2, 3)), 2, {}, IndexError, "2"),
        (np.zeros((2, 3)), 0, {"alpha": -1}, ValueError, "alpha: "),
        (np.zeros((2, 3)), 0, {"capacity": "all"}, ValueError, "capacity: "),
        (np.zeros((2, 3)), 0, {"weights": np.ones((1, 3))}, ValueError, "weights: "),
    ],
)
def test_a_wrong_argument_is_named(scores, first, arguments, error, message):
    with pytest.raises(error, match=message):
        attraction(scores, first, **arguments)
