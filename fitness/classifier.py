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
            raise ValueError(
                f"label: no field {self.label!r}; its fields: {', '.join(map(str, record))}"
            )
        self._class(record[self.label])
        _ = self.network  # one that lacks its head would judge at random

    def score(
        self, pictures: torch.Tensor, prompts: Sequence[str], records: Sequence[Mapping[str, Any]]
    ) -> np.ndarray:
        """As `Judge.score`."""
        wanted = [self._class(record[self.label]) for record in records]
        chances = self.judge(
            [pil(picture) for picture in pictures],
            lambda pixels: self.network(pixel_values=pixels).logits.softmax(-1),
        )
        return chances[torch.arange(len(wanted)), wanted].numpy()

    def _class(self, label: Any) -> int:
        """The number of a class.

        Raises:
            ValueError: if there is none.
        """
        names = self._names
        if (
            isinstance(label, int | np.integer)
            and not isinstance(label, bool)
            and 0 <= label < len(names)
        ):
            return int(label)
        found = [number for number, name in enumerate(names) if name == label]
        if len(found) == 1:
            return found[0]
        known = ", ".join(names[:12]) + (" ..." if len(names) > 12 else "")
        several = f"; {len(found)} have that name, so give the number" if found else ""
        raise ValueError(
            f"{self.label}: expected one of the classifier's {len(names)} classes ({known}), got {label!r}{several}"
        )

    @cached_property
    def _names(self) -> list[str]:
        """The name of each class."""
        names = {int(number): str(name) for number, name in (self.config.id2label or {}).items()}
        return [names.get(number, str(number)) for number in range(self.config.num_labels)]
