"""Tiny pipelines of diffusers with random weights, saved as ordinary folders: Stable Diffusion, SDXL, and one with a transformer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch


def tokenizer() -> Any:
    """A CLIP tokenizer of single characters."""
    from transformers import CLIPTokenizer

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    tokens = [
        *letters,
        *(letter + "</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=16)


def text_config(words: Any, projection: int = 16) -> dict[str, Any]:
    """Settings of a CLIP text model for this tokenizer."""
    return {
        "vocab_size": len(words),
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 16,
        "projection_dim": projection,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
    }


def vae(channels: int = 4) -> Any:
    """An autoencoder that halves pictures."""
    from diffusers import AutoencoderKL

    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=channels, shift_factor=0.1, block_out_channels=(8, 8), norm_num_groups=4, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


def unet(**settings: Any) -> Any:
    """A U-Net with two levels, attention in one."""
    from diffusers import UNet2DConditionModel

    small = {
        "sample_size": 8,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "attention_head_dim": (2, 4),
        "cross_attention_dim": 16,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    }
    return UNet2DConditionModel(**small | settings)


def stable_diffusion(seed: int, **settings: Any) -> Any:
    """A StableDiffusionPipeline."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline
    from transformers import CLIPTextConfig, CLIPTextModel

    words = settings.pop("tokenizer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return StableDiffusionPipeline(
            unet=noisy(unet(**settings)), vae=vae(), text_encoder=CLIPTextModel(CLIPTextConfig(**text_config(words))),
            tokenizer=words, scheduler=DDIMScheduler(clip_sample=False, steps_offset=1), safety_checker=None, feature_extractor=None,
            requires_safety_checker=False,
        )  # fmt: skip


def sdxl(seed: int, words: Any) -> Any:
    """A StableDiffusionXLPipeline: two text encoders, added conditions."""
    from diffusers import EulerDiscreteScheduler, StableDiffusionXLPipeline
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    conditions = {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "cross_attention_dim": 32,
    }
    deeper = {"transformer_layers_per_block": (1, 2), "use_linear_projection": True}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPTextConfig(**text_config(words))
        denoiser = noisy(
            unet(**conditions, **deeper, projection_class_embeddings_input_dim=16 + 6 * 4)
        )
        return StableDiffusionXLPipeline(
            unet=denoiser, vae=vae(), text_encoder=CLIPTextModel(config), text_encoder_2=CLIPTextModelWithProjection(config),
            tokenizer=words, tokenizer_2=words, scheduler=EulerDiscreteScheduler(),
        )  # fmt: skip


def sd3(seed: int, words: Any) -> Any:
    """A StableDiffusion3Pipeline, whose denoiser is a transformer."""
    from diffusers import (
        FlowMatchEulerDiscreteScheduler,
        SD3Transformer2DModel,
        StableDiffusion3Pipeline,
    )
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = CLIPTextConfig(**text_config(words))
        transformer = SD3Transformer2DModel(
            sample_size=8, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
            joint_attention_dim=32, caption_projection_dim=16, pooled_projection_dim=32, pos_embed_max_size=8,
        )  # fmt: skip
        return StableDiffusion3Pipeline(
            transformer=noisy(transformer), vae=vae(), scheduler=FlowMatchEulerDiscreteScheduler(), tokenizer=words,
            text_encoder=CLIPTextModelWithProjection(config), tokenizer_2=words, text_encoder_2=CLIPTextModelWithProjection(config),
            tokenizer_3=None, text_encoder_3=None,
        )  # fmt: skip


def noisy(model: torch.nn.Module, sd: float = 0.1) -> torch.nn.Module:
    """A model all of whose parameters have some noise, so that no bias is zero and no norm one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * sd)
    return model


def saved(folder: Path, count: int = 2, **settings: Any) -> list[str]:
    """Stable Diffusion pipelines, written as folders; gives their paths."""
    words = tokenizer()
    for seed in range(count):
        stable_diffusion(seed, tokenizer=words, **settings).save_pretrained(folder / f"seed{seed}")
    return [str(folder / f"seed{seed}") for seed in range(count)]


def drawn(pipeline: Any, **size: int) -> torch.Tensor:
    """Two pictures of a pipeline, in two steps."""
    from fitness.painting import Painter

    pipeline.set_progress_bar_config(disable=True)
    return Painter(steps=2, guidance=1.0, **size)(pipeline, ["a b", "the 3"], [0, 1])


def founders(seeds: Any, **settings: Any) -> Iterator[Any]:
    """The founders of seeds, expressed, each until the next one is."""
    from populations.diffusion import DiffusionModels

    population = DiffusionModels(seeds, device="cpu", **settings)
    for founder in population.founders(np.random.default_rng(0)):
        yield population.express(founder)


def founder(place: int, seeds: Any, **settings: Any) -> Any:
    """One of them."""
    return next(
        model for number, model in enumerate(founders(seeds, **settings)) if number == place
    )
