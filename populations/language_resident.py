"""The one resident language model, loaded by transformers."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from populations.express.resident import moved, ready, slots_of
from populations.language_companions import Companions
from populations.seeds.adapters import Adapted
from populations.seeds.library_logging import without_progress_bars
from populations.settings.errors import first_line


@dataclass(frozen=True)
class LanguageModel:
    """What a fitness for text gets.

    Attributes:
        model: the resident transformers model, with this member's weights until the next one is
            expressed.
        tokenizer: its tokenizer.
    """

    model: Any
    tokenizer: Any


def load_resident(
    companions: Companions,
    slots: Collection[str],
    *,
    dtype: torch.dtype,
    device: str,
    device_map: str | Mapping[str, int | str] | None,
    attention: str | None,
    trust_remote_code: bool,
) -> LanguageModel:
    """A transformers model with all that members have beside their weights, ready to be asked.

    Args:
        companions: what that is, and the seed whose files it is loaded from.
        slots: the names of what a recipe fills of it.
        dtype: its type.
        device: where it runs.
        device_map: as in transformers, instead of `device`.
        attention: transformers' name of an attention implementation.
        trust_remote_code: whether code that comes with a seed may run.

    Raises:
        ValueError: if transformers cannot load it, or makes a model of other tensors.
    """
    from transformers import AutoModelForCausalLM

    # Reading a tensor fetches the weights of a repository of the hub, for transformers to load.
    seed = companions.first
    weights = seed.source
    if isinstance(weights, Adapted):
        weights = weights.base
    weights.tensor(next(iter(weights.entries)))

    settings: dict[str, Any] = {"dtype": dtype}
    if device_map is not None:
        settings["device_map"] = device_map
    if attention is not None:
        settings["attn_implementation"] = attention
    try:
        with without_progress_bars("transformers"):
            model = AutoModelForCausalLM.from_pretrained(
                seed.model_folder,
                config=deepcopy(companions.config),
                generation_config=companions.generation_config,
                trust_remote_code=trust_remote_code,
                **settings,
            )
    except (ValueError, OSError, KeyError, TypeError, AttributeError, ImportError) as error:
        raise ValueError(
            f"seeds: {seed.model_folder}: transformers cannot load it: {first_line(error)}"
        ) from None

    # A device map has brought it to its devices already.
    if device_map is None:
        moved(model, device)
    # Where embedding and head differ in the files, transformers does not tie them, whatever the
    # config says. A recipe would then fill one of them alone.
    if slots_of(model).keys() != set(slots):
        raise ValueError(
            f"seeds: {seed.name}: its config says that embedding and head are tied, "
            "its weights say they are not; load it with transformers and save it again"
        )
    # Some programs read end tokens from config.json, others from generation_config.json.
    model.config.get_text_config().eos_token_id = model.generation_config.eos_token_id
    return LanguageModel(ready(model), companions.reader)
