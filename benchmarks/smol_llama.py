"""Llamas of SmolLM2-135M's shape with random weights, for the benchmarks of generation."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch

SHAPE = {
    "hidden_size": 576,
    "intermediate_size": 1536,
    "num_hidden_layers": 30,
    "num_attention_heads": 9,
    "num_key_value_heads": 3,
    "vocab_size": 49152,
    "tie_word_embeddings": True,
}

SMALL = SHAPE | {
    "hidden_size": 48,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "vocab_size": 512,
}
"""A shape to try a benchmark with."""


def add_shape(parser: argparse.ArgumentParser) -> None:
    """Adds the argument that all of these benchmarks take."""
    parser.add_argument(
        "--small",
        action="store_true",
        help="a model of some 100,000 parameters, to see that all works",
    )


def write(
    folder: Path, dtype: torch.dtype, *, small: bool, names: tuple[str, ...] = ("a",)
) -> list[str]:
    """Writes fine-tunes of one random base as ordinary checkpoints, each with a tokenizer of one word a token; gives their folders."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    shape: dict[str, Any] = SMALL if small else SHAPE
    words = {"</s>": 0} | {f"w{number}": number for number in range(1, shape["vocab_size"])}
    made = Tokenizer(models.WordLevel(words, unk_token="</s>"))
    made.pre_tokenizer = pre_tokenizers.Split(" ", "removed")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", pad_token="</s>")
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape, bos_token_id=None, eos_token_id=0)).to(dtype)
    for name in names:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter), alpha=1e-3)
        model.save_pretrained(folder / name)
        tokenizer.save_pretrained(folder / name)
    return [str(folder / name) for name in names]


def prompts(count: int, shortest: int, longest: int, vocabulary: int) -> list[str]:
    """So many random prompts, their lengths in tokens spread evenly."""
    rng = np.random.default_rng(0)
    lengths = rng.permutation(np.linspace(shortest, longest, count).round().astype(int))
    return [
        " ".join(f"w{word}" for word in rng.integers(1, vocabulary, length)) for length in lengths
    ]
