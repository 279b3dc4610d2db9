"""The tensors of the language model that a config describes; no weight is made for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from populations.express.resident import slots_of
from populations.seeds.slots import Slot, described_slots, spare_of
from populations.settings.errors import first_line


@dataclass(frozen=True)
class Described:
    """The model that a config describes, without its weights.

    Attributes:
        slots: its tensors.
        embeddings: those whose rows are tokens.
        transposed: names of matrices that are stored as (in, out), as those of GPT-2's layers are.
        spare: what a checkpoint may have beside them (`Seeds`).
    """

    slots: dict[str, Slot]
    embeddings: list[str]
    transposed: frozenset[str]
    spare: dict[str, tuple[str, ...]]


def described(config: Any, attention: str | None, trust_remote_code: bool) -> Described:
    """The model that a config describes.

    Args:
        config: the members'.
        attention: which implementation of attention it has; None: transformers' choice.
        trust_remote_code: whether code that comes with the config may run.

    Raises:
        ValueError: if there is no such model, or no such implementation of attention.
    """
    model = _without_weights(config, attention, trust_remote_code)
    # Embeddings are found as objects, since each architecture has its own names for them.
    names = {id(tensor): name for name, tensor in slots_of(model).items()}
    # A head that is tied is the embedding itself, which then counts once.
    embeddings: list[str] = []
    for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
        if layer is not None and names[id(layer.weight)] not in embeddings:
            embeddings.append(names[id(layer.weight)])
    return Described(described_slots(model), embeddings, _transposed(model), {"": spare_of(model)})


def _without_weights(config: Any, attention: str | None, trust_remote_code: bool) -> Any:
    """The model on the device `meta`.

    Raises:
        ValueError: if there is no such model, or no such implementation of attention.
    """
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if attention is not None:
        options["attn_implementation"] = attention
    try:
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config, **options)
    except Exception as error:
        # A model's own code may raise anything about its config. Where the user has chosen the
        # attention, it is most likely that.
        blamed = "attention"
        if attention is None:
            blamed = f"seeds: {config.name_or_path}"
        raise ValueError(f"{blamed}: {first_line(error)}") from None


def _transposed(model: Any) -> frozenset[str]:
    """The names of the matrices that a model stores as (in, out)."""
    from transformers.pytorch_utils import Conv1D

    names = []
    for name, layer in model.named_modules():
        if isinstance(layer, Conv1D):
            names.append(f"{name}.weight")
    return frozenset(names)
