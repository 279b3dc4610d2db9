"""The bred components of a pipeline as one source of tensors."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

import torch

from populations.seeds.checkpoints import Checkpoint
from populations.seeds.safetensors_headers import Entry


class Bred:
    """What is bred of one seed, as a `populations.seeds.slots.Source`.

    A tensor's name begins with its component's.
    """

    def __init__(self, name: str, components: Mapping[str, Checkpoint]) -> None:
        """Takes the checkpoints of its components by their names."""
        self.name = name
        self.components = components

    @cached_property
    def entries(self) -> dict[str, Entry]:
        """Its tensors, as the headers describe them."""
        # Two components may have tensors of one name, so each name begins with its component's.
        entries = {}
        for component, checkpoint in self.components.items():
            for name, entry in checkpoint.entries.items():
                entries[f"{component}.{name}"] = entry
        return entries

    @property
    def files(self) -> list[Path]:
        """The files that its weights are in."""
        files: list[Path] = []
        for checkpoint in self.components.values():
            files += checkpoint.files
        return files

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of it, memory-mapped."""
        # The name of a component has no dot in it.
        component, _, rest = name.partition(".")
        return self.components[component].tensor(rest)
