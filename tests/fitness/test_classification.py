"""Scores of image classifiers, one by one and in stacks."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from fitness.classification import BATCHES, Classification, probability, right


@dataclass(frozen=True)
class Grey:
    """Six pictures of 1x2 pixels in three classes; `split` counts how often it is asked."""

    asked: list[str]

    def split(self, name):
        self.asked.append(name)
        if name == "test":
            return None
        images = torch.tensor([[4, 0], [0, 2], [1, 1], [3, 0], [0, 1], [2, 2]], dtype=torch.float32)
        return images, torch.tensor([0, 1, 2, 1, 1, 0])

    def shape(self):
        return 1, 2


class Tell(nn.Module):
    """Class 0 for the left pixel, 1 for the right one, and never 2, by as much as they differ."""

    def __init__(self, sharpness=1.0):
        super().__init__()
        self.weight = nn.Parameter(
            torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]]) * sharpness, requires_grad=False
        )

    def forward(self, inputs):
        return inputs @ self.weight.T


class Pair:
    """Two of them as one stack."""

    width, device = 2, torch.device("cpu")

    def __call__(self, inputs):
        return torch.stack([Tell(1.0)(inputs), Tell(-1.0)(inputs)])


@pytest.fixture
def fitness():
    return Classification(Grey([]))


def test_right_and_probability():
    outputs = torch.tensor([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    assert right(outputs, torch.tensor([1, 1])).tolist() == [True, False]
    expected = [
        np.exp(2) / (1 + np.exp(2) + np.exp(1)),
        np.exp(2) / (np.exp(3) + np.exp(2) + np.exp(1)),
    ]
    assert probability(outputs, torch.tensor([1, 1])).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("split", "size"), [("train", 6), ("test", 0)])
def test_size(fitness, split, size):
    assert fitness.size(split) == size


def test_each_datapoint_has_its_own_score_in_the_order_asked(fitness):
    # answers 0, 1, 0 (a tie goes to the first), 0, 1, 0; labels 0, 1, 2, 1, 1, 0
    assert fitness(Tell(), np.arange(6), "train").tolist() == [1, 1, 0, 0, 1, 1]
    assert fitness(Tell(), np.array([2, 5, 0]), "train").tolist() == [0, 1, 1]


@pytest.mark.parametrize("score", [right, probability])
def test_a_stack_scores_as_its_models_do(score):
    fitness = Classification(Grey([]), score)
    datapoints = np.array([5, 0, 3, 2])
    stacked = fitness.score_many(Pair(), datapoints, "train")
    assert stacked.shape == (2, 4)
    for row, sharpness in zip(stacked, (1.0, -1.0), strict=True):
        assert row.tolist() == fitness(Tell(sharpness), datapoints, "train").tolist()
    if score is probability:
        assert stacked.dtype == np.float32


def test_a_tile_is_fetched_once_and_old_ones_are_let_go(fitness):
    tiles = [np.array([k % 6, 0]) for k in range(BATCHES + 1)]
    answers = [fitness(Tell(), tile, "train").tolist() for tile in tiles]
    asked = len(fitness.data.asked)
    assert fitness(Tell(), tiles[-1], "train").tolist() == answers[-1]
    assert len(fitness.data.asked) == asked, "the last tile was kept"
    assert fitness(Tell(), tiles[0], "train").tolist() == answers[0]
    assert len(fitness.data.asked) == asked + 1, "the first one was not"
    assert fitness.score_many(Pair(), tiles[0], "train")[0].tolist() == answers[0], (
        "a stack needs other labels"
    )


def test_other_datapoints_at_the_same_address_are_not_mistaken(fitness):
    scores = [fitness(Tell(), np.array([index]), "train").tolist() for index in range(6)]
    assert scores == [[1], [1], [0], [0], [1], [1]]


def test_a_split_that_is_missing_is_named(fitness):
    with pytest.raises(ValueError, match=r"Grey.*no split 'test'"):
        fitness(Tell(), np.array([0]), "test")


def test_explain_shows_the_picture(fitness):
    shown = fitness.explain(Tell(), np.array([3, 1]), "train")
    assert shown == [
        {"expected": 1, "answer": 0, "picture": [[255, 0]]},
        {"expected": 1, "answer": 1, "picture": [[0, 170]]},
    ]


def test_settings_travel_and_batches_do_not(fitness):
    fitness(Tell(), np.arange(6), "train")
    copy = pickle.loads(pickle.dumps(fitness))
    assert vars(copy).keys() == {"data", "score"}
    assert copy(Tell(), np.arange(6), "train").tolist() == [1, 1, 0, 0, 1, 1]


def test_the_images_of_each_class_are_a_group():
    groups = Classification(Grey([])).groups("train")
    assert {name: own.tolist() for name, own in groups.items()} == {
        "0": [0, 5],
        "1": [1, 3, 4],
        "2": [2],
    }
    assert Classification(Grey([])).groups("test") == {}
