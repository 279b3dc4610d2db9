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
        made = {
            name
            for name in vars(self)
            if isinstance(getattr(type(self), name, None), cached_property)
        }
        return {name: value for name, value in vars(self).items() if name not in made}


def check_device(device: str) -> None:
    """Checks the name of a device.

    Raises:
        ValueError: if torch does not know it.
    """
    try:
        torch.device(device)
    except RuntimeError:
        raise ValueError(
            f"device: expected one that torch knows, such as cpu or cuda:0, got {device!r}"
        ) from None


def moved(model: Any, device: str) -> None:
    """Brings a model, or a pipeline of models, to a device.

    Raises:
        ValueError: if it cannot be used.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {device!r} cannot be used: {line(error)}") from None


def ready(model: Any) -> Any:
    """A model that is ready to be asked: in evaluation mode, and keeping nothing for gradients when it is called.

    Its parameters still require gradients, as `from_pretrained` gives them. For torch folds inputs (B, n, in) into one matrix before
    it multiplies them by a weight, unless the weight is frozen and the strides of the inputs do not fold: then it expands the
    weight, once for each of B. transformers multiplies `hidden[:, -1:]` by the head in that way, and on a CPU in bfloat16 this
    took 350 times as long.
    """
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    without = _WithoutGradients()
    model.register_forward_pre_hook(without.enter)
    model.register_forward_hook(without.leave, always_call=True)
    return model.eval()


class _WithoutGradients:
    """`torch.no_grad` around a model's forward pass, as hooks: these are copied and pickled with the model, a new forward is not."""

    def __init__(self) -> None:
        """Outside of any call."""
        self.before: list[bool] = []

    def enter(self, *_: Any) -> None:
        """What was before, noted; a model may call itself."""
        self.before.append(torch.is_grad_enabled())
        torch.set_grad_enabled(False)

    def leave(self, *_: Any) -> None:
        """As it was before."""
        torch.set_grad_enabled(self.before.pop())


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
