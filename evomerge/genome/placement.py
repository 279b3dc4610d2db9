"""Where tensors lie on an axis that is cut into stretches.

A block of the axis is cut between its units, or, if it is one whole tensor, between the rows of
that tensor or at any entry. Each of these cases is a function here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evomerge.genome.blocks import Block, Part


@dataclass(frozen=True, eq=False)
class Placement:
    """Where one tensor lies among stretches of the axis.

    Attributes:
        tensor: its name.
        dim: the dimension along which it is cut; None if it is cut as one flat vector.
        edges: (n + 1,) the entries along it where another stretch begins, from 0 to the
            dimension's size.
        stretches: (n,) the stretch in which the entries from each edge to the next lie.
    """

    tensor: str
    dim: int | None
    edges: np.ndarray
    stretches: np.ndarray


def cut_between_units(block: Block, cuts: np.ndarray, stretches: np.ndarray) -> Iterator[Placement]:
    """Places all tensors of a block that is cut between its units.

    Args:
        block: the block.
        cuts: (n - 1,) the units before which a stretch ends.
        stretches: (n,) the stretches that the block lies in.
    """
    units = np.concatenate([[0], cuts, [block.count]])  # (n + 1,)
    for part in block.parts:
        # Where a tensor holds all units several times, each run is cut in the same places.
        length = block.count * part.width
        runs = [units[:-1] * part.width + run * length for run in range(part.runs)]
        edges = np.concatenate([*runs, [part.runs * length]])  # (runs * n + 1,)
        yield Placement(part.tensor, part.dim, edges, np.tile(stretches, part.runs))


def cut_between_rows(part: Part, cuts: np.ndarray, stretches: np.ndarray) -> Placement:
    """Places a whole tensor that is cut along its outermost dimension.

    Args:
        part: the tensor.
        cuts: (n - 1,) the entries along that dimension before which a stretch ends.
        stretches: (n,) the stretches that the tensor lies in.
    """
    edges = np.concatenate([[0], cuts, [part.width]])  # (n + 1,)
    return Placement(part.tensor, part.dim, edges, stretches)


def cut_anywhere(part: Part, size: int, cuts: np.ndarray, stretches: np.ndarray) -> Placement:
    """Places a whole tensor that is cut inside its rows, as one flat vector.

    Args:
        part: the tensor, which has to lie as it is stored.
        size: its number of entries.
        cuts: (n - 1,) the entries before which a stretch ends.
        stretches: (n,) the stretches that the tensor lies in.
    """
    edges = np.concatenate([[0], cuts, [size]])  # (n + 1,)
    return Placement(part.tensor, None, edges, stretches)
