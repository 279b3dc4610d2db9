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

FEW = 12
"""Classes that a message names."""


class ClassProbability(Pretrained):
    """The softmax of an image classifier of transformers, at the class that a record names."""

    loader = "AutoModelForImageClassification"

    def __init__(self, model: str | Path, label: str = "label") -> None:
        """Settings only; the model is loaded on first use.

        Args:
            model: a folder, or owner/name of the hub, with an image classifier in safetensors and
                its image processor.
            label: the field of the wanted class: its number, or its name as the classifier's config
                has it.
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
        # a model that lacks its head would judge at random, which only loading it shows
        _ = self.network

    def score(
        self,
        pictures: torch.Tensor,
        prompts: Sequence[str],  # noqa: ARG002
        records: Sequence[Mapping[str, Any]],
    ) -> np.ndarray:
        """As `Judge.score`."""
        wanted = [self._class(record[self.label]) for record in records]

        def chances(pixels: torch.Tensor) -> torch.Tensor:
            return self.network(pixel_values=pixels).logits.softmax(-1)

        judged = self.judge([pil(picture) for picture in pictures], chances)  # (B, classes)
        return judged[torch.arange(len(wanted)), wanted].numpy()

    def _class(self, label: Any) -> int:
        """The number of a class.

        Raises:
            ValueError: if there is none.
        """
        names = self._names
        is_number = isinstance(label, int | np.integer) and not isinstance(label, bool)
        if is_number and 0 <= label < len(names):
            return int(label)
        matches = [number for number, name in enumerate(names) if name == label]
        if len(matches) == 1:
            return matches[0]
        known = ", ".join(names[:FEW])
        if len(names) > FEW:
            known += " ..."
        # ImageNet has two cranes and two maillots
        several = ""
        if matches:
            several = f"; {len(matches)} have that name, so give the number"
        raise ValueError(
            f"{self.label}: expected one of the classifier's {len(names)} classes ({known}), "
            f"got {label!r}{several}"
        )

    @cached_property
    def _names(self) -> list[str]:
        """The name of each class; its number where the config has no name for it."""
        names = [str(number) for number in range(self.config.num_labels)]
        for key, name in (self.config.id2label or {}).items():
            # configs of JSON have texts for keys, and may name more classes than there are
            number = int(key)
            if 0 <= number < len(names):
                names[number] = str(name)
        return names
