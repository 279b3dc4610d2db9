"""What populations of resident models share: made on first use, on a device, with tensors that a genome fills."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch


class OnFirstUse:
    """An object whose cached properties stay behind when it travels, and are made again where it arrives."""

    def __getstate__(self) -> dict[str, Any]:
        """Everything but what cached properties made."""
        made = {name for name in vars(self) if isinstance(getattr(type(self), name, None), cached_property)}
        return {name: value for name, value in vars(self).items() if name not in made}


def check_device(device: str) -> None:
    """Checks the name of a device.

    Raises:
        ValueError: if torch does not know it.
    """
    try:
        torch.device(device)
    except RuntimeError:
        raise ValueError(f"device: expected one that torch knows, such as cpu or cuda:0, got {device!r}") from None


def slots_of(model: Any) -> dict[str, torch.Tensor]:
    """What a genome fills, in the order of the state dict: each floating-point tensor of a model once, where it is tied too."""
    slots: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            slots.setdefault(id(tensor), (name, tensor))
    return dict(slots.values())
