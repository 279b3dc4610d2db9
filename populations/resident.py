"""What populations of resident models share: made on first use, on a device, with tensors that a genome fills."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from importlib import import_module
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


def moved(model: Any, device: str) -> None:
    """Brings a model, or a pipeline of models, to a device.

    Raises:
        ValueError: if it cannot be used.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {device!r} cannot be used: {line(error)}") from None


def frozen(model: Any) -> Any:
    """A model ready to be asked: in evaluation mode, its parameters without gradients, its linear layers as fast as with them.

    torch folds inputs (B, n, in) into one matrix before it multiplies them by a weight. Where the weight is frozen and the strides of
    the inputs do not fold, it expands the weight instead, once for each of B. transformers multiplies `hidden[:, -1:]` by the
    head in that way, and Mamba's steps are such: in bfloat16 on a CPU this took 350 times as long. Parameters that require
    gradients would do, too, but then whoever calls the model without `torch.no_grad` keeps all that it computes.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.register_forward_pre_hook(_folded)
    return model.eval().requires_grad_(False)


def _folded(_: torch.nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """A linear layer's inputs, copied where their strides do not fold, by torch's own rule: some contiguous ones do not."""
    if not inputs or (dimensions := inputs[0].dim()) <= 2:
        return None
    given, shape, strides = inputs[0], inputs[0].shape, inputs[0].stride()
    for place in range(dimensions - 2):
        if strides[place] != strides[place + 1] * shape[place + 1]:
            return (given.clone(memory_format=torch.contiguous_format), *inputs[1:])
    return None


@contextmanager
def quiet(*libraries: str) -> Iterator[None]:
    """Without the progress bars of transformers or diffusers, which would tear ours."""
    shown = []
    for library in libraries:
        bars = import_module(f"{library}.utils.logging")
        if bars.is_progress_bar_enabled():
            bars.disable_progress_bar()
            shown.append(bars)
    try:
        yield
    finally:
        for bars in shown:
            bars.enable_progress_bar()


def line(error: BaseException) -> str:
    """The first line that an error says."""
    return next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)


def slots_of(model: Any) -> dict[str, torch.Tensor]:
    """What a genome fills, in the order of the state dict: each floating-point tensor of a model once, where it is tied too."""
    slots: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            slots.setdefault(id(tensor), (name, tensor))
    return dict(slots.values())
