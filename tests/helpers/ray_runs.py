"""What tests on Ray share, without torch.

A species of a hundred numbers, and fitnesses that are slow, deadly or wrong.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np

from evomerge.genome.axis import Axis
from evomerge.genome.weights import Weights

DATAPOINTS = 24


class Vectors:
    """A species of a hundred numbers, whose models are themselves."""

    def __init__(self):
        self.axis = Axis.flat({"numbers": (100,)})

    def founders(self, rng):
        return [Weights(child.standard_normal(100, dtype=np.float32)) for child in rng.spawn(2)]

    def express(self, genome):
        return genome.vector

    def save(self, genome, directory: Path):
        np.save(directory / "vector.npy", genome.vector)


def luck(model) -> np.random.Generator:
    """The same random numbers for the same model."""
    return np.random.default_rng(np.frombuffer(model.tobytes(), dtype=np.uint32))


class Slow:
    """Scores that are drawn from the model's numbers, after a sleep."""

    def __init__(self, seconds: float = 0.0):
        self.seconds = seconds

    def size(self, split):
        return DATAPOINTS if split == "train" else 0

    def __call__(self, model, datapoints, split):
        time.sleep(self.seconds)
        return luck(model).random(DATAPOINTS, dtype=np.float32)[datapoints]


class Unlucky(Slow):
    """One child in eight does something that it should not, while a file says so.

    It is always the same ones.
    """

    share = 0.125

    def __init__(self, what: str, while_there: str, seconds: float = 0.0):
        super().__init__(seconds)
        self.what, self.while_there = what, while_there

    def __call__(self, model, datapoints, split):
        if (
            luck(model).random() < self.share
            and not founder(model)
            and Path(self.while_there).exists()
        ):
            if self.what == "dies":
                os.kill(os.getpid(), signal.SIGKILL)
            elif self.what == "hangs":
                time.sleep(3600)
            elif self.what == "surroundings":
                raise OSError("the disk is gone")
            else:
                raise KeyError("no such thing")
        return super().__call__(model, datapoints, split)


def founder(model) -> bool:
    """Whether a model is one of the founders of a run with seed 0."""
    from evomerge.strategies.strategy import founders_rng

    return any(
        np.array_equal(model, genome.vector) for genome in Vectors().founders(founders_rng(0))
    )
