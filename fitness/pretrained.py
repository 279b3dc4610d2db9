"""Models of transformers that judge pictures: found by their configs, loaded in float32 from safetensors alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch


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

    @cached_property
    def config(self) -> Any:
        """Its config; nothing else is read for it.

        Raises:
            ImportError: if transformers is not installed.
            ValueError: if there is no such model, or it is of another type.
        """
        found = self._load("AutoConfig")
        if self.kind is not None and found.model_type != self.kind:
            raise ValueError(f"model: expected a model of type {self.kind}, {self.model} is a {found.model_type}")
        return found

    @cached_property
    def network(self) -> Any:
        """The model, ready to judge.

        Raises:
            ValueError: as `config`; if it does not load.
        """
        _ = self.config
        return self._load(self.loader, use_safetensors=True).float().eval().requires_grad_(False)

    @cached_property
    def processor(self) -> Any:
        """Its image processor."""
        return self._load("AutoImageProcessor")

    def pixels(self, pictures: Sequence[Any], device: torch.device) -> torch.Tensor:
        """(B, 3, H, W) what the model gets of B PIL images."""
        return self.processor(images=list(pictures), return_tensors="pt")["pixel_values"].to(device, torch.float32)

    def _load(self, loader: str, **settings: Any) -> Any:
        try:
            import transformers
            from transformers.utils import logging as bars
        except ImportError as error:
            raise ImportError("judges need the package transformers: pip install 'evomerge[diffusion]'") from error
        path, shown = Path(self.model).expanduser(), bars.is_progress_bar_enabled()
        bars.disable_progress_bar()
        try:
            return getattr(transformers, loader).from_pretrained(path if path.is_dir() else str(self.model), **settings)
        except (ValueError, OSError, KeyError) as error:
            first = next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)
            raise ValueError(f"model: {self.model} cannot be loaded: {first}") from None
        finally:
            if shown:
                bars.enable_progress_bar()

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, models and what they made do not."""
        made = {name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)}
        return {name: value for name, value in vars(self).items() if name not in made}
