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

        def features(pixels: torch.Tensor) -> torch.Tensor:
            return _of_length_1(self.network.get_image_features(pixel_values=pixels))

        return self.judge(pictures, features)

    @torch.no_grad()
    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        """(B, F) features of B texts, of length 1; what is too long for CLIP is cut."""
        encoded = self._texts(list(texts), padding=True, truncation=True, return_tensors="pt")
        encoded = encoded.to(self.network.device)
        # some tokenizers give more than CLIP takes
        features = self.network.get_text_features(
            input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]
        )
        return _of_length_1(features).cpu()

    @cached_property
    def _texts(self) -> Any:
        """Its tokenizer."""
        return self._load("AutoTokenizer")

    @cached_property
    def _known(self) -> dict[Hashable, torch.Tensor]:
        """Features of references and prompts, which come again birth after birth."""
        return {}

    def _features_by_key(
        self, keys: Sequence[Hashable], make: Callable[[list[int]], torch.Tensor]
    ) -> torch.Tensor:
        """(B, F) features, of which those are made that are not known yet.

        Args:
            keys: what each of them is of.
            make: makes the features of those at some places.
        """
        # the last of equal keys stands for all of them
        new = {key: place for place, key in enumerate(keys) if key not in self._known}
        if new:
            self._known.update(zip(new, make(list(new.values())), strict=True))
        return torch.stack([self._known[key] for key in keys])

    def _likeness(self, pictures: torch.Tensor, features: torch.Tensor) -> np.ndarray:
        """(B,) how like (B, F) features those of pictures are, in [0, 1]."""
        drawn = self.image_features([pil(picture) for picture in pictures])  # (B, F)
        cosine = (drawn * features).sum(dim=-1)  # (B,)
        # rounding may take a cosine beyond 1
        return ((cosine + 1) / 2).clamp(0, 1).numpy(force=True)


class ImageSimilarity(Clip):
    """The normalised CLIP similarity of M2N2's third experiment.

    It is the cosine between the features of the picture and of a reference.

    score = (1 + cos(picture, reference)) / 2
    """

    def __init__(self, model: str | Path, image: str = "image") -> None:
        """Settings only.

        Args:
            model: a folder, or owner/name of the hub, with a CLIPModel in safetensors and its image
                processor.
            image: the field of the reference picture: a path, or an array (H, W) or (H, W, 3) of
                uint8.
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
        # there may be many thousands, so only their heads are read
        try:
            opened(record[self.image], whole=False)
        except ValueError as error:
            raise ValueError(f"{self.image}: {error}") from None

    def score(
        self,
        pictures: torch.Tensor,
        prompts: Sequence[str],  # noqa: ARG002
        records: Sequence[Mapping[str, Any]],
    ) -> np.ndarray:
        """As `Judge.score`."""
        references: list[Any] = []
        keys: list[Hashable] = []
        for record in records:
            reference = record[self.image]
            # a file is opened only where its features are not known yet
            if isinstance(reference, str | Path):
                references.append(reference)
                keys.append(str(reference))
            else:
                image = opened(reference)
                references.append(image)
                keys.append((image.size, image.tobytes()))

        def features(places: list[int]) -> torch.Tensor:
            return self.image_features([opened(references[place]) for place in places])

        return self._likeness(pictures, self._features_by_key(keys, features))


class TextSimilarity(Clip):
    """How like its prompt a picture is: (1 + cos(picture, prompt)) / 2, between CLIP's features."""

    @property
    def reader(self) -> Reader:
        """What reads the prompts."""
        # the tokenizer's limit is CLIP's number of positions
        return Reader("the judge", self._texts, self._texts.model_max_length)

    def score(
        self,
        pictures: torch.Tensor,
        prompts: Sequence[str],
        records: Sequence[Mapping[str, Any]],  # noqa: ARG002
    ) -> np.ndarray:
        """As `Judge.score`."""

        def features(places: list[int]) -> torch.Tensor:
            return self.text_features([prompts[place] for place in places])

        return self._likeness(pictures, self._features_by_key(list(prompts), features))


def _of_length_1(output: Any) -> torch.Tensor:
    """(B, F) features of length 1."""
    # older versions of transformers give them without an object around them
    return normalize(getattr(output, "pooler_output", output), dim=-1)
