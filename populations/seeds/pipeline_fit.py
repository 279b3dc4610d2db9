"""Whether components of several pipelines fit together: widths, channels, and numbers of tokens.

Members may have their autoencoder from one seed and their text encoder from another. Where a kind
of component is not known here, nothing is said of it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from populations.seeds.pipeline_settings import CLASS, component_settings
from populations.seeds.pipelines import Pipeline

PACKED = {"FluxTransformer2DModel": 4, "QwenImageTransformer2DModel": 4}
"""Denoisers that are given several places of a picture as one, and how many."""

PLAIN = (
    "UNet2DConditionModel",
    "SD3Transformer2DModel",
    "PixArtTransformer2DModel",
    "DiTTransformer2DModel",
)
"""Denoisers that are given the autoencoder's channels as they are."""

CLIP = "clip_text_model"


@dataclass(frozen=True)
class Width:
    """A width that a denoiser takes from the text encoders.

    Attributes:
        setting: of the denoiser.
        given: by the encoders.
        taken: by the denoiser.
    """

    setting: str
    given: Any
    taken: Any


def check_fits(pipeline_of: Callable[[str], Pipeline], names: Sequence[str], denoiser: str) -> None:
    """Checks that autoencoder, text encoders and tokenizers fit a denoiser, and each other.

    Args:
        pipeline_of: the pipeline that each component comes from.
        names: of all components.
        denoiser: which of them draws.

    Raises:
        ValueError: if two do not fit; it says which, and whose they are.
    """
    seed = pipeline_of(denoiser)
    settings = component_settings(seed.config(denoiser))
    if "vae" in names and settings[CLASS] in (*PLAIN, *PACKED):
        _check_latents(pipeline_of("vae"), seed, denoiser, settings)
    encoders = {}
    for name in names:
        if name.startswith("text_encoder"):
            encoders[name] = encoder_config(pipeline_of(name), name)
    # A wrong width would fail in the first birth, deep inside a layer.
    for width in _widths(settings, encoders):
        if width.given != width.taken:
            whose = " and ".join([f"{name} of {pipeline_of(name).name}" for name in encoders])
            raise ValueError(
                f"components: text encoders do not fit the {denoiser} of {seed.name}: "
                f"{width.setting} is {width.taken}, {whose} give {width.given}"
            )
    for name, config in encoders.items():
        tokenizer = name.replace("text_encoder", "tokenizer")
        if config is not None and tokenizer in names:
            words_of = pipeline_of(tokenizer)
            # A tokenizer of a pipeline's own code is not loaded here.
            if words_of.components[tokenizer][0] == "transformers":
                _check_vocabulary(words_of, tokenizer, pipeline_of(name), name, config)


def encoder_config(seed: Pipeline, name: str) -> Any:
    """The config of a text encoder, with its defaults.

    Returns:
        None if it is of no kind that transformers knows by itself.
    """
    from transformers import CONFIG_MAPPING

    config = seed.config(name)
    kind = config.get("model_type")
    if kind not in CONFIG_MAPPING:
        return None
    return CONFIG_MAPPING[kind].from_dict(config)


def _check_latents(
    autoencoder_of: Pipeline, seed: Pipeline, denoiser: str, settings: Mapping[str, Any]
) -> None:
    """Refuses an autoencoder of other channels than the denoiser's.

    Args:
        autoencoder_of: the pipeline that it is from.
        seed: the denoiser's pipeline.
        denoiser: its name.
        settings: the denoiser's.

    Raises:
        ValueError: if they do not fit.
    """
    channels = component_settings(autoencoder_of.config("vae")).get("latent_channels")
    taken = settings.get("in_channels")
    if channels is None or taken is None:
        return
    expected = channels * PACKED.get(str(settings[CLASS]), 1)
    if taken != expected:
        raise ValueError(
            f"components: vae of {autoencoder_of.name} gives {channels} channels, for which a "
            f"{denoiser} takes {expected}; the {denoiser} of {seed.name} takes {taken}"
        )


