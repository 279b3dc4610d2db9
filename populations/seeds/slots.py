"""Slots: the tensors of a model that a recipe fills, and under which names a seed may have them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from populations.express.resident import slots_of
from populations.seeds.safetensors_headers import Entry


class Source(Protocol):
    """One seed's tensors: a checkpoint, or a checkpoint with an adapter."""

    @property
    def name(self) -> str:
        """What messages, cards and recipes call it."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """Its tensors, as the headers describe them."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that its weights are in."""

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of it; memory-mapped, where nothing has to be computed."""


@dataclass(frozen=True)
class Slot:
    """A tensor that a recipe fills.

    Attributes:
        shape: its shape.
        names: the names that it may have in a checkpoint, more than one where it is tied.
    """

    shape: tuple[int, ...]
    names: tuple[str, ...]

    def stored_names(self, source: Source) -> list[str]:
        """The names under which a seed has it."""
        return [name for name in self.names if name in source.entries]


def described_slots(model: torch.nn.Module, prefix: str = "") -> dict[str, Slot]:
    """The slots of a model by name; its weights need not be there.

    Args:
        model: the model, on the device `meta` as well.
        prefix: put before each name.
    """
    # Tensors that are tied are one object under several names.
    names: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        names.setdefault(id(tensor), []).append(prefix + name)
    # A tied tensor is one slot, under the first of its names.
    slots = {}
    for name, tensor in slots_of(model).items():
        slots[prefix + name] = Slot(tuple(tensor.shape), tuple(names[id(tensor)]))
    return slots


def spare_of(model: torch.nn.Module) -> tuple[str, ...]:
    """What a checkpoint of a model may have beside its weights.

    Returns:
        Regular expressions: those that the model's class lists, and one for each buffer.
    """
    # Classes of transformers list what old files have beside the weights.
    listed = getattr(model, "_keys_to_ignore_on_load_unexpected", None) or ()
    buffers = [rf"^{re.escape(name)}$" for name, _ in model.named_buffers()]
    return (*listed, *buffers)
