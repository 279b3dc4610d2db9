"""Where tensors lie on an axis that is cut into stretches.

A block of the axis is cut between its units. If it is one whole tensor, it may also be cut between
the rows of that tensor, or at any entry. Each of these three cases is a function here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from evomerge.genome.blocks import Block, Part, Shapes


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


def block_placements(
    block: Block, start: int, bounds: np.ndarray, shapes: Shapes
) -> Iterator[Placement]:
    """Places the tensors of one block.

    Args:
        block: the block.
        start: where it begins on the axis.
        bounds: (m + 1,) positions on the axis: stretch i is [bounds[i], bounds[i + 1]).
        shapes: the shape of every tensor.

    Raises:
        ValueError: as `Axis.placements`.
    """
    unit = block.unit_size(shapes)
    inside, stretches = _pieces(bounds, start, start + block.count * unit)
    if not (inside % unit).any():
        yield from cut_between_units(block, inside // unit, stretches)
        return
    # A unit is cut. Its pieces can be told apart only where the unit is one whole tensor.
    if block.is_tensor:
        part = block.parts[0]
        row = unit // part.width
        if not (inside % row).any():
            yield cut_between_rows(part, inside // row, stretches)
            return
        # A row is cut. The tensor is a flat vector then, so its rows have to lie as they are
        # stored.
        if part.dim == 0:
            yield cut_anywhere(part, unit, inside, stretches)
            return
    tensors = ", ".join(part.tensor for part in block.parts)
    raise ValueError(f"bounds: one falls inside a unit of {tensors}")


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


def _pieces(bounds: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """The pieces into which bounds cut what lies from `start` to `stop`.

    Args:
        bounds: (m + 1,) rising positions on the axis.
        start: the first position.
        stop: the position behind the last.

    Returns:
        (n - 1,) the bounds inside, from `start` on, and (n,) the stretch that each piece lies in.
    """
    first, last = np.searchsorted(bounds, (start, stop), side="left")
    inside = bounds[first:last] - start
    # A bound at `start` itself cuts nothing off.
    inside = inside[inside > 0]
    # The last bound up to `start` begins the first piece's stretch. The others follow one another.
    stretch = np.searchsorted(bounds, start, side="right") - 1
    return inside, np.arange(len(inside) + 1) + stretch