def _widths(settings: Mapping[str, Any], encoders: Mapping[str, Any]) -> list[Width]:
    """The widths that have to agree, in the kinds of pipelines that are known here.

    Args:
        settings: the denoiser's.
        encoders: the config of each text encoder by its name, None if its kind is not known.
    """
    clips: dict[str, Any] = {}
    others: list[Any] = []
    for name, config in encoders.items():
        if config is not None and config.model_type == CLIP:
            clips[name] = config
        elif hasattr(config, "hidden_size"):
            others.append(config)
        else:
            # What an encoder of no known kind gives, nobody knows here.
            return []
    kind = settings[CLASS]
    if kind == "UNet2DConditionModel" and clips and not others:
        return _unet_widths(settings, clips)
    if kind == "SD3Transformer2DModel" and len(clips) == 2:
        return _sd3_widths(settings, list(clips.values()), others)
    if kind == "FluxTransformer2DModel" and len(clips) == len(others) == 1:
        # CLIP gives the pooled vector, and T5 the words.
        pooled = _total_width(clips.values())
        return [
            Width("pooled_projection_dim", pooled, settings.get("pooled_projection_dim")),
            Width(
                "joint_attention_dim", others[0].hidden_size, settings.get("joint_attention_dim")
            ),
        ]
    captioned = kind in ("PixArtTransformer2DModel", "SanaTransformer2DModel")
    if captioned and len(others) == 1 and not clips:
        return [Width("caption_channels", others[0].hidden_size, settings.get("caption_channels"))]
    return []


def _unet_widths(settings: Mapping[str, Any], clips: Mapping[str, Any]) -> list[Width]:
    """The widths of the U-Nets of Stable Diffusion 1, 2 and XL."""
    # A U-Net that projects what it is given takes any width.
    if settings.get("encoder_hid_dim_type") is not None:
        return []
    taken = settings.get("cross_attention_dim")
    if isinstance(taken, list | tuple):
        taken = taken[0]
    widths = [Width("cross_attention_dim", _total_width(clips.values()), taken)]
    if settings.get("addition_embed_type") == "text_time":
        pooled = clips[max(clips)].projection_dim
        step = settings["addition_time_embed_dim"]
        taken = settings["projection_class_embeddings_input_dim"]
        # Sizes and places of the picture come with the text: a refiner is given five numbers,
        # others six.
        given = pooled + 6 * step
        if taken == pooled + 5 * step:
            given = taken
        widths.append(Width("projection_class_embeddings_input_dim", given, taken))
    return widths


def _sd3_widths(
    settings: Mapping[str, Any], clips: Sequence[Any], others: Sequence[Any]
) -> list[Width]:
    """The widths of Stable Diffusion 3, which has two CLIP encoders and often a third one."""
    joint = settings.get("joint_attention_dim")
    given: Any = _total_width(clips)
    for config in others:
        given = max(given, config.hidden_size)
    # What CLIP gives alone is padded to the width.
    if not others and given <= joint:
        given = joint
    # The pooled vectors of both CLIP encoders are given side by side.
    pooled = 0
    for config in clips:
        pooled += config.projection_dim
    return [
        Width("joint_attention_dim", given, joint),
        Width("pooled_projection_dim", pooled, settings.get("pooled_projection_dim")),
    ]


def _total_width(configs: Collection[Any]) -> int:
    """The width of what text encoders give side by side."""
    return sum(config.hidden_size for config in configs)


def _check_vocabulary(
    words_of: Pipeline, words: str, encoder_of: Pipeline, name: str, config: Any
) -> None:
    """Refuses a tokenizer that gives tokens, or so many of them, as its encoder has not.

    Args:
        words_of: the pipeline that the tokenizer is from.
        words: the tokenizer's name.
        encoder_of: the pipeline that the text encoder is from.
        name: the text encoder's.
        config: the text encoder's.

    Raises:
        ValueError: if it does.
    """
    tokenizer = words_of.load(words, torch.float32, None)
    size = getattr(config, "vocab_size", None)
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if size is not None and highest >= size:
        raise ValueError(
            f"components: {words} of {words_of.name} has tokens up to number {highest:,}, "
            f"{name} of {encoder_of.name} has {size:,}, from 0 on"
        )
    positions = getattr(config, "max_position_embeddings", None)
    length = tokenizer.model_max_length
    if config.model_type == CLIP and positions is not None and length > positions:
        # transformers writes a huge number for a length without a limit.
        given = f"{length:,}" if length < 1 << 32 else "any number of"
        raise ValueError(
            f"components: {words} of {words_of.name} gives {given} tokens a prompt "
            f"(model_max_length), {name} of {encoder_of.name} has {positions:,} positions"
        )
