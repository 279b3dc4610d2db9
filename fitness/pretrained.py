"""Models of transformers that judge pictures: found by their configs, loaded in float32 from safetensors alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from fitness.batching import in_batches

BATCH = 64
"""Pictures that are judged side by side."""


class Pretrained:
    """A model with its image processor, loaded on first use; beside the pictures, in float32, whatever it judges."""

    loader: ClassVar[str]
    """The class of transformers that loads it."""

    kind: ClassVar[str | None] = None
    """The type that its config must have."""

    def __init__(self, model: str | Path) -> None:
        """Settings only.

        Args:
            model: a folder, or owner/name of the hub.
        """
        self.model = model
        self._batch = BATCH

    @cached_property
    def config(self) -> Any:
        """Its config; nothing else is read for it.

        Raises:
            ImportError: if transformers is not installed.
            ValueError: if there is no such model, or it is of another type.
        """
        found = self._load("AutoConfig")
        if self.kind is not None and found.model_type != self.kind:
            raise ValueError(
                f"model: expected a model of type {self.kind}, {self.model} is a {found.model_type}"
            )
        return found

    @cached_property
    def network(self) -> Any:
        """The model, ready to judge, on a GPU if there is one.

        Raises:
            ValueError: as `config`; if it does not load, or the folder has not all of its weights.
        """
        _ = self.config
        made, told = self._load(self.loader, use_safetensors=True, output_loading_info=True)
        if missing := sorted(told["missing_keys"]):  # these would be random
            raise ValueError(
                f"model: {self.model} is no {type(made).__name__}: it has no weights for {missing[0]}"
            )
        # parameters keep their requires_grad, though nothing is learned: with frozen ones torch takes a slow path for strided inputs
        return made.float().eval().to("cuda" if torch.cuda.is_available() else "cpu")

    @cached_property
    def processor(self) -> Any:
        """Its image processor."""
        return self._load("AutoImageProcessor")

    @torch.no_grad()
    def judge(
        self, pictures: Sequence[Any], call: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """(B, ...) what a call gives for the pixels of B PIL images, batch by batch, in the host's memory."""

        def part(start: int, stop: int) -> torch.Tensor:
            pixels = self.processor(images=list(pictures[start:stop]), return_tensors="pt")[
                "pixel_values"
            ]
            return call(pixels.to(self.network.device, torch.float32)).cpu()

        alone = f"there is no memory for {self.model} to judge one picture"
        parts, self._batch = in_batches(
            self._batch, len(pictures), part, "pictures were judged", lambda _: alone
        )
        return torch.cat(parts)

    def _load(self, loader: str, **settings: Any) -> Any:
        try:
            import transformers
            from transformers.utils import logging as bars
        except ImportError as error:
            raise ImportError(
                "judges need the package transformers: pip install 'evomerge[diffusion]'"
            ) from error
        path, shown = Path(self.model).expanduser(), bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            return getattr(transformers, loader).from_pretrained(
                path if path.is_dir() else str(self.model), **settings
            )
        except (ValueError, OSError, KeyError) as error:
            first = next(
                (text for text in str(error).splitlines() if text.strip()), type(error).__name__
            )
            raise ValueError(f"model: {self.model} cannot be loaded: {first}") from None
        finally:
            if shown:
                bars.enable_progress_bar()

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, models and what they made do not."""
        made = {
            name
            for name in vars(self)
            if isinstance(getattr(type(self), name, None), cached_property)
        }
        return {name: value for name, value in vars(self).items() if name not in made}
