"""Who solves what: what is alike stands together."""

import numpy as np

from evomerge.report.niches import alike, in_blocks


def test_niches_stand_together():
    rng = np.random.default_rng(0)
    kinds = rng.permutation(np.repeat([0, 1, 2], 10))
    scores = (
        rng.random((30, 300)) < np.where(kinds[:, None] == np.repeat([0, 1, 2], 100), 0.9, 0.1)
    ).astype(float)
    for fitness in (np.arange(30.0), -np.arange(30.0)):
        rows = alike(scores, fitness)
        assert sorted(rows) == list(range(30))
        assert (np.diff(kinds[rows]) != 0).sum() == 2
        assert np.flatnonzero(rows == fitness.argmax())[0] < 15


def test_few_members():
    assert alike(np.eye(2), np.array([1.0, 2.0])).tolist() == [1, 0]
    assert alike(np.eye(1), np.array([1.0])).tolist() == [0]
    assert sorted(alike(np.ones((4, 3)), np.ones(4))) == [0, 1, 2, 3]


def test_blocks_of_the_same_solvers_the_scarce_ones_behind():
    scores = np.array([[1, 0, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0]])
    assert in_blocks(scores).tolist() == [0, 2, 4, 1, 5, 3]
    assert in_blocks(scores, np.array([1, 0, 1, 0, 0, 1])).tolist() == [4, 1, 3, 0, 2, 5]
