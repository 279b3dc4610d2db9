"""What all trainings of the painters and their judges have in common: the loop and the pictures."""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import pad

from fitness.digit_prompts import SIDE, pictures

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Course:
    """One training.

    Attributes:
        steps: of AdamW.
        rate: learning rate at the start, after a short warm-up; it falls linearly.
        batch: pictures in one step.
        end: share of the rate that is left at the end.
    """

    steps: int
    rate: float
    batch: int
    end: float = 0.05


def album(reach: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Lesson pictures (n, 3, 16, 16) float32 in [-1, 1] and labels (n,) int64.

    Args:
        reach: each picture is also there moved by up to so many pixels.
    """
    stored, kinds = pictures("lessons")
    images = torch.from_numpy(stored.copy())
    labels = torch.from_numpy(kinds.copy())
    framed = pad(images.float()[:, None] / 127.5 - 1, (reach,) * 4, value=-1.0)
    moved = []
    for down in range(2 * reach + 1):
        for right in range(2 * reach + 1):
            moved.append(framed[:, :, down : down + SIDE, right : right + SIDE])
    # Digits are grey; pipelines draw in colour.
    return torch.cat(moved).expand(-1, 3, -1, -1), labels.repeat(len(moved))


def teach(
    model: Any, course: Course, lesson: Callable[[torch.Generator], torch.Tensor], seed: int
) -> None:
    """Trains a model in place.

    Args:
        model: of torch.
        course: how long, how fast.
        lesson: the loss of one batch, which it draws with this generator.
        seed: of the generator.
    """
    draws = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=course.rate, betas=(0.9, 0.98), weight_decay=1e-3
    )
    slope = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 20) * (1 - (1 - course.end) * step / course.steps),
    )
    mean = 0.0
    began = time.perf_counter()
    model.train()
    for step in range(course.steps):
        loss = lesson(draws)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        slope.step()
        optimizer.zero_grad()
        mean += (loss.item() - mean) / min(step + 1, 50)
        if step + 1 == course.steps or (step + 1) % 200 == 0:
            logger.info("step %d: loss %.4f, %.0f s", step + 1, mean, time.perf_counter() - began)
    model.eval()


def half(model: Any) -> Any:
    """A copy in float16, to be written."""
    return copy.deepcopy(model).half()
