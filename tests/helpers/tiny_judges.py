"""Tiny judges with random weights, saved as ordinary folders: a CLIPModel, an image classifier."""

from __future__ import annotations

from pathlib import Path

import tiny_pipelines
import torch

VISION = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 16,
    "patch_size": 4,
}
SIZE = {"size": {"shortest_edge": 16}, "crop_size": {"height": 16, "width": 16}}


def clip(folder: Path) -> str:
    """Writes a CLIPModel with image processor and tokenizer; gives the folder."""
    from transformers import CLIPConfig, CLIPImageProcessorPil, CLIPModel

    words = tiny_pipelines.tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = CLIPConfig(
            text_config=tiny_pipelines.text_config(words), vision_config=VISION, projection_dim=8
        )
        tiny_pipelines.noisy(CLIPModel(config), 0.5).save_pretrained(folder)
    CLIPImageProcessorPil(**SIZE).save_pretrained(folder)
    words.save_pretrained(folder)
    return str(folder)


def classifier(folder: Path, classes: tuple[str, ...] = ("cat", "dog", "owl")) -> str:
    """Writes a ViT that tells so many classes apart; gives the folder."""
    from transformers import ViTConfig, ViTForImageClassification, ViTImageProcessorPil

    names = dict(enumerate(classes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = ViTConfig(
            **VISION, id2label=names, label2id={name: number for number, name in names.items()}
        )
        tiny_pipelines.noisy(ViTForImageClassification(config), 0.5).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": 16, "width": 16}).save_pretrained(folder)
    return str(folder)
