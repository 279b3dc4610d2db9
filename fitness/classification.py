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

    @torch.inference_mode()
    def __call__(self, model: Callable[[torch.Tensor], torch.Tensor], datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`."""
        inputs, targets = self._batch(datapoints, split, _device(model))
        scores = self.score(model(inputs), targets)
        return scores.float().cpu().numpy() if isinstance(scores, torch.Tensor) else np.asarray(scores)

    score_many = __call__
    """A stack of models is one callable that gives (W, B, classes), and its scores are (W, B)."""

    @torch.inference_mode()
    def explain(self, model: Callable[[torch.Tensor], torch.Tensor], datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
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
        images = _on_device(self.data, split, device)
        index = torch.from_numpy(np.ascontiguousarray(datapoints, dtype=np.int64)).to(device)
        return images[0].index_select(0, index), images[1].index_select(0, index)


@lru_cache(maxsize=8)
def _on_device(data: Images, split: str, device: torch.device) -> Split:
    images = data.split(split)
    if images is None:
        raise ValueError(f"{data} has no split {split!r}")
    return images[0].to(device), images[1].to(device)


def _device(model: object) -> torch.device:
    parameters = getattr(model, "parameters", None)
    first = next(iter(parameters()), None) if callable(parameters) else None
    return torch.device("cpu") if first is None else first.device
