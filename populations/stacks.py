"""Modules of one kind with different weights, run together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import nn

from populations.linear_chains import Chain, linear_chain

NARROW = 32
"""Outputs below which a linear layer is faster with the batch as its last dimension."""


class Stack:
    """W resident modules of one kind: inputs (B, ...) to outputs (W, B, ...).

    Attributes:
        device: where they are.
    """

    def __init__(self, module: nn.Module, slots: Mapping[str, torch.Tensor], width: int) -> None:
        """Makes room for weights.

        Args:
            module: one of them, whose weights do not matter.
            slots: its tensors, by name.
            width: how many there are, W.
        """
        self.device = next(iter(slots.values())).device
        self._width = width
        self._places = list(range(width))
        self._module = module
        self._tensors = {}
        # The same memory as rows, which weights are written into. On the CPU they are numpy's, as
        # genomes are.
        self._rows: list[np.ndarray | torch.Tensor] = []
        for name, slot in slots.items():
            tensor = torch.empty((width, *slot.shape), device=self.device)
            rows = tensor.view(width, -1)
            self._tensors[name] = tensor  # (W, ...)
            self._rows.append(rows.numpy() if rows.device.type == "cpu" else rows)
        self._chain = _chain_of(module, slots)

    def load(self, place: int, vector: np.ndarray) -> None:
        """Gives one of the modules its weights.

        Args:
            place: which module.
            vector: (P,) numbers, in the order of the state dict.
        """
        start = 0
        for rows in self._rows:
            numbers = vector[start : start + rows.shape[1]]
            if isinstance(rows, np.ndarray):
                rows[place] = numbers
            else:
                rows[place].copy_(torch.from_numpy(numbers))
            start += rows.shape[1]

    def only(self, places: Sequence[int]) -> None:
        """Narrows the stack to the modules at these of its places, or widens it again.

        What each computes stays the same.
        """
        self._places = list(places)

    def __call__(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of every module for the same inputs."""
        chain = self._chain is not None and inputs.dim() == 2
        # On a CPU one module after another is fastest, as all of its numbers stay in the cache.
        if chain and self.device.type == "cpu":
            return torch.stack([self._alone(place, inputs) for place in self._places])
        # Always at full width, since in floating point company can change a number.
        outputs = self._at_once(inputs) if chain else self._mapped(inputs)
        if len(self._places) == self._width:
            return outputs
        return outputs[self._places]

    def _mapped(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of all modules, whatever they compute."""
        # Not every module can be vmapped, and a single one need not be.
        if self._width == 1:
            alone = {name: tensor[0] for name, tensor in self._tensors.items()}
            return torch.func.functional_call(self._module, alone, (inputs,))[None]
        run = torch.func.vmap(
            lambda tensors: torch.func.functional_call(self._module, tensors, (inputs,))
        )
        return run(dict(self._tensors))

    def _at_once(self, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of all modules, each a chain of linear layers, by one product for each layer."""
        hidden = inputs.T.expand(self._width, -1, -1)  # (W, features, B)
        for layer, parameters in self._layers:
            if not parameters:
                hidden = layer.forward(hidden)
            elif len(parameters) == 1:
                hidden = torch.bmm(parameters[0], hidden)
            else:
                hidden = torch.baddbmm(parameters[1][:, :, None], parameters[0], hidden)
        return hidden.transpose(1, 2).contiguous()

    def _alone(self, place: int, inputs: torch.Tensor) -> torch.Tensor:
        """Outputs of one module that is a chain of linear layers."""
        hidden = inputs  # (B, features)
        for layer, parameters in self._layers:
            # In place: nobody else has this array, as a chain begins with a linear layer.
            if isinstance(layer, nn.ReLU):
                hidden = hidden.relu_()
            elif not parameters:
                hidden = layer.forward(hidden)
            elif parameters[0].shape[1] >= NARROW:
                hidden = nn.functional.linear(hidden, *[tensor[place] for tensor in parameters])
            # A narrow layer is faster with the batch as the last dimension, (features, B).
            elif len(parameters) == 1:
                hidden = torch.mm(parameters[0][place], hidden.T).T
            else:
                bias = parameters[1][place][:, None]
                hidden = torch.addmm(bias, parameters[0][place], hidden.T).T
        return hidden

    @cached_property
    def _layers(self) -> list[tuple[nn.Module, list[torch.Tensor]]]:
        """The chain's layers, each with its stacked tensors.

        They are a weight and, if there is one, a bias; none if the layer is elementwise.
        """
        assert self._chain is not None
        layers = []
        for name, layer in self._chain:
            tensors = [self._tensors[f"{name}.{part}"] for part, _ in layer.named_parameters()]
            layers.append((layer, tensors))
        return layers


def _chain_of(module: nn.Module, slots: Mapping[str, torch.Tensor]) -> Chain | None:
    """The module's chain of linear layers, if it is one and each layer has tensors of its own."""
    chain = linear_chain(module)
    for name, layer in chain or []:
        for part, _ in layer.named_parameters():
            # A tied tensor is in the slots under its first name only.
            if f"{name}.{part}" not in slots:
                return None
    return chain
