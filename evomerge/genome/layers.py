"""Layers: which tensors share the units of a hidden layer, and which layer a name belongs to."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from evomerge.genome.blocks import Block, Part, Shapes, some_names

LAYER = re.compile(r"((?:.*?\.)?\d+)\.")
"""How the name of a tensor of a layer begins: all up to the first of its parts that is a number."""


@dataclass(frozen=True)
class Layer:
    """A hidden layer by its tensors' names.

    Attributes:
        rows: tensors whose rows (dimension 0: incoming weights, biases) belong to its units.
        columns: tensors whose columns (dimension 1: outgoing weights) do.
        count: how many units it has, where each has several rows or columns (an attention head);
            None: each has one.
        twice: those that hold all units twice, one run after the other.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    count: int | None = None
    twice: Collection[str] = ()


def layer_name(tensor: str) -> str | None:
    """The layer that a tensor belongs to by its name ("layers.7"), None if it belongs to none."""
    match = LAYER.match(tensor)
    return None if match is None else match[1]


def unit_block(layer: Layer, shapes: Shapes, named: set[str]) -> Block:
    """The units of a hidden layer as a block.

    Args:
        layer: the hidden layer.
        shapes: the shape of every tensor, in order.
        named: tensors of the layers before. Those of this layer are added.

    Raises:
        ValueError: as `Axis.unit`.
    """
    # A unit has its rows first, then its columns, each along the dimension that counts units.
    members = [(name, 0) for name in layer.rows]
    members += [(name, 1) for name in layer.columns]
    sizes: dict[str, int] = {}
    for name, dim in members:
        _check_member(name, dim, shapes, named)
        named.add(name)
        sizes[name] = shapes[name][dim] // _runs(layer, name)
    count = _unit_count(layer, sizes)
    parts = []
    for name, dim in members:
        parts.append(Part(name, dim, sizes[name] // count, _runs(layer, name)))
    return Block(count, tuple(parts))


def _check_member(name: str, dim: int, shapes: Shapes, named: set[str]) -> None:
    """Checks that a tensor can give its rows or columns to a layer."""
    if name not in shapes:
        raise ValueError(f"layers: no tensor is called {name!r}; {some_names(shapes)}")
    # Two layers that claim one tensor would lay its entries on the axis twice.
    if name in named:
        raise ValueError(f"layers: {name!r} is named twice; each tensor belongs to one layer")
    if len(shapes[name]) <= dim:
        raise ValueError(f"layers: {name!r} has shape {shapes[name]}, which has no dimension {dim}")


def _runs(layer: Layer, name: str) -> int:
    """How often a tensor holds all units of its layer."""
    return 2 if name in layer.twice else 1


def _unit_count(layer: Layer, sizes: dict[str, int]) -> int:
    """The number of units of a layer.

    Args:
        layer: the layer.
        sizes: rows or columns that each of its tensors has in one run.

    Raises:
        ValueError: if the tensors do not agree on it.
    """
    expected = ""
    if layer.count:
        # Each unit may have several rows: the tensors have to share them out evenly.
        count = layer.count
        expected = f"; expected multiples of {count}"
        agreed = not any(size % count for size in sizes.values())
    else:
        # Each unit has one row, so the first tensor says how many there are.
        count = next(iter(sizes.values()), 0)
        agreed = count > 0 and set(sizes.values()) == {count}
    if not agreed:
        raise ValueError(
            "layers: the tensors of one layer must agree on its number of units, "
            f"got {sizes}{expected}"
        )
    return count
