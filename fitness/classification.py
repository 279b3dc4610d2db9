"""Scores of a model that answers each labelled image with one number for each class."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, Protocol

import numpy as np
import torch

from fitness.images import Images, Split
from fitness.portable import Portable

BATCHES = 32
"""How many batches are kept ready."""

DARKEST = 1e-9
"""Stands for the brightest pixel where all are 0, so that nothing is divided by 0."""

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""Outputs (B, classes) and targets (B,) to scores (B,) in [0, 1]."""


class Stack(Protocol):
    """W models that run as one: inputs (B, ...) to outputs (W, B, classes)."""

    device: torch.device

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of every model for the same inputs."""


def right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 where the largest of the outputs (B, classes) is the target (B,), otherwise 0: (B,)."""
    return outputs.argmax(dim=-1) == targets


def probability(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The softmax probability that the outputs (B, classes) give to the target (B,): (B,)."""
    return outputs.softmax(dim=-1).gather(-1, targets[:, None])[:, 0]


class Classification(Portable):
    """One score for each image: right or wrong, or what a function of outputs and targets says."""

    def __init__(self, data: Images, score: Score = right) -> None:
        """Settings only; the images are loaded on first use.

        Args:
            data: the labelled images.
            score: outputs (B, classes) and targets (B,) to scores (B,) in [0, 1], each datapoint by
                itself.
        """
        self.data = data
        self.score = score

    def size(self, split: str) -> int:
        """As `Fitness.size`."""
        images = self.data.split(split)
        return 0 if images is None else len(images[0])

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """As `Fitness.groups`: the images of each class, by its number."""
        images = self.data.split(split)
        if images is None:
            return {}
        labels = images[1].numpy()  # (D,)
        return {str(label): np.flatnonzero(labels == label) for label in np.unique(labels)}

    def __call__(self, model: torch.nn.Module, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`."""
        inputs, targets = self._batch(datapoints, split, _device(model))
        return _numbers(self.score(model(inputs), targets))

    def score_many(self, models: Stack, datapoints: np.ndarray, split: str) -> np.ndarray:
        """Scores (W, B) of a stack of W models, which gives outputs (W, B, classes)."""
        inputs, targets = self._batch(datapoints, split, models.device)
        outputs = models(inputs)  # (W, B, classes)
        scores = self.score(outputs.flatten(0, 1), targets.repeat(len(outputs)))  # (W * B,)
        return _numbers(scores).reshape(outputs.shape[:2])

    def explain(
        self, model: torch.nn.Module, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint the expected label, the model's answer, and the picture.

        A picture is rows of grey values, 0 to 255.
        """
        inputs, targets = self._batch(datapoints, split, _device(model))
        answers = model(inputs).argmax(dim=-1)  # (B,)
        # inputs may be rows of pixels, and may have colours
        height, width = self.data.shape()
        grey = inputs.reshape(len(inputs), -1, height, width).mean(dim=1)  # (B, height, width)
        grey = (255 * grey / max(float(grey.max()), DARKEST)).round().to(torch.uint8)
        entries = []
        for expected, answer, picture in zip(
            targets.tolist(), answers.tolist(), grey.tolist(), strict=True
        ):
            entries.append({"expected": expected, "answer": answer, "picture": picture})
        return entries

    def _batch(self, datapoints: np.ndarray, split: str, device: torch.device) -> Split:
        """Images of these datapoints, and their labels.

        They are kept for as long as the same array of datapoints may come again, as tiles do birth
        after birth.
        """
        kept = self._batches
        key = (id(datapoints), split, device)
        if key not in kept:
            images = self.data.split(split)
            if images is None:
                raise ValueError(f"{self.data} has no split {split!r}")
            places = torch.from_numpy(np.array(datapoints, dtype=np.int64))
            batch = (
                images[0].index_select(0, places).to(device),
                images[1].index_select(0, places).to(device),
            )
            # an id is free for another array once its own is gone, so the array is kept, too
            kept[key] = datapoints, batch
            if len(kept) > BATCHES:
                kept.popitem(last=False)
        return kept[key][1]

    @cached_property
    def _batches(
        self,
    ) -> OrderedDict[tuple[int, str, torch.device], tuple[np.ndarray, Split]]:
        """Datapoints with their batch, by their identity, the oldest first."""
        return OrderedDict()


def _numbers(scores: torch.Tensor) -> np.ndarray:
    """Scores as numpy has them, float32 unless they are true and false."""
    if scores.is_floating_point():
        scores = scores.float()
    return scores.numpy(force=True)


@lru_cache(maxsize=2)
def _device(model: torch.nn.Module) -> torch.device:
    """Where a model runs."""
    return next(iter(model.parameters())).device
