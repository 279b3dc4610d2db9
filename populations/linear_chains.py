"""Chains of linear layers: modules that can be run as one product, and cut by units."""

from __future__ import annotations

from torch import nn

ELEMENTWISE = (
    nn.ReLU,
    nn.GELU,
    nn.SiLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.ELU,
    nn.LeakyReLU,
    nn.Identity,
    nn.Dropout,
)
"""Layers without parameters, for which the order of the dimensions does not matter."""

Chain = list[tuple[str, nn.Module]]
"""The layers of a module by name, in the order in which they are called."""


def linear_chain(module: nn.Module) -> Chain | None:
    """The layers of an nn.Sequential that begins with a linear layer.

    Returns:
        None for any other module, and for one that has layers neither linear nor elementwise.
    """
    # A subclass may do anything in its forward.
    if type(module).forward is not nn.Sequential.forward:
        return None
    layers = [(name, layer) for name, layer in module._modules.items() if layer is not None]
    # So may a subclass of a layer.
    for _, layer in layers:
        if type(layer) not in (nn.Linear, *ELEMENTWISE):
            return None
    if not layers or not isinstance(layers[0][1], nn.Linear):
        return None
    return layers


def hidden_layers(module: nn.Module) -> list[tuple[list[str], list[str]]]:
    """For each hidden layer of a linear chain the tensors that belong to its units.

    Returns:
        For each the tensors whose rows (incoming weights, biases), and those whose columns
        (outgoing weights) belong to its units.

    Raises:
        ValueError: if the module is not such a chain, or has no hidden layer.
    """
    linear = []
    for name, layer in linear_chain(module) or []:
        if isinstance(layer, nn.Linear):
            linear.append((name, layer))
    if len(linear) < 2:
        raise ValueError(
            "layers: the unit axis reads hidden layers off an nn.Sequential of two or more "
            f"linear layers; for this {type(module).__name__} name them"
        )
    hidden: list[tuple[list[str], list[str]]] = []
    for name, layer in linear[:-1]:
        rows = [f"{name}.weight"]
        if layer.bias is not None:
            rows.append(f"{name}.bias")
        hidden.append((rows, []))
    # A matrix between two hidden layers goes with the units that it leads to. Only the last one
    # leads to outputs, so it goes with the units that it comes from.
    last, _ = linear[-1]
    hidden[-1][1].append(f"{last}.weight")
    return hidden
