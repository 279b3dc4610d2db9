"""Whether the seeds' pipelines agree in what is bred, and in what their denoisers were trained on.

Indices, configs and headers tell, before a weight is read; constants alone are compared as
numbers.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from populations.seeds.pipeline_folders import DENOISERS, INDEX, SCHEDULER, SCHEDULER_CONFIG
from populations.seeds.pipeline_settings import CLASS, component_settings, differing_settings, same
from populations.seeds.pipeline_sources import Bred
from populations.seeds.pipelines import Pipeline

NOISE = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "sigma_data",
)
"""Settings of a scheduler that say on what noise a denoiser was trained.

The others say how pictures are sampled.
"""

LATENTS = ("latent_channels", "scaling_factor", "shift_factor", "latents_mean", "latents_std")
"""Settings of an autoencoder that say on what latents a denoiser was trained."""

FLOW = "FlowMatch"
"""How schedulers for denoisers begin that predict a flow."""

FILLING = re.compile(r"Inpaint|Fill")
CHANGING = re.compile(r"Img2Img|Pix2Pix|Upscal|Depth2Img|ImageVariation|Edit|Layered|Redux")
"""Words in the names of pipelines that do not draw from text alone."""


def first_pipeline(seeds: Sequence[Pipeline]) -> Pipeline:
    """The first seed that is a whole pipeline; the others are held against it.

    Raises:
        ValueError: if none is, they are of different classes, or they draw from pictures.
    """
    pipelines = [seed for seed in seeds if seed.kind]
    if not pipelines:
        raise ValueError(f"seeds: expected a pipeline of diffusers among them, none has a {INDEX}")
    # Pipelines for other tasks give their denoisers other inputs.
    for seed in pipelines:
        task = _other_task(str(seed.kind))
        if task is not None:
            raise ValueError(
                f"seeds: expected text-to-image pipelines; {seed.name} is a {seed.kind}, which "
                f"{task}; if its denoiser draws from text, "
                "load it with DiffusionPipeline's class for text, and save_pretrained"
            )
    first = pipelines[0]
    # Two classes call one denoiser in two ways.
    for seed in pipelines[1:]:
        if seed.kind != first.kind:
            raise ValueError(
                f"seeds: expected pipelines of one class; {first.name} is a {first.kind}, "
                f"{seed.name} a {seed.kind}"
            )
    return first


def check_alike(seeds: Sequence[Pipeline], component: str) -> None:
    """Checks that a component computes the same in all seeds, but for its weights.

    Raises:
        FileNotFoundError: if a seed lacks it.
        ValueError: if its class or its settings differ, or it takes a picture beside the prompt.
    """
    # All configs are read first, so a missing component is named before a difference.
    every = [component_settings(seed.config(component)) for seed in seeds]
    for seed, settings in zip(seeds, every, strict=True):
        _check_channels(seed, component, settings)
    first = every[0]
    for seed, settings in zip(seeds[1:], every[1:], strict=True):
        unlike = sorted(differing_settings(first, settings))
        if not unlike:
            continue
        # Two classes differ in many settings, none of which says more than the class.
        if CLASS in unlike:
            key = CLASS
            word = "its class"
            rest = ""
        else:
            key = word = unlike[0]
            rest = ""
            if len(unlike) > 1:
                rest = f"; also {', '.join(unlike[1:])}"
        raise ValueError(
            f"seeds: expected one architecture; {component}: {word} is {first.get(key)} in "
            f"{seeds[0].name} and {settings.get(key)} in {seed.name}{rest}"
        )


def check_predictions(seeds: Sequence[Pipeline], chosen: Collection[str] = ()) -> None:
    """Checks that all denoisers predict the same thing, from the same noise.

    Only seeds with a scheduler say so; the others are not checked.

    Args:
        seeds: the pipelines.
        chosen: the components of which the user said whose they are: a scheduler among them
            settles the noise.

    Raises:
        ValueError: if they do not.
    """
    known: list[tuple[Pipeline, dict[str, Any]]] = []
    for seed in seeds:
        schedule = schedule_of(seed)
        if schedule is not None:
            known.append((seed, schedule))
    # One seed for each prediction is enough for the message.
    predictions: dict[str, str] = {}
    for seed, schedule in known:
        predictions.setdefault(prediction(schedule), seed.name)
    if len(predictions) > 1:
        both = " and ".join([f"{kind} ({name})" for kind, name in predictions.items()])
        raise ValueError(
            f"seeds: expected denoisers that predict the same, their schedulers say {both}"
        )
    # Whoever chooses a scheduler has decided on the noise.
    if SCHEDULER in chosen or not known:
        return
    first, expected = known[0]
    for seed, schedule in known[1:]:
        for key in NOISE:
            if not same(expected.get(key), schedule.get(key)):
                raise ValueError(
                    f"seeds: expected denoisers of one noise; scheduler: {key} is "
                    f"{expected.get(key)} in {first.name} and {schedule.get(key)} in {seed.name}; "
                    f"say whose counts with components: {{scheduler: {seeds.index(first)}}} "
                    f"or {{scheduler: {seeds.index(seed)}}}"
                )


def check_latents_alike(seeds: Sequence[Pipeline], chosen: Collection[str]) -> None:
    """Checks that all denoisers were trained on the same latents.

    Only seeds with an autoencoder say so; the others are not checked.

    Args:
        seeds: the pipelines.
        chosen: the components of which the user said whose they are: an autoencoder among them
            settles the latents.

    Raises:
        ValueError: if autoencoders differ in what denoisers are given.
    """
    known: list[tuple[int, Pipeline, dict[str, Any]]] = []
    for place, seed in enumerate(seeds):
        if seed.has_config("vae"):
            known.append((place, seed, component_settings(seed.config("vae"))))
    # Whoever chooses an autoencoder has decided on the latents.
    if "vae" in chosen or not known:
        return
    first_place, first, expected = known[0]
    for place, seed, settings in known[1:]:
        unlike = differing_settings(expected, settings)
        for key in LATENTS:
            if key in unlike:
                raise ValueError(
                    f"seeds: expected denoisers of one kind of latents; vae: {key} is "
                    f"{expected.get(key)} in {first.name} and {settings.get(key)} in {seed.name}; "
                    f"say whose counts with components: {{vae: {first_place}}} or {{vae: {place}}}"
                )


def check_constants(sources: Sequence[Bred], shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Checks by headers that constants are of the shapes that the denoiser has.

    Constants, such as tables of positions, are stored as weights are, and not bred.

    Args:
        sources: what is bred of each seed.
        shapes: of the constants, by name.

    Raises:
        ValueError: if a seed has one of another shape.
    """
    for source in sources:
        # Files of some versions do not store constants; then the model makes them.
        for name in shapes.keys() & source.entries.keys():
            shape = source.entries[name].shape
            if shape != shapes[name]:
                raise ValueError(
                    f"{source.name}: expected the constant {name!r} of shape {shapes[name]}, "
                    f"got {shape}"
                )


