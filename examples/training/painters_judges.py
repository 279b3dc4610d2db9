"""How the judges are trained: a tiny CLIP and a digit classifier.

The pipelines read with the text tower of that CLIP.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from string import ascii_lowercase, digits
from typing import Any

import torch
from torch.nn.functional import cross_entropy, one_hot

from examples.training.painters_lessons import Course, album, half, teach
from fitness.digit_prompts import SIDE, WORDS, wordings

CONTEXT = 16
"""Tokens that the models can read, of which a prompt has 3 to 8."""

END = "</w>"
START, STOP = "<|startoftext|>", "<|endoftext|>"
GREY = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
"""Pixels from 0 to 1 become -1 to 1."""


def tokenizer() -> Any:
    """A CLIPTokenizer to which each word of the prompts is one token.

    It reads other words by pieces and letters.
    """
    from transformers import CLIPTokenizer

    words = set()
    for prompts in wordings("lessons"):
        for prompt in prompts:
            words.update(prompt.split())
    # Byte-pair encoding: the most frequent pair of neighbours becomes one piece, until each word
    # is one.
    spelled = [[*word[:-1], word[-1] + END] for word in sorted(words)]
    merges: list[tuple[str, str]] = []
    while True:
        pairs: Counter[tuple[str, str]] = Counter()
        for pieces in spelled:
            pairs.update(pairwise(pieces))
        if not pairs:
            break
        merges.append(max(pairs, key=lambda pair: (pairs[pair], pair)))
        spelled = [_merged(pieces, merges[-1]) for pieces in spelled]
    letters = ascii_lowercase + digits
    tokens = [*letters]
    tokens += [letter + END for letter in letters]
    tokens += [first + second for first, second in merges]
    tokens += [START, STOP]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=CONTEXT)


def blank_clip(seed: int, words: Any) -> Any:
    """A tiny CLIPModel with random weights, for this tokenizer."""
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(seed)
    tower = {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
    }
    tokens = {
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
    }
    return CLIPModel(
        CLIPConfig(
            text_config={
                **tower,
                **tokens,
                "vocab_size": len(words),
                "max_position_embeddings": CONTEXT,
                "projection_dim": 32,
            },
            vision_config={**tower, "image_size": SIDE, "patch_size": 4, "projection_dim": 32},
            projection_dim=32,
        )
    )


def blank_classifier(seed: int) -> Any:
    """A tiny ResNetForImageClassification with random weights."""
    from transformers import ResNetConfig, ResNetForImageClassification

    torch.manual_seed(seed)
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=16,
            hidden_sizes=[32, 64],
            depths=[1, 1],
            layer_type="basic",
            id2label=dict(enumerate(WORDS)),
            label2id={word: label for label, word in enumerate(WORDS)},
        )
    )


def read(words: Any, prompts: list[str]) -> torch.Tensor:
    """Tokens (prompts, CONTEXT), padded as the pipelines do it."""
    return words(
        prompts, padding="max_length", max_length=CONTEXT, truncation=True, return_tensors="pt"
    )["input_ids"]


def teach_clip(model: Any, words: Any, course: Course, seed: int) -> None:
    """Trains on pictures and prompts.

    All prompts of a batch that ask for a picture's digit are right for it.
    """
    images, labels = album()
    asked = []
    for prompts in wordings("lessons"):
        asked.append(read(words, list(prompts)))
    tokens = torch.stack(asked)  # (wordings, 10, CONTEXT)

    def lesson(draws: torch.Generator) -> torch.Tensor:
        shown = torch.randint(len(images), (course.batch,), generator=draws)
        said = torch.randint(len(tokens), (course.batch,), generator=draws)
        kinds = labels[shown]  # (batch,)
        outputs = model(input_ids=tokens[said, kinds], pixel_values=images[shown])
        logits = outputs.logits_per_image  # (batch, batch)
        same = (kinds[:, None] == kinds[None, :]).float()
        targets = same / same.sum(dim=1, keepdim=True)
        return (cross_entropy(logits, targets) + cross_entropy(logits.T, targets)) / 2

    teach(model, course, lesson, seed)


def teach_classifier(model: Any, course: Course, seed: int) -> None:
    """Trains on pictures, half of them mixed with another.

    So what is half a digit gets half a probability.
    """
    images, labels = album()
    targets = one_hot(labels, 10).float()

    def lesson(draws: torch.Generator) -> torch.Tensor:
        one, other = torch.randint(len(images), (2, course.batch), generator=draws)
        share = torch.rand(course.batch, 1, generator=draws)  # (batch, 1)
        share[: course.batch // 2] = 1.0
        pixels = share[..., None, None] * images[one] + (1 - share[..., None, None]) * images[other]
        wanted = share * targets[one] + (1 - share) * targets[other]  # (batch, 10)
        return cross_entropy(model(pixel_values=pixels).logits, wanted)

    teach(model, course, lesson, seed)


def write_clip(model: Any, words: Any, folder: Path) -> None:
    """An ordinary CLIP checkpoint in float16, with tokenizer and image processor."""
    from transformers import CLIPImageProcessorPil

    half(model).save_pretrained(folder)
    words.save_pretrained(folder)
    CLIPImageProcessorPil(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}, **GREY
    ).save_pretrained(folder)


def write_classifier(model: Any, folder: Path) -> None:
    """An ordinary image classifier in float16, with its image processor."""
    from transformers import ViTImageProcessorPil

    half(model).save_pretrained(folder)
    ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}, **GREY).save_pretrained(folder)


def _merged(pieces: list[str], pair: tuple[str, str]) -> list[str]:
    """The pieces of a word, once this pair of neighbours is one."""
    merged: list[str] = []
    for piece in pieces:
        if merged and (merged[-1], piece) == pair:
            merged[-1] += piece
        else:
            merged.append(piece)
    return merged
