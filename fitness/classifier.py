"""Pictures judged by a classifier: the probability that it gives to the class that was wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitness.pictures import pil
from fitness.pretrained import Pretrained


class ClassProbability(Pretrained):
    """The softmax of an image classifier of transformers, at the class that a record names."""

    loader = "AutoModelForImageClassification"

    def __init__(self, model: str | Path, label: str = "label") -> None:
        """Settings only; the model is loaded on first use.

        Args:
            model: a folder, or owner/name of the hub, with an image classifier in safetensors and its image processor.
            label: the field of the wanted class: its number, or its name as the classifier's config has it.
        """
        super().__init__(model)
        self.label = label

    def check(self, record: Mapping[str, Any]) -> None:
        """As `Judge.check`.

        Raises:
            ValueError: if there is no such model, or it has no such class.
        """
        if self.label not in record:
            raise ValueError(f"label: no field {self.label!r}; its fields: {', '.join(map(str, record))}")
        self._class(record[self.label])

    @torch.no_grad()
    def score(self, pictures: torch.Tensor, prompts: Sequence[str], records: Sequence[Mapping[str, Any]]) -> np.ndarray:  # noqa: ARG002
        """As `Judge.score`."""
        device, wanted = pictures.device, [self._class(record[self.label]) for record in records]
        logits = self.network.to(device)(pixel_values=self.pixels([pil(picture) for picture in pictures], device)).logits
        return logits.softmax(dim=-1)[torch.arange(len(wanted)), wanted].numpy(force=True)

    def _class(self, label: Any) -> int:
        """The number of a class.

        Raises:
            ValueError: if there is none.
        """
        numbers = self._numbers
        if isinstance(label, int | np.integer) and not isinstance(label, bool) and int(label) in numbers.values():
            return int(label)
        if isinstance(label, str) and label in numbers:
            return numbers[label]
        known = ", ".join(list(numbers)[:12]) + (" ..." if len(numbers) > 12 else "")
        raise ValueError(f"{self.label}: expected one of the classifier's {len(numbers)} classes ({known}), got {label!r}")

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """The number of each class by its name."""
        return {str(name): int(number) for name, number in self.config.label2id.items()}
