"""The parameter axis: the order in which a model's parameters lie, and so where a split can fall.

The order decides which children can be born. "flat" is the order of the state dict. "unit" lays
together what works together (a hidden unit's incoming weights, bias and outgoing weights), so that
a split hands whole units from one parent or the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, get_args

import numpy as np

from evomerge.genome.blocks import Block, Chromosome, tensor_block
from evomerge.genome.chromosomes import REST, by_name
from evomerge.genome.cuts import layer_starts, row_starts
from evomerge.genome.layers import Layer, unit_block
from evomerge.genome.placement import Placement, block_placements

FlatCut = Literal["element", "row", "tensor", "layer"]
Cut = Literal[FlatCut, "unit"]
Layout = Literal["stored", "by_input"]


@dataclass(frozen=True)
class Axis:
    """All parameters of a model in one order.

    Attributes:
        shapes: the shape of every tensor, in the order of the state dict.
        chromosomes: what lies along the axis; together their units cover every entry of every
            tensor once.
        cut: before what a split may fall: any "element", a "row" of a matrix, a "tensor", a
            "layer" or a "unit".
    """

    shapes: Mapping[str, tuple[int, ...]]
    chromosomes: tuple[Chromosome, ...]
    cut: Cut = "element"

    @classmethod
    def flat(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        *,
        chromosomes: Mapping[str, str] | None = None,
        layout: Layout = "stored",
        cut: FlatCut = "element",
    ) -> Axis:
        """The order of the state dict; each tensor is a unit.

        Args:
            shapes: the shape of every tensor, in order.
            chromosomes: name to regular expression. A tensor belongs to the first whose expression
                is found in its name, and to a last chromosome, "rest", if none is.
            layout: how a tensor of two or more dimensions lies: as "stored", or "by_input", its
                second dimension outermost (torch stores a linear layer output by output; the
                reference code of M2N2 lays it input by input).
            cut: before what splits may fall: any "element", a "row" of a matrix (by_input: a
                column; a vector is one row), a "tensor" or a "layer" (a run of tensors whose names
                are alike up to the first part that is a number).

        Raises:
            ValueError: if a setting is none of these, or an expression is not a regular expression
                or matches no tensor.
        """
        for key, value, choice in (("layout", layout, Layout), ("cut", cut, FlatCut)):
            if value not in get_args(choice):
                raise ValueError(f"{key}: expected one of {get_args(choice)}, got {value!r}")
        groups = by_name(shapes, chromosomes or {}, by_input=layout == "by_input")
        return cls(dict(shapes), tuple(groups), cut)

    @classmethod
    def unit(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        layers: Sequence[Layer | tuple[Sequence[str], Sequence[str]]],
    ) -> Axis:
        """Hidden unit by hidden unit; splits fall between units.

        Args:
            shapes: the shape of every tensor, in order.
            layers: the hidden layers, or for each its rows and columns. A matrix between two
                hidden layers belongs to the receiving units: name it among the rows of the second.

        Returns:
            An axis of two chromosomes: "units", and "rest" for the tensors that no layer names
            (the output's bias, say).

        Raises:
            ValueError: if a tensor is unknown, is named twice, or does not have as many rows or
                columns as its layer has units, or a multiple of it.
        """
        units: list[Block] = []
        named: set[str] = set()
        for layer in layers:
            # A pair is a layer whose units have one row and one column of each tensor.
            if not isinstance(layer, Layer):
                layer = Layer(*layer)
            units.append(unit_block(layer, shapes, named))
        rest = [tensor_block(name, shape) for name, shape in shapes.items() if name not in named]
        chromosomes = [Chromosome("units", tuple(units))]
        if rest:
            chromosomes.append(Chromosome(REST, tuple(rest)))
        return cls(dict(shapes), tuple(chromosomes), "unit")

    @cached_property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    @cached_property
    def unit_bounds(self) -> tuple[np.ndarray, ...]:
        """For each chromosome the positions where its units begin, and where the last one ends."""
        # Blocks follow one another without a gap, so each adds only the ends of its units.
        bounds = []
        for placed in self._placed:
            _, first = placed[0]
            edges = [np.array([first])]
            for block, start in placed:
                edges.append(start + block.unit_size(self.shapes) * np.arange(1, block.count + 1))
            bounds.append(np.concatenate(edges))  # (units + 1,)
        return tuple(bounds)

    @cached_property
    def cuts(self) -> tuple[Sequence[int], ...]:
        """For each chromosome the positions on the axis where a split may fall."""
        cuts = []
        for bounds, placed in zip(self.unit_bounds, self._placed, strict=True):
            cuts.append(self._cuts(bounds, placed))
        return tuple(cuts)

    @cached_property
    def whole_tensors(self) -> bool:
        """Whether every unit is one whole tensor, so that a tensor has one angle."""
        for chromosome in self.chromosomes:
            if not all(block.is_tensor for block in chromosome.blocks):
                return False
        return True

    @cached_property
    def order(self) -> np.ndarray | None:
        """The state dict's place of each position of the axis.

        Returns:
            (P,) places in the state dict laid end to end; None if the axis has the same order.
        """
        stored = self._stored_places()
        laid = []
        for placed in self._placed:
            for block, _ in placed:
                columns: list[np.ndarray] = []  # (units, entries) each
                for part in block.parts:
                    # The dimension that counts units comes first, so that units can be told apart.
                    places = np.moveaxis(stored[part.tensor], part.dim, 0)
                    # (runs, units, entries of a unit in a run)
                    columns.extend(places.reshape(part.runs, block.count, -1))
                # A row is a unit: its parts beside one another.
                laid.append(np.concatenate(columns, axis=1).ravel())
        order = np.concatenate(laid)
        if np.array_equal(order, np.arange(self.size)):
            return None
        return order

    def placements(self, bounds: np.ndarray) -> Iterator[Placement]:
        """Where each tensor lies among stretches of the axis, tensor after tensor along the axis.

        A network of four inputs, three hidden units and two outputs has an axis of
        12 + 3 + 6 + 2 = 23 positions. It is cut at position 8, before the last row of the first
        matrix, and at 19, inside the second row of the second matrix:

            >>> import numpy as np
            >>> from evomerge.genome import Axis
            >>> axis = Axis.flat({"w1": (3, 4), "b1": (3,), "w2": (2, 3), "b2": (2,)})
            >>> for placement in axis.placements(np.array([0, 8, 19, 23])):
            ...     print(placement.tensor, placement.dim, placement.edges, placement.stretches)
            w1 0 [0 2 3] [0 1]
            b1 0 [0 3] [1]
            w2 None [0 4 6] [1 2]
            b2 0 [0 2] [2]

        Rows 0 and 1 of "w1" lie in stretch 0, row 2 in stretch 1. No row ends where "w2" is cut,
        so its edges are entries of the flat matrix.

        On the unit axis a hidden unit is a row of "w1", an entry of "b1" and a column of "w2",
        seven positions in all. A bound at 14 gives the third unit to the next stretch:

            >>> axis = Axis.unit(axis.shapes, [(["w1", "b1"], ["w2"])])
            >>> for placement in axis.placements(np.array([0, 14, 23])):
            ...     print(placement.tensor, placement.dim, placement.edges, placement.stretches)
            w1 0 [0 2 3] [0 1]
            b1 0 [0 2 3] [0 1]
            w2 1 [0 2 3] [0 1]
            b2 0 [0 2] [1]

        Args:
            bounds: (m + 1,) positions from 0 to P: stretch i is [bounds[i], bounds[i + 1]).

        Raises:
            ValueError: if a bound falls inside a unit of several parts, or inside one that does
                not lie as it is stored.
        """
        for placed in self._placed:
            for block, start in placed:
                yield from block_placements(block, start, bounds, self.shapes)

    @cached_property
    def _placed(self) -> tuple[tuple[tuple[Block, int], ...], ...]:
        """For each chromosome its blocks, each with where it begins on the axis."""
        chromosomes = []
        start = 0
        for chromosome in self.chromosomes:
            placed = []
            for block in chromosome.blocks:
                placed.append((block, start))
                start += block.count * block.unit_size(self.shapes)
            chromosomes.append(tuple(placed))
        return tuple(chromosomes)

    def _stored_places(self) -> dict[str, np.ndarray]:
        """For each tensor, in its shape, the places of its entries in the state dict."""
        places = {}
        start = 0
        for name, shape in self.shapes.items():
            stop = start + prod(shape)
            # A number without dimensions is a vector of one entry here.
            places[name] = np.arange(start, stop).reshape(shape or (1,))
            start = stop
        return places

    def _cuts(self, bounds: np.ndarray, placed: Sequence[tuple[Block, int]]) -> Sequence[int]:
        """Where a split may fall in one chromosome.

        Args:
            bounds: (units + 1,) where its units begin, and where the last one ends.
            placed: its blocks, each with where it begins.
        """
        if self.cut == "element":
            # A range, because a list of billions of positions would not fit into memory.
            return range(int(bounds[0]), int(bounds[-1]))
        if self.cut == "layer":
            return layer_starts(placed)
        if self.cut == "row":
            return row_starts(placed, self.shapes)
        # "tensor" and "unit": a unit of a flat axis is a tensor.
        return bounds[:-1].tolist()
