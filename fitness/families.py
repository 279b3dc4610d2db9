"""What a language model's architecture tells of it.

It is who may be answered beside whom, and how many positions there are.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import torch

ALONE = ("rwkv",)
"""Types of models that cannot answer in batches.

After the first token transformers' RWKV mixes the states of a batch.
"""

ENDLESS = ("rwkv",)
"""Types of models whose configs state positions that limit nothing: RWKV's is of a kernel."""


MASKED = (
    # these take no positions
    "bloom",
    "cpmant",
    "mpt",
    # these keep a state
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
    "qwen3_5_moe_text",
    "qwen3_5_text",
    "qwen3_next",
)
"""Types of models that read a padded prompt as if it stood alone, by their masks alone."""

PADDED = ("reformer",)
"""Types of models that take positions and a mask, and read padding all the same."""

POSITIONS = ("max_position_embeddings", "max_target_positions", "max_seq_len")
"""Where configs state positions.

Whisper and Speech2Text name the decoder's apart; MPT has a table of biases, not of positions.
"""


def companies(model: Any, lengths: Sequence[int]) -> list[list[int]]:
    """The places of prompts that a model may answer side by side, short prompts first.

    Args:
        model: of transformers.
        lengths: of the prompts, in tokens.
    """

    def length_at(place: int) -> int:
        return lengths[place]

    order = sorted(range(len(lengths)), key=length_at)
    if not order:
        return []
    if model.config.get_text_config().model_type in ALONE:
        return [[place] for place in order]
    if reads_padding(model):
        return [list(places) for _, places in groupby(order, length_at)]
    return [order]


def reads_padding(model: Any) -> bool:
    """Whether a model may answer otherwise where its prompt is padded on the left.

    Told by the architecture alone, so that it is the same for all weights and in each worker. A
    model that takes positions is given those of its own tokens, and the mask hides the padding. One
    that takes none counts the padding as places (BART, Whisper, XLNet), and one with a state has
    padding in it (RWKV, RecurrentGemma), unless it is known to look at the mask. What is not known
    is not padded: that is slower, and never wrong.
    """
    kind = model.config.get_text_config().model_type
    if kind in MASKED:
        return False
    if kind in PADDED or getattr(model, "_is_stateful", False):
        return True
    # the class's own, since a wrapped forward may hide what it takes; transformers passes positions
    # by this signature, too
    forward = getattr(type(model), "forward", None) or model.forward
    taken = inspect.signature(forward).parameters
    return "attention_mask" not in taken or "position_ids" not in taken


def positions_of(model: Any) -> int | None:
    """How many tokens a model can read by what its config says; None if nothing limits it.

    A table of absolute positions ends where it ends. Rotary positions go on: their number is what
    the model was trained or stretched for. ALiBi and recurrent models have no last position, nor
    has one whose config has no number, or none above 0.
    """
    config = model.config.get_text_config()
    if getattr(config, "alibi", False) or config.model_type in ENDLESS:
        return None
    stated = _stated_positions(config)
    if stated is None:
        return None
    tables = _tables(model)
    if tables:
        return min(stated, *tables)
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    # a config may have a dict for each type of layer; layers with a sliding window never see far,
    # so the widest counts
    of_layers = [value for value in rope.values() if isinstance(value, dict)]
    return max(_stretched(stated, parameters) for parameters in of_layers or [rope])


def _stated_positions(config: Any) -> int | None:
    """The first number of positions that a config states; None if there is none above 0."""
    for name in POSITIONS:
        number = getattr(config, name, None)
        if isinstance(number, int | float) and 0 < number < float("inf"):
            return int(number)
    return None


def _stretched(positions: int, rope: Mapping[str, Any]) -> int:
    """The positions of a config with the rope scaling of one type of layer."""
    kind = rope.get("rope_type") or rope.get("type") or "default"
    factor = rope.get("factor")
    # llama3's factor is of low frequencies, and its config states the positions after the scaling
    if kind in ("default", "llama3") or not isinstance(factor, int | float):
        return positions
    # with the positions before the scaling beside them, the stated ones may be those after it
    original = rope.get("original_max_position_embeddings") or positions
    return max(positions, int(original * factor))


def _tables(model: Any) -> list[int]:
    """How many tokens each table of absolute positions has a row for."""
    # the tables of a model that also sees may be those of pictures
    if model.config.get_text_config() is not model.config:
        return []
    rows = []
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.Embedding) and re.search(r"wpe$|pos[^.]*$", name):
            # RoBERTa's positions begin behind the row of the padding
            behind_padding = 0
            if module.padding_idx is not None:
                behind_padding = module.padding_idx + 1
            rows.append(module.num_embeddings - behind_padding)
    return rows
