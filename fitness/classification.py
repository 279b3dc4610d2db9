"""Scores of a model that answers each labelled image with one number for each class."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from fitness.images import Images, Split

Score = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def right(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """1 where the largest of the outputs (..., B, classes) is the target (B,), otherwise 0: (..., B)."""
    return outputs.argmax(dim=-1) == targets


def probability(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The softmax probability that the outputs (..., B, classes) give to the target (B,): (..., B)."""
    return outputs.softmax(dim=-1).gather(-1, targets.expand(outputs.shape[:-1])[..., None])[..., 0]


class Classification:
    """One score for each image: right or wrong, or whatever a function of outputs and targets says."""

    def __init__(self, data: Images, score: Score = right) -> None:
        """Settings only; the images are loaded on first use.

        Args:
            data: the labelled images.
            score: outputs (B, classes) and targets (B,) to scores (B,) in [0, 1]. To be scored as a stack it has to take any
                number of leading dimensions: (..., B, classes) to (..., B).
        """
        self.data, self.score = data, score

    def size(self, split: str) -> int:
        """As `Fitness.size`."""
        images = self.data.split(split)
        return 0 if images is None else len(images[0])

    def __call__(self, model: torch.nn.Module, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`."""
        inputs, targets = self._batch(datapoints, split, _device(model))
        scores = self.score(model(inputs), targets)
        return (scores.float() if scores.is_floating_point() else scores).numpy(force=True)

    score_many = __call__
    """A stack of models is one callable that gives (W, B, classes), and its scores are (W, B)."""

    @torch.inference_mode()
    def explain(self, model: torch.nn.Module, datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
        """For each datapoint the expected label, the model's answer, and the picture as rows of grey values, 0 to 255."""
        inputs, targets = self._batch(datapoints, split, _device(model))
        answers = model(inputs).argmax(dim=-1)
        height, width = self.data.shape()
        pictures = inputs.reshape(len(inputs), -1, height, width).mean(dim=1)
        pictures = (255 * pictures / max(float(pictures.max()), 1e-9)).round().to(torch.uint8)
        return [
            {"expected": expected, "answer": answer, "picture": picture}
            for expected, answer, picture in zip(targets.tolist(), answers.tolist(), pictures.tolist(), strict=True)
        ]

    def _batch(self, datapoints: np.ndarray, split: str, device: torch.device) -> Split:
        return _batch(self.data, split, np.asarray(datapoints, dtype=np.int64).tobytes(), device)


@lru_cache(maxsize=32)
def _batch(data: Images, split: str, datapoints: bytes, device: torch.device) -> Split:
    """Images and labels of these datapoints, kept a while, since tiles come again birth after birth."""
    images = data.split(split)
    if images is None:
        raise ValueError(f"{data} has no split {split!r}")
    index = torch.from_numpy(np.frombuffer(datapoints, dtype=np.int64).copy())
    return images[0].index_select(0, index).to(device), images[1].index_select(0, index).to(device)


@lru_cache(maxsize=2)
def _device(model: torch.nn.Module) -> torch.device:
    """Where a model, or a stack of them, runs."""
    return next(iter(model.parameters())).device
