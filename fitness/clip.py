"""Pictures judged by CLIP: how like a reference picture, or how like its prompt, each is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from fitness.pictures import opened, pil
from fitness.pretrained import Pretrained
from fitness.reading import Reader


class Clip(Pretrained):
    """What both judges have in common: a CLIPModel, with its image processor and its tokenizer."""

    loader = "CLIPModel"
    kind = "clip"

    def check(self, record: Mapping[str, Any]) -> None:  # noqa: ARG002
        """As `Judge.check`.

        Raises:
            ValueError: if there is no such model.
        """
        _ = self.config

    def image_features(self, pictures: Sequence[Any]) -> torch.Tensor:
        """(B, F) features of B PIL images, of length 1."""
        return self.judge(
            pictures, lambda pixels: _features(self.network.get_image_features(pixel_values=pixels))
        )

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, F) features of B texts, of length 1; what is too long for CLIP is cut."""
        tokens = self._texts(list(texts), padding=True, truncation=True, return_tensors="pt").to(
            self.network.device
        )
        tokens = {name: tokens[name] for name in ("input_ids", "attention_mask")}
        return _features(self.network.get_text_features(**tokens)).cpu()

    @cached_property
    def _texts(self) -> Any:
        return self._load("AutoTokenizer")

    @cached_property
    def _known(self) -> dict[Hashable, torch.Tensor]:
        """Features of references and prompts, which come again birth after birth."""
        return {}

    def _once(
        self, keys: Sequence[Hashable], make: Callable[[list[int]], torch.Tensor]
    ) -> torch.Tensor:
        """(B, F) features by key, those made that are not known yet; `make` gets their places."""
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        if new:
            self._known.update(zip(new, make(list(new.values())), strict=True))
        return torch.stack([self._known[key] for key in keys])


class ImageSimilarity(Clip):
    """The normalised CLIP similarity of M2N2's third experiment: the cosine between the features of the picture and of a reference.

    score = (1 + cos(picture, reference)) / 2
    """

    def __init__(self, model: str | Path, image: str = "image") -> None:
        """Settings only.

        Args:
            model: a folder, or owner/name of the hub, with a CLIPModel in safetensors and its image processor.
            image: the field of the reference picture: a path, or an array (H, W) or (H, W, 3) of uint8.
        """
        super().__init__(model)
        self.image = image

    def check(self, record: Mapping[str, Any]) -> None:
        """As `Judge.check`.

        Raises:
            ValueError: if there is no such model, or the record has no such picture.
        """
        super().check(record)
        if self.image not in record:
            raise ValueError(
                f"image: no field {self.image!r}; its fields: {', '.join(map(str, record))}"
            )
        try:
            opened(record[self.image], whole=False)
        except ValueError as error:
            raise ValueError(f"{self.image}: {error}") from None

    def score(
        self, pictures: torch.Tensor, prompts: Sequence[str], records: Sequence[Mapping[str, Any]]
    ) -> np.ndarray:
        """As `Judge.score`."""
        references = [record[self.image] for record in records]
        files = [isinstance(value, str | Path) for value in references]
        ready = [
            value if file else opened(value) for value, file in zip(references, files, strict=True)
        ]
        keys = [
            str(value) if file else (value.size, value.tobytes())
            for value, file in zip(ready, files, strict=True)
        ]
        wanted = self._once(
            keys, lambda places: self.image_features([opened(ready[place]) for place in places])
        )
        return _similar(self.image_features([pil(picture) for picture in pictures]), wanted)


class TextSimilarity(Clip):
    """How like its prompt a picture is: (1 + cos(picture, prompt)) / 2, between CLIP's features."""

    @property
    def reader(self) -> Reader:
        """What reads the prompts."""
        return Reader("the judge", self._texts, self._texts.model_max_length)

    def score(
        self, pictures: torch.Tensor, prompts: Sequence[str], records: Sequence[Mapping[str, Any]]
    ) -> np.ndarray:
        """As `Judge.score`."""
        wanted = self._once(
            list(prompts), lambda places: self.text_features([prompts[place] for place in places])
        )
        return _similar(self.image_features([pil(picture) for picture in pictures]), wanted)


def _features(found: Any) -> torch.Tensor:
    return normalize(getattr(found, "pooler_output", found), dim=-1)


def _similar(one: torch.Tensor, other: torch.Tensor) -> np.ndarray:
    return (((one * other).sum(dim=-1) + 1) / 2).clamp(0, 1).numpy(force=True)
