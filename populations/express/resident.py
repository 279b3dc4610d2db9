"""The resident model: on its device, ready to be asked, with tensors that a genome fills."""

from __future__ import annotations

from typing import Any

import torch

from populations.settings.errors import first_line


def moved(model: Any, device: str) -> None:
    """Brings a model, or a pipeline of models, to a device.

    Raises:
        ValueError: if it cannot be used.
    """
    try:
        model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: {device!r} cannot be used: {first_line(error)}") from None


def ready(model: Any) -> Any:
    """A model that is ready to be asked: in evaluation mode, keeping nothing for gradients.

    Its parameters still require gradients, as `from_pretrained` gives them. For torch folds inputs
    (B, n, in) into one matrix before it multiplies them by a weight, unless the weight is frozen
    and the strides of the inputs do not fold: then it expands the weight, once for each of B.
    transformers multiplies `hidden[:, -1:]` by the head in that way, and on a CPU in bfloat16 this
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
    """`torch.no_grad` around a model's forward pass, as hooks.

    Hooks are copied and pickled with the model, a new forward is not.
    """

    def __init__(self) -> None:
        """Outside of any call."""
        # A list, since a model may call itself.
        self.before: list[bool] = []

    def enter(self, *_: Any) -> None:
        """Turns gradients off, and notes what was before."""
        self.before.append(torch.is_grad_enabled())
        torch.set_grad_enabled(False)

    def leave(self, *_: Any) -> None:
        """Sets gradients as they were before."""
        torch.set_grad_enabled(self.before.pop())


def slots_of(model: Any) -> dict[str, torch.Tensor]:
    """What a genome fills: each floating-point tensor of a model, in the order of the state dict.

    Returns:
        Tensors by name, each once, a tied one under its first name.
    """
    slots: dict[int, tuple[str, torch.Tensor]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            slots.setdefault(id(tensor), (name, tensor))
    return dict(slots.values())