def check_constants_equal(sources: Sequence[Bred], names: Sequence[str]) -> None:
    """Checks that constants are the same in all seeds that store them.

    Raises:
        ValueError: if two seeds have different ones.
    """
    for name in names:
        storing = [source for source in sources if name in source.entries]
        for other in storing[1:]:
            if not _equal_constants(storing[0].tensor(name), other.tensor(name)):
                raise ValueError(
                    f"seeds: {name!r} is a constant, which is not bred, and differs between "
                    f"{storing[0].name} and {other.name}"
                )


def schedule_of(seed: Pipeline) -> dict[str, Any] | None:
    """The settings of a seed's scheduler, with its class's defaults; None if it has none."""
    if not seed.has_config(SCHEDULER, SCHEDULER_CONFIG):
        return None
    return component_settings(seed.config(SCHEDULER, SCHEDULER_CONFIG))


def prediction(schedule: Mapping[str, Any]) -> str:
    """What a denoiser predicts, by its scheduler's settings, in words."""
    kind = str(schedule.get(CLASS))
    stated = str(schedule.get("prediction_type", "nothing"))
    # Flow is said by the class, by a flag, or by the prediction itself.
    if kind.startswith(FLOW) or schedule.get("use_flow_sigmas") or stated == "flow_prediction":
        return "a flow"
    # A class without this setting always predicts the same, so the class stands for it.
    if stated == "nothing":
        return f"what a {kind} takes"
    return stated


def _other_task(kind: str) -> str | None:
    """What a class of pipelines is for, by its name, if not for drawing from text alone."""
    if FILLING.search(kind):
        return "fills in a part of a picture that it is given"
    if CHANGING.search(kind):
        return "changes a picture that it is given"
    return None


def _check_channels(seed: Pipeline, component: str, settings: Mapping[str, Any]) -> None:
    """Refuses a denoiser that is given a picture beside the noise.

    Raises:
        ValueError: if it takes more channels than it gives.
    """
    taken = settings.get("in_channels")
    given = settings.get("out_channels")
    # Components of other kinds take and give as they like.
    if component not in DENOISERS or not isinstance(taken, int) or not isinstance(given, int):
        return
    if taken > given:
        # The latents, those of a picture, and a mask of one channel.
        if taken == 2 * given + 1:
            kind = "an inpainting model"
        else:
            kind = "a model that is given a picture"
        raise ValueError(
            f"seeds: expected text-to-image pipelines; {seed.name} is {kind}: its {component} "
            f"takes {taken} channels and gives {given}"
        )


def _equal_constants(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two constants are equal, as far as the coarser of their types tells."""
    coarse = 0.0
    for tensor in (one, other):
        if tensor.is_floating_point():
            coarse = max(coarse, torch.finfo(tensor.dtype).eps)
    tolerance = 0.0
    # A seed in float16 has rounded its tables.
    if coarse and one.numel():
        tolerance = coarse * float(one.abs().max())
    return torch.allclose(one.double(), other.double(), rtol=0, atol=tolerance)
