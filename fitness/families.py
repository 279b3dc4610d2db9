"""What a language model's architecture tells: who may be answered beside whom, and how many positions there are."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch

ALONE = ("rwkv",)
"""Types of models that cannot answer in batches: after the first token transformers' RWKV mixes the states of a batch."""

ENDLESS = ("rwkv",)
"""Types of models whose configs state positions that limit nothing: RWKV's is of a kernel."""


MASKED = (
    *("bloom", "cpmant", "mpt"),
    *(
        "bailing_hybrid",
        "bamba",
        "falcon_h1",
        "falcon_mamba",
        "jamba",
        "kimi_linear",
        "mamba",
        "mamba2",
        "nemotron_h",
        "olmo_hybrid",
    ),
    *("qwen3_5_moe_text", "qwen3_5_text", "qwen3_next"),
)
"""Types of models that take no positions, or keep a state, and yet read a padded prompt as if it stood alone: by their masks."""

PADDED = ("reformer",)
"""Types of models that take positions and a mask, and read padding all the same."""


def companies(model: Any, lengths: Sequence[int]) -> list[list[int]]:
    """The places of prompts that a model may answer side by side, by the lengths of the prompts, short ones first."""
    order = sorted(range(len(lengths)), key=lambda place: lengths[place])
    if not order:
        return []
    if model.config.get_text_config().model_type in ALONE:
        return [[place] for place in order]
    if reads_padding(model):
        return [list(places) for _, places in groupby(order, lambda place: lengths[place])]
    return [order]


def reads_padding(model: Any) -> bool:
    """Whether a model may answer otherwise where its prompt is padded on the left.

    Told by the architecture alone, so that it is the same for all weights and in each worker. A model that takes positions is given
    those of its own tokens, and the mask hides the padding. One that takes none counts the padding as places (BART, Whisper, XLNet),
    and one with a state has padding in it (RWKV, RecurrentGemma), unless it is known to look at the mask. What is not known
    is not padded: that is slower, and never wrong.
    """
    kind = model.config.get_text_config().model_type
    if kind in MASKED:
        return False
    # the class's own, since a wrapped forward may hide what it takes; transformers passes positions by this signature, too
    taken = inspect.signature(getattr(type(model), "forward", None) or model.forward).parameters
    stateful = getattr(model, "_is_stateful", False)
    return (
        kind in PADDED or stateful or "attention_mask" not in taken or "position_ids" not in taken
    )


def positions_of(model: Any) -> int | None:
    """How many tokens a model can read by what its config says, rope scaling among it; None if nothing limits it.

    A table of absolute positions ends where it ends. Rotary positions go on: their number is what the model was trained or stretched
    for. ALiBi and recurrent models have no last position, nor has one whose config has no number, or none above 0.
    """
    config = model.config.get_text_config()
    if getattr(config, "alibi", False) or config.model_type in ENDLESS:
        return None
    # Whisper and Speech2Text name the decoder's positions apart; MPT has a table of biases, not of positions
    stated = [
        getattr(config, name, None)
        for name in ("max_position_embeddings", "max_target_positions", "max_seq_len")
    ]
    numbers = [
        int(number)
        for number in stated
        if isinstance(number, int | float) and 0 < number < float("inf")
    ]
    if not numbers:
        return None
    if tables := _tables(model):
        return min(numbers[0], *tables)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    # a config may have a dict for each type of layer; layers with a sliding window never see far, so the widest counts
    nested = [value for value in rope.values() if isinstance(value, dict)]
    return max(_stretched(numbers[0], parameters) for parameters in nested or [rope])


def _stretched(positions: int, rope: Mapping[str, Any]) -> int:
    """The positions of a config with the rope scaling of one type of layer."""
    kind, factor = rope.get("rope_type") or rope.get("type") or "default", rope.get("factor")
    # llama3's factor is of low frequencies, and its config states the positions after the scaling
    if kind in ("default", "llama3") or not isinstance(factor, int | float):
        return positions
    # with the positions before the scaling beside them, the stated ones may be those after it
    original = rope.get("original_max_position_embeddings") or positions
    return max(positions, int(original * factor))


def _tables(model: Any) -> list[int]:
    """How many tokens each table of absolute positions has a row for; those of RoBERTa begin behind the row of the padding."""
    if model.config.get_text_config() is not model.config:
        return []  # the tables may be those of pictures
    embeddings = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Embedding)
    ]
    tables = [module for name, module in embeddings if re.search(r"wpe$|pos[^.]*$", name)]
    return [
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for table in tables
    ]
