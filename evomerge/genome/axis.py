"""The parameter axis: the order in which a model's parameters lie, and so where a split can fall.

The order decides which children can be born. "flat" is the order of the state dict. "unit" lays
together what works together (a hidden unit's incoming weights, bias and outgoing weights), so that
a split hands whole units from one parent or the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, get_args

import numpy as np

from evomerge.genome.blocks import Block, Chromosome, Shapes, some_names, tensor_block
from evomerge.genome.layers import Layer, layer_name, unit_block
from evomerge.genome.placement import (
    Placement,
    cut_anywhere,
    cut_between_rows,
    cut_between_units,
)

FlatCut = Literal["element", "row", "tensor", "layer"]
Cut = Literal[FlatCut, "unit"]
Layout = Literal["stored", "by_input"]

REST = "rest"
"""The last chromosome: the tensors that belong to no other."""

ALL = "all"
"""The only chromosome of a flat axis, unless others are asked for."""


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

    shapes: Shapes
    chromosomes: tuple[Chromosome, ...]
    cut: Cut = "element"

    @classmethod
    def flat(
        cls,
        shapes: Shapes,
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
        patterns = _compiled(chromosomes or {})
        # The chromosomes that are asked for come first, in their order, however tensors lie.
        blocks: dict[str, list[Block]] = {name: [] for name in patterns}
        for tensor, shape in shapes.items():
            block = tensor_block(tensor, shape, by_input=layout == "by_input")
            blocks.setdefault(_first_match(tensor, patterns), []).append(block)
        for name, members in blocks.items():
            if not members:
                raise ValueError(
                    f"chromosomes.{name}: no tensor's name matches {patterns[name].pattern!r}; "
                    f"{some_names(shapes)}"
                )
        if not patterns:
            blocks = {ALL: blocks[REST]}
        groups = [Chromosome(name, tuple(members)) for name, members in blocks.items()]
        return cls(dict(shapes), tuple(groups), cut)

    @classmethod
    def unit(
        cls,
        shapes: Shapes,
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
                size = block.unit_size(self.shapes)
                inside, stretches = _cut(bounds, start, start + block.count * size)
                if not (inside % size).any():
                    yield from cut_between_units(block, inside // size, stretches)
                else:
                    yield self._cut_unit(block, inside, stretches)

    def _cut_unit(self, block: Block, inside: np.ndarray, stretches: np.ndarray) -> Placement:
        """Places the only tensor of a block whose unit is cut.

        Args:
            block: the block.
            inside: (n - 1,) bounds inside the block, from its beginning on.
            stretches: (n,) the stretches that it lies in.
        """
        part = block.parts[0]
        if block.is_tensor:
            size = block.unit_size(self.shapes)
            row = size // part.width
            if not (inside % row).any():
                return cut_between_rows(part, inside // row, stretches)
            # Only a tensor whose rows lie as they are stored can be cut as one flat vector.
            if part.dim == 0:
                return cut_anywhere(part, size, inside, stretches)
        tensors = ", ".join(part.tensor for part in block.parts)
        raise ValueError(f"bounds: one falls inside a unit of {tensors}")

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
            return _layer_starts(placed)
        if self.cut == "row":
            return self._row_starts(placed)
        # "tensor" and "unit": a unit of a flat axis is a tensor.
        return bounds[:-1].tolist()

    def _row_starts(self, placed: Sequence[tuple[Block, int]]) -> list[int]:
        """Where the rows of whole tensors begin; a vector counts as one row."""
        starts = []
        for block, start in placed:
            part = block.parts[0]
            rows = part.width
            if len(self.shapes[part.tensor]) < 2:
                rows = 1
            # A matrix without rows has no place to cut; the 1 only keeps the division defined.
            row_size = block.unit_size(self.shapes) // max(rows, 1)
            starts.append(start + row_size * np.arange(rows))
        return np.concatenate(starts).tolist()


def _cut(bounds: np.ndarray, start: int, stop: int) -> tuple[np.ndarray, np.ndarray]:
    """How bounds cut the stretch from `start` to `stop`.

    Args:
        bounds: (m + 1,) rising positions on the axis.
        start: the first position.
        stop: the position behind the last.

    Returns:
        (n - 1,) the bounds inside, from `start` on, and (n,) the numbers of the pieces' stretches.
    """
    first, last = np.searchsorted(bounds, (start, stop), side="left")
    inside = bounds[first:last] - start
    # A bound where the block begins does not cut it.
    inside = inside[inside > 0]
    before = np.searchsorted(bounds, start, side="right") - 1
    return inside, np.arange(len(inside) + 1) + before


def _layer_starts(placed: Sequence[tuple[Block, int]]) -> list[int]:
    """Where layers begin; a tensor outside of all layers counts as one."""
    starts = []
    previous = None
    for block, start in placed:
        tensor = block.parts[0].tensor
        name = layer_name(tensor) or tensor
        if name != previous:
            starts.append(start)
        previous = name
    return starts


def _compiled(chromosomes: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """The expressions of chromosomes by name."""
    patterns = {}
    for name, pattern in chromosomes.items():
        try:
            patterns[name] = re.compile(pattern)
        except re.error as error:
            raise ValueError(
                f"chromosomes.{name}: {pattern!r} is not a regular expression ({error})"
            ) from None
    return patterns


def _first_match(tensor: str, patterns: Mapping[str, re.Pattern[str]]) -> str:
    """The first chromosome whose expression is found in a tensor's name, or the last one."""
    for name, pattern in patterns.items():
        if pattern.search(tensor):
            return name
    return REST
