"""Pictures from a text-to-image pipeline, in batches, each from noise of its own."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from fitness.batching import in_batches

SPLITS = ("train", "test", "validation")

OURS = (
    *("prompt", "num_inference_steps", "guidance_scale", "negative_prompt", "height", "width"),
    *("generator", "output_type", "return_dict", "num_images_per_prompt"),
)
"""What is passed to a pipeline by settings of their own, or by us."""


class Painter:
    """Draws prompts with any text-to-image pipeline of diffusers.

    All randomness of a picture, its first noise and what a scheduler adds on the way, comes from a number of its own, drawn on the CPU
    whatever the pipeline runs on: members differ by weights alone, and the company in a batch does not matter. (A few schedulers draw
    from torch's global state; with these a picture is the same again in the same batch only.) Where memory runs out, the batch is
    halved, for good, and the drawing goes on.
    """

    def __init__(
        self,
        steps: int = 20,
        guidance: float | None = None,
        height: int | None = None,
        width: int | None = None,
        negative: str | None = None,
        batch: int = 16,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        """Settings only.

        Args:
            steps: of the pipeline's scheduler.
            guidance: scale of the classifier-free guidance; None: the pipeline's default. Up to 1 there is none, at half the cost.
            height: of a picture in pixels; None: the pipeline's default.
            width: likewise.
            negative: a negative prompt for all pictures.
            batch: pictures that are drawn side by side.
            options: other arguments of the pipeline's call.

        Raises:
            ValueError: if a setting is out of its range.
        """
        for name, number in (
            ("steps", steps),
            ("batch", batch),
            ("height", height),
            ("width", width),
        ):
            if number is not None and (
                isinstance(number, bool) or not isinstance(number, int) or number < 1
            ):
                raise ValueError(f"{name}: expected a whole number of at least 1, got {number!r}")
        if taken := sorted(set(options or {}) & {*OURS}):
            raise ValueError(
                f"options: {taken[0]} is not for these; the painter has settings for it, or gives it itself"
            )
        self.steps, self.guidance, self.height, self.width = steps, guidance, height, width
        self.negative, self.batch, self.options = negative, batch, options

    def __call__(
        self, pipeline: Any, prompts: Sequence[str], noises: Sequence[int]
    ) -> torch.Tensor:
        """The pictures of prompts.

        Args:
            pipeline: of diffusers; a progress bar is its own matter.
            prompts: B texts.
            noises: B numbers that set the noise of each.

        Returns:
            (B, 3, height, width) float32 in [0, 1], in the host's memory.

        Raises:
            ValueError: if the pipeline does not take these settings, or the pictures are not finite.
            MemoryError: if there is no memory for one picture.
        """
        call = self._call(pipeline)
        batches, self.batch = in_batches(
            self.batch,
            len(prompts),
            lambda start, stop: self._draw(pipeline, call, prompts[start:stop], noises[start:stop]),
            "pictures were drawn",
            lambda _: (
                "there is no memory to draw one picture: make it smaller, or leave less in the same memory"
            ),
        )
        pictures = torch.cat(batches)
        if not pictures.isfinite().all():
            raise ValueError("the pipeline drew pictures with numbers that are not finite")
        return pictures

    def _call(self, pipeline: Any) -> dict[str, Any]:
        """The arguments that are the same for all pictures."""
        given = {
            "guidance_scale": self.guidance,
            "height": self.height,
            "width": self.width,
            "negative_prompt": self.negative,
        }
        call = {name: value for name, value in given.items() if value is not None} | dict(
            self.options or {}
        )
        parameters = inspect.signature(pipeline.__call__).parameters
        # what a pipeline takes by **kwargs it ignores
        known = [
            name
            for name, parameter in parameters.items()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        for name in ("prompt", *call):
            if name not in known:
                raise ValueError(
                    f"{type(pipeline).__name__} takes no {name}; it takes {', '.join(known)}"
                )
        return call

    def _draw(
        self, pipeline: Any, call: Mapping[str, Any], prompts: Sequence[str], noises: Sequence[int]
    ) -> torch.Tensor:
        many = (
            {"negative_prompt": [self.negative] * len(prompts)} if "negative_prompt" in call else {}
        )
        models: list[Any] = [
            part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)
        ]
        types = [model.dtype for model in models]
        gpus = [pipeline.device.index or 0] if pipeline.device.type == "cuda" else []
        try:
            with torch.random.fork_rng(devices=gpus), _silent():
                torch.manual_seed(
                    noises[0]
                )  # some schedulers draw from torch's own state, whatever they are given
                drawn = pipeline(
                    prompt=list(prompts),
                    num_inference_steps=self.steps,
                    generator=[torch.Generator().manual_seed(noise) for noise in noises],
                    output_type="pt",
                    **{**call, **many},
                ).images
        finally:
            # some pipelines decode in another type, and stay in it where that fails
            for model, dtype in zip(models, types, strict=True):
                if model.dtype != dtype:
                    model.to(dtype)
        return drawn.float().cpu()


@contextmanager
def _silent() -> Iterator[None]:
    """Without the warnings that pipelines repeat for every batch, of prompts that are cut, which `fitness.reading` names, too."""
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    libraries = of_diffusers, of_transformers
    before = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, verbosity in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)


def noise_of(seed: int, split: str, datapoint: int) -> int:
    """The number that sets a datapoint's noise: another one for each seed, split and datapoint."""
    return int(
        np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), datapoint)).generate_state(
            1, np.uint64
        )[0]
        >> 1
    )
