"""Models of transformers that judge pictures.

They are found by their configs, and loaded in float32 from safetensors alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch

from fitness.batching import in_batches

BATCH = 64
"""Pictures that are judged side by side."""


class Pretrained:
    """A model with its image processor, loaded on first use.

    It is in float32, whatever it judges, on a GPU beside the pictures if there is one.
    """

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
        config = self._load("AutoConfig")
        if self.kind is not None and config.model_type != self.kind:
            raise ValueError(
                f"model: expected a model of type {self.kind}, "
                f"{self.model} is a {config.model_type}"
            )
        return config

    @cached_property
    def network(self) -> Any:
        """The model, ready to judge, on a GPU if there is one.

        Raises:
            ValueError: as `config`; if it does not load, or the folder has not all of its weights.
        """
        # a model of another type is refused before its weights are read
        _ = self.config
        network, loading = self._load(self.loader, use_safetensors=True, output_loading_info=True)
        # weights that are missing would be random
        missing = sorted(loading["missing_keys"])
        if missing:
            raise ValueError(
                f"model: {self.model} is no {type(network).__name__}: "
                f"it has no weights for {missing[0]}"
            )
        # parameters keep their requires_grad, though nothing is learned: with frozen ones torch
        # takes a slow path for strided inputs
        device = "cuda" if torch.cuda.is_available() else "cpu"
        return network.float().eval().to(device)

    @cached_property
    def processor(self) -> Any:
        """Its image processor."""
        return self._load("AutoImageProcessor")

    @torch.no_grad()
    def judge(
        self, pictures: Sequence[Any], call: Callable[[torch.Tensor], torch.Tensor]
    ) -> torch.Tensor:
        """What a call gives for the pixels of pictures, batch by batch.

        Args:
            pictures: B PIL images.
            call: (b, 3, height, width) pixels, as the processor makes them, to (b, ...).

        Returns:
            (B, ...), in the host's memory.

        Raises:
            MemoryError: if there is no memory for one picture.
        """

        def judge_some(start: int, stop: int) -> torch.Tensor:
            batch = self.processor(images=list(pictures[start:stop]), return_tensors="pt")
            pixels = batch["pixel_values"].to(self.network.device, torch.float32)
            return call(pixels).cpu()

        def no_memory(_: int) -> str:
            return f"there is no memory for {self.model} to judge one picture"

        judged, self._batch = in_batches(
            self._batch, len(pictures), judge_some, "pictures were judged", no_memory
        )
        return torch.cat(judged)

    def _load(self, loader: str, **settings: Any) -> Any:
        """What a class of transformers loads from the folder, or from the hub.

        Raises:
            ImportError: if transformers is not installed.
            ValueError: if it cannot be loaded.
        """
        try:
            import transformers
        except ImportError as error:
            raise ImportError(
                "judges need the package transformers: pip install 'evomerge[diffusion]'"
            ) from error
        path = Path(self.model).expanduser()
        # what is no folder here may be a name on the hub
        source = path if path.is_dir() else str(self.model)
        try:
            with _without_bars():
                return getattr(transformers, loader).from_pretrained(source, **settings)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(
                f"model: {self.model} cannot be loaded: {_first_line(error)}"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, models and what they made do not."""
        state = {}
        for name, value in vars(self).items():
            if not isinstance(getattr(type(self), name, None), cached_property):
                state[name] = value
        return state


@contextmanager
def _without_bars() -> Iterator[None]:
    """A block without transformers' progress bars."""
    from transformers.utils import logging as bars

    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _first_line(error: BaseException) -> str:
    """The first line of an error that says something; transformers' go on for a page."""
    for line in str(error).splitlines():
        if line.strip():
            return line
    return type(error).__name__
