"""Where splits may fall, for the kinds of cut that are coarser than an element."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evomerge.genome.blocks import Block, Shapes
from evomerge.genome.layers import layer_name


def layer_starts(placed: Sequence[tuple[Block, int]]) -> list[int]:
    """Where layers begin; a tensor outside of all layers counts as one.

    Args:
        placed: blocks of one tensor each, with where they begin on the axis.
    """
    starts = []
    previous = None
    for block, start in placed:
        tensor = block.parts[0].tensor
        name = layer_name(tensor) or tensor
        # Tensors of one layer that follow one another are handed over together.
        if name != previous:
            starts.append(start)
        previous = name
    return starts


def row_starts(placed: Sequence[tuple[Block, int]], shapes: Shapes) -> list[int]:
    """Where the rows of whole tensors begin; a vector counts as one row.

    Args:
        placed: blocks of one tensor each, with where they begin on the axis.
        shapes: the shape of every tensor.
    """
    starts = []
    for block, start in placed:
        part = block.parts[0]
        rows = part.width
        # Its entries do not count, or a bias would be cut as often as the matrix beside it.
        if len(shapes[part.tensor]) < 2:
            rows = 1
        # A matrix without rows has no place to cut. The 1 only keeps the division defined.
        row_size = block.unit_size(shapes) // max(rows, 1)
        starts.append(start + row_size * np.arange(rows))
    return np.concatenate(starts).tolist()
