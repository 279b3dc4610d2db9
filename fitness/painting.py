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
    "prompt",
    "num_inference_steps",
    "guidance_scale",
    "negative_prompt",
    "height",
    "width",
    "generator",
    "output_type",
    "return_dict",
    "num_images_per_prompt",
)
"""What is passed to a pipeline by settings of their own, or by us."""


class Painter:
    """Draws prompts with any text-to-image pipeline of diffusers.

    All randomness of a picture, its first noise and what a scheduler adds on the way, comes from a
    number of its own, drawn on the CPU whatever the pipeline runs on: members differ by weights
    alone, and the company in a batch does not matter. (A few schedulers draw from torch's global
    state; with these a picture is the same again in the same batch only.) Where memory runs out,
    the batch is halved, for good, and the drawing goes on.
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
            guidance: scale of the classifier-free guidance; None: the pipeline's default. Up to 1
                there is none, at half the cost.
            height: of a picture in pixels; None: the pipeline's default.
            width: likewise.
            negative: a negative prompt for all pictures.
            batch: pictures that are drawn side by side.
            options: other arguments of the pipeline's call.

        Raises:
            ValueError: if a setting is out of its range.
        """
        sizes = {"steps": steps, "batch": batch, "height": height, "width": width}
        for name, number in sizes.items():
            if number is not None and not _is_count(number):
                raise ValueError(f"{name}: expected a whole number of at least 1, got {number!r}")
        # an option that is a setting too would be given twice
        taken = sorted(set(options or {}) & set(OURS))
        if taken:
            raise ValueError(
                f"options: {taken[0]} is not for these; the painter has settings for it, "
                f"or gives it itself"
            )
        self.steps = steps
        self.guidance = guidance
        self.height = height
        self.width = width
        self.negative = negative
        self.batch = batch
        self.options = options

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
            ValueError: if the pipeline does not take these settings, or the pictures are not
                finite.
            MemoryError: if there is no memory for one picture.
        """
        call = self._call(pipeline)

        def draw(start: int, stop: int) -> torch.Tensor:
            return self._draw(pipeline, call, prompts[start:stop], noises[start:stop])

        def no_memory(_: int) -> str:
            return (
                "there is no memory to draw one picture: make it smaller, or leave less in the "
                "same memory"
            )

        batches, self.batch = in_batches(
            self.batch, len(prompts), draw, "pictures were drawn", no_memory
        )
        pictures = torch.cat(batches)  # (B, 3, height, width)
        # half precision overflows in some decoders, and a judge would take that for a picture
        if not pictures.isfinite().all():
            raise ValueError("the pipeline drew pictures with numbers that are not finite")
        return pictures

    def _call(self, pipeline: Any) -> dict[str, Any]:
        """The arguments that are the same for all pictures, held against what it takes."""
        settings = {
            "guidance_scale": self.guidance,
            "height": self.height,
            "width": self.width,
            "negative_prompt": self.negative,
        }
        # what is not set is left to the pipeline, whose defaults differ
        call = {name: value for name, value in settings.items() if value is not None}
        call.update(self.options or {})
        known = []
        for name, parameter in inspect.signature(pipeline.__call__).parameters.items():
            # what a pipeline takes by **kwargs it ignores
            if parameter.kind is not parameter.VAR_KEYWORD:
                known.append(name)
        for name in ("prompt", *call):
            if name not in known:
                raise ValueError(
                    f"{type(pipeline).__name__} takes no {name}; it takes {', '.join(known)}"
                )
        return call

    def _draw(
        self, pipeline: Any, call: Mapping[str, Any], prompts: Sequence[str], noises: Sequence[int]
    ) -> torch.Tensor:
        """(b, 3, height, width) the pictures of one batch, in the host's memory."""
        arguments = dict(call)
        # pipelines want as many negative prompts as prompts
        if "negative_prompt" in call:
            arguments["negative_prompt"] = [self.negative] * len(prompts)
        generators = [torch.Generator().manual_seed(noise) for noise in noises]
        with _types_kept(pipeline), _random_state_kept(pipeline), _silent():
            # some schedulers draw from torch's own state, whatever they are given
            torch.manual_seed(noises[0])
            drawn = pipeline(
                prompt=list(prompts),
                num_inference_steps=self.steps,
                generator=generators,
                output_type="pt",
                **arguments,
            ).images
        return drawn.float().cpu()


def noise_of(seed: int, split: str, datapoint: int) -> int:
    """The number that sets a datapoint's noise: another for each seed, split and datapoint."""
    sequence = np.random.SeedSequence(seed, spawn_key=(SPLITS.index(split), datapoint))
    # torch takes signed numbers of 64 bits
    return int(sequence.generate_state(1, np.uint64)[0] >> 1)


def _is_count(number: Any) -> bool:
    """Whether it is a whole number of at least 1; true and false are whole numbers to Python."""
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


@contextmanager
def _types_kept(pipeline: Any) -> Iterator[None]:
    """A block after which a pipeline's models have the types of before.

    Some pipelines decode in another type, and stay in it where that fails.
    """
    models: list[Any] = []
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            models.append(part)
    types = [model.dtype for model in models]
    try:
        yield
    finally:
        for model, dtype in zip(models, types, strict=True):
            if model.dtype != dtype:
                model.to(dtype)


@contextmanager
def _random_state_kept(pipeline: Any) -> Iterator[None]:
    """A block after which torch's random states, the device's among them, are those of before."""
    devices = []
    if pipeline.device.type == "cuda":
        devices.append(pipeline.device.index or 0)
    with torch.random.fork_rng(devices=devices):
        yield


@contextmanager
def _silent() -> Iterator[None]:
    """A block without the warnings that pipelines repeat for every batch.

    They are of prompts that are cut, which `fitness.reading` names, too.
    """
    from diffusers.utils import logging as of_diffusers
    from transformers.utils import logging as of_transformers

    libraries = (of_diffusers, of_transformers)
    levels = [library.get_verbosity() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, level in zip(libraries, levels, strict=True):
            library.set_verbosity(level)
