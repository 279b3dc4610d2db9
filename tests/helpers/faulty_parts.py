"""Fitnesses and populations as users get them wrong."""

import numpy as np
import torch

from fitness.classification import Classification
from populations.mnist import Classifiers


def _raise(scores):
    raise KeyError("the file of answers has no such key")


ANSWERS = {
    "nan": lambda scores: np.where(np.arange(scores.shape[-1]) == 1, np.nan, scores),
    "short": lambda scores: scores[..., :-1],
    "negative": lambda scores: scores - 0.5,
    "high": lambda scores: scores * 3.0 + 1.0,
    "text": lambda scores: "very good",
    "nothing": lambda scores: None,
    "raises": _raise,
}
"""What comes in place of the right scores."""


class Faulty(Classification):
    """Answers wrongly on one split: after `good` calls, every `every`-th time."""

    def __init__(
        self, data, answer: str = "nan", good: int = 0, every: int = 1, split: str = "train"
    ):
        super().__init__(data)
        self.answer, self.good, self.every, self.split = answer, good, every, split
        self.calls = 0

    def __call__(self, model, datapoints, split):
        return self._spoilt(super().__call__(model, datapoints, split), split)

    def score_many(self, models, datapoints, split):
        return self._spoilt(super().score_many(models, datapoints, split), split)

    def _spoilt(self, scores, split):
        self.calls += split == self.split
        wrong = self.calls > self.good and (self.calls - self.good) % self.every == 0
        return ANSWERS[self.answer](scores) if wrong and split == self.split else scores

    def __getstate__(self):
        return vars(self)


class NoSize:
    """Has no size."""

    def __init__(self, data=None):
        self.data = data

    def __call__(self, model, datapoints, split):
        return np.ones(len(datapoints))


class OddSize(Classification):
    """Has a size that is no number."""

    def size(self, split):
        return None


class Weighted(Classification):
    """Weighs the datapoints of each split with as many numbers as it is told, or with one less than 0."""

    def __init__(self, data, train: int = 1437, test: int = 360, first: float = 1.0):
        super().__init__(data)
        self.train, self.test, self.first = train, test, first

    def weights(self, split):
        return np.r_[self.first, np.ones({"train": self.train, "test": self.test}[split] - 1)]


class Impatient(Classification):
    """Cannot be made."""

    def __init__(self, data):
        raise RuntimeError("no licence was found")


class Lonely(Classifiers):
    """Has one founder."""

    def founders(self, rng):
        return super().founders(rng)[:1]


class Infinite(Classifiers):
    """Has a founder that is not finite."""

    def founders(self, rng):
        founders = super().founders(rng)
        founders[1].vector[3] = np.inf
        return founders


def network(inputs: int = 64):
    """A small network without hidden layers."""
    return torch.nn.Sequential(torch.nn.Linear(inputs, 10))


def nothing() -> None:
    """Makes nothing."""


NUMBER = 32
