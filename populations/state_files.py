"""State dicts of torch modules in safetensors files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from populations.seeds.checkpoints import Checkpoint
from populations.seeds.safetensors_headers import read_header

NAMES = 6
"""Most names of tensors in a message."""


def read_state(path: Path, wanted: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Reads tensors from a file, checked against those that they have to fill.

    Args:
        path: a safetensors file.
        wanted: by name, tensors of the shapes that are expected.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not a safetensors file, or its names, shapes or numbers do not fit.
    """
    if not path.is_file():
        raise FileNotFoundError(f"seeds: expected a safetensors file, there is no file {path}")
    try:
        checkpoint = Checkpoint(path.parent, read_header(path))
    except ValueError as error:
        raise ValueError(f"seeds: {error}") from None
    # All headers first: numbers of a file that does not fit need not be read.
    for name, slot in wanted.items():
        entry = checkpoint.entries.get(name)
        expected = f"expected {name!r} of shape {tuple(slot.shape)}"
        if entry is None:
            names = _first_names(list(checkpoint.entries))
            raise ValueError(f"seeds: {path}: {expected}, it has {names}")
        if entry.shape != tuple(slot.shape):
            raise ValueError(f"seeds: {path}: {expected}, got {entry.shape}")
    # A network whose training diverged would make every child of it useless.
    state = {name: checkpoint.tensor(name) for name in wanted}
    for name, tensor in state.items():
        if not torch.isfinite(tensor).all():
            raise ValueError(f"seeds: {path}: {name!r} has numbers that are not finite")
    return state


def _first_names(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    text = ", ".join(names[:NAMES])
    if len(names) > NAMES:
        text += f" and {len(names) - NAMES} more"
    return text
