"""Scores from 0 to 1: rounding is no fault of a scorer, and everything else past an end is."""

import numpy as np
import pytest
import torch

from fitness.unit import unit_score


@pytest.mark.parametrize(
    ("value", "most", "score"),
    [
        (0.25, 1.0, 0.25),
        (True, 1.0, 1.0),
        (np.float32(0.5), 1.0, 0.5),
        (torch.tensor(0.5), 1.0, 0.5),
        # nine ninths, one after another
        (sum([1 / 9] * 9), 1.0, 1.0),
        (1 / 3 + 2 / 3 + 2**-52, 1.0, 1.0),
        (1 - 0.9 - 0.1, 1.0, 0.0),
        (1.1 + 2.2, 3.3, 1.0),
    ],
)
def test_what_is_past_an_end_by_rounding_alone_is_that_end(value, most, score):
    assert unit_score(value, most) == pytest.approx(score, abs=0, rel=1e-12)
    assert 0 <= unit_score(value, most) <= 1


@pytest.mark.parametrize(
    "value",
    [1.001, -0.001, float("nan"), float("inf"), 10**400, None, "much", [1], torch.ones(3)],
)
def test_what_is_no_score_is_none(value):
    assert unit_score(value) is None
