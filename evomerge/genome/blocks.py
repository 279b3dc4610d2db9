"""What lies along an axis: entries of tensors in units, units in blocks, blocks in chromosomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

Shapes = Mapping[str, tuple[int, ...]]
"""The shape of every tensor by its name, in the order of the state dict."""


@dataclass(frozen=True)
class Part:
    """What each unit of a block has of one tensor: `width` entries along dimension `dim`.

    The entries of one unit follow those of the unit before. A tensor may hold all units several
    times, one run after another (a gated layer: all gates, then all values). A unit then has
    `width` entries of each run.
    """

    tensor: str
    dim: int
    width: int
    runs: int = 1


@dataclass(frozen=True)
class Block:
    """So many units alike, one after another on the axis.

    The parts of a unit lie one after another, too, each with its dimension `dim` outermost.
    """

    count: int
    parts: tuple[Part, ...]

    @property
    def is_tensor(self) -> bool:
        """Whether the block is one unit, and that unit is one whole tensor."""
        return self.count == 1 and len(self.parts) == 1

    def unit_size(self, shapes: Shapes) -> int:
        """The number of parameters of one unit."""
        size = 0
        for part in self.parts:
            size += prod(shapes[part.tensor]) // self.count
        return size


@dataclass(frozen=True)
class Chromosome:
    """A named stretch of the axis that is split by itself, with its own mixing ratio and angles."""

    name: str
    blocks: tuple[Block, ...]


def tensor_block(tensor: str, shape: tuple[int, ...], *, by_input: bool = False) -> Block:
    """A whole tensor as one unit.

    Args:
        tensor: its name.
        shape: its shape.
        by_input: whether its second dimension is outermost, if it has one.
    """
    # A number without dimensions has one entry.
    if not shape:
        return Block(1, (Part(tensor, 0, 1),))
    # A vector has one dimension, which is outermost in either layout.
    dim = 1 if by_input and len(shape) > 1 else 0
    return Block(1, (Part(tensor, dim, shape[dim]),))


def some_names(shapes: Shapes, most: int = 6) -> str:
    """The names of the first tensors, for a message about a name that does not exist."""
    names = list(shapes)
    listed = "its tensors are " + ", ".join(names[:most])
    if len(names) > most:
        listed += f" and {len(names) - most} more"
    return listed
