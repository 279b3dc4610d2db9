"""The parameter axis: the order in which a model's parameters lie, and so where a split point can fall.

The order decides which children can be born. "flat" is the order of the state dict; "unit" lays together what works together
(a hidden unit's incoming weights, bias and outgoing weights), so that a split hands whole units from one parent or the other.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, get_args

import numpy as np

FlatCut = Literal["element", "row", "tensor", "layer"]
Cut = Literal[FlatCut, "unit"]
Layout = Literal["stored", "by_input"]

LAYER = re.compile(r"((?:.*?\.)?\d+)\.")
"""What a tensor's name begins with if it belongs to a layer: everything up to the first of its parts that is a number."""


@dataclass(frozen=True)
class Part:
    """What each unit of a block has of one tensor: `width` entries along dimension `dim`, unit after unit.

    Where a tensor holds all units several times, one `run` of them after another (gates, then values), it is that of each run.
    """

    tensor: str
    dim: int
    width: int
    runs: int = 1


@dataclass(frozen=True)
class Layer:
    """A hidden layer by its tensors' names.

    Attributes:
        rows: tensors whose rows (dimension 0: incoming weights, biases) belong to its units.
        columns: tensors whose columns (dimension 1: outgoing weights) do.
        count: how many units it has, where each has several rows or columns (an attention head); None: one of each.
        twice: those that hold all units twice, one run after the other.
    """

    rows: Sequence[str]
    columns: Sequence[str]
    count: int | None = None
    twice: Collection[str] = ()


@dataclass(frozen=True)
class Block:
    """So many units alike, one after another on the axis; a unit's parts lie one after another, `dim` outermost."""

    count: int
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Chromosome:
    """A named stretch of the axis that is split by itself, with its own mixing ratio and its own angles."""

    name: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where one tensor lies among stretches of the axis.

    Attributes:
        tensor: its name.
        dim: the dimension along which it is cut; None if it is cut as one flat vector.
        edges: (n + 1,) the entries along it where another stretch begins, from 0 to the dimension's size.
        stretches: (n,) the stretch in which the entries from each edge to the next lie.
    """

    tensor: str
    dim: int | None
    edges: np.ndarray
    stretches: np.ndarray


@dataclass(frozen=True)
class Axis:
    """All parameters of a model in one order.

    Attributes:
        shapes: the shape of every tensor, in the order of the state dict.
        chromosomes: what lies along the axis; together their units cover every entry of every tensor once.
        cut: before what a split may fall: any "element", a "row" of a matrix, a "tensor", a "layer" or a "unit".
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
            chromosomes: name to regular expression; a tensor belongs to the first whose expression is found in its name, and
                to a last chromosome, "rest", if none is.
            layout: how a tensor of two or more dimensions lies: as "stored", or "by_input", its second dimension outermost
                (torch stores a linear layer output by output; the reference code of M2N2 lays it input by input).
            cut: before what splits may fall: any "element", a "row" of a matrix (by_input: a column; a vector is one row), a
                "tensor" or a "layer" (a run of tensors whose names are alike up to the first part that is a number).

        Raises:
            ValueError: if a setting is none of these, or an expression is not a regular expression or matches no tensor.
        """
        for key, value, choice in (("layout", layout, Layout), ("cut", cut, FlatCut)):
            if value not in get_args(choice):
                raise ValueError(f"{key}: expected one of {get_args(choice)}, got {value!r}")
        groups: dict[str, list[Block]] = {name: [] for name in chromosomes or {}}
        patterns = {name: _compiled(name, pattern) for name, pattern in (chromosomes or {}).items()}
        for tensor, shape in shapes.items():
            name = next(
                (name for name, pattern in patterns.items() if pattern.search(tensor)), "rest"
            )
            groups.setdefault(name, []).append(_whole(tensor, shape, layout))
        for name, blocks in groups.items():
            if not blocks:
                raise ValueError(
                    f"chromosomes.{name}: no tensor's name matches {patterns[name].pattern!r}; {_names(shapes)}"
                )
        if not chromosomes:
            groups = {"all": groups["rest"]}
        return cls(
            dict(shapes),
            tuple(Chromosome(name, tuple(blocks)) for name, blocks in groups.items()),
            cut,
        )

    @classmethod
    def unit(
        cls,
        shapes: Mapping[str, tuple[int, ...]],
        layers: Sequence[Layer | tuple[Sequence[str], Sequence[str]]],
    ) -> Axis:
        """Hidden unit by hidden unit; splits fall between units.

        Args:
            shapes: the shape of every tensor, in order.
            layers: the hidden layers, or for each its rows and columns. A matrix between two hidden layers belongs to the
                receiving units: name it among the rows of the second.

        Returns:
            An axis of two chromosomes: "units", and "rest" for the tensors that no layer names (the output's bias, say).

        Raises:
            ValueError: if a tensor is unknown, is named twice, or does not have as many rows or columns as its layer has units,
                or a multiple of it.
        """
        blocks: list[Block] = []
        named: set[str] = set()
        for layer in (layer if isinstance(layer, Layer) else Layer(*layer) for layer in layers):
            members, count = (
                [(name, 0) for name in layer.rows] + [(name, 1) for name in layer.columns],
                layer.count,
            )
            sizes = {}
            for name, dim in members:
                if name not in shapes:
                    raise ValueError(f"layers: no tensor is called {name!r}; {_names(shapes)}")
                if name in named:
                    raise ValueError(
                        f"layers: {name!r} is named twice; each tensor belongs to one layer"
                    )
                if len(shapes[name]) <= dim:
                    raise ValueError(
                        f"layers: {name!r} has shape {shapes[name]}, which has no dimension {dim}"
                    )
                named.add(name)
                sizes[name] = shapes[name][dim] // (1 + (name in layer.twice))
            units = count or next(iter(sizes.values()), 0)
            if not units or any(
                size % units if count else size != units for size in sizes.values()
            ):
                expected = f"; expected multiples of {count}" if count else ""
                raise ValueError(
                    f"layers: the tensors of one layer must agree on its number of units, got {sizes}{expected}"
                )
            parts = [
                Part(name, dim, sizes[name] // units, 1 + (name in layer.twice))
                for name, dim in members
            ]
            blocks.append(Block(units, tuple(parts)))
        rest = tuple(
            _whole(name, shape, "stored") for name, shape in shapes.items() if name not in named
        )
        groups = [Chromosome("units", tuple(blocks))] + ([Chromosome("rest", rest)] if rest else [])
        return cls(dict(shapes), tuple(groups), "unit")

    @cached_property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    @cached_property
    def unit_bounds(self) -> tuple[np.ndarray, ...]:
        """For each chromosome the positions on the axis where its units begin, and where the last one ends."""
        return tuple(
            np.concatenate(
                [
                    [placed[0][1]],
                    *(
                        start + self._unit_size(block) * np.arange(1, block.count + 1)
                        for block, start in placed
                    ),
                ]
            )
            for placed in self._placed
        )

    @cached_property
    def cuts(self) -> tuple[Sequence[int], ...]:
        """For each chromosome the positions on the axis where a split may fall."""
        return tuple(
            self._cuts(bounds, placed)
            for bounds, placed in zip(self.unit_bounds, self._placed, strict=True)
        )

    @cached_property
    def whole_tensors(self) -> bool:
        """Whether every unit is one whole tensor, so that a tensor has one angle."""
        blocks = [block for chromosome in self.chromosomes for block in chromosome.blocks]
        return all(block.count == 1 and len(block.parts) == 1 for block in blocks)

    @cached_property
    def order(self) -> np.ndarray | None:
        """(P,) where each position of the axis lies in the state dict laid end to end; None if that is the same order."""
        offsets = np.cumsum([0, *(prod(shape) for shape in self.shapes.values())])
        indices = {
            name: np.arange(start, start + prod(shape)).reshape(shape or (1,))
            for (name, shape), start in zip(self.shapes.items(), offsets, strict=False)
        }
        laid = []
        for chromosome in self.chromosomes:
            for block in chromosome.blocks:
                parts = [np.moveaxis(indices[part.tensor], part.dim, 0) for part in block.parts]
                runs = [
                    of.reshape(part.runs, block.count, -1)
                    for of, part in zip(parts, block.parts, strict=True)
                ]
                laid.append(np.concatenate([run for of in runs for run in of], axis=1).ravel())
        order = np.concatenate(laid)
        return None if np.array_equal(order, np.arange(self.size)) else order

    def placements(self, bounds: np.ndarray) -> Iterator[Placement]:
        """Where each tensor lies among stretches of the axis, tensor after tensor along the axis.

        Args:
            bounds: (m + 1,) positions from 0 to P: stretch i is [bounds[i], bounds[i + 1]).

        Raises:
            ValueError: if a bound falls inside a unit of several parts, or inside one that does not lie as it is stored.
        """
        for placed in self._placed:
            for block, start in placed:
                size = self._unit_size(block)
                first, last = np.searchsorted(
                    bounds, (start, start + block.count * size), side="left"
                )
                inside = bounds[first:last] - start
                inside = inside[inside > 0]
                stretches = (
                    np.arange(len(inside) + 1) + np.searchsorted(bounds, start, side="right") - 1
                )
                if not (inside % size).any():
                    edges = np.concatenate([[0], inside // size, [block.count]])
                    for part in block.parts:
                        runs = [
                            edges[:-1] * part.width + run * block.count * part.width
                            for run in range(part.runs)
                        ]
                        ends = np.concatenate([*runs, [part.runs * block.count * part.width]])
                        yield Placement(part.tensor, part.dim, ends, np.tile(stretches, part.runs))
                    continue
                (part, *others), shape = block.parts, self.shapes[block.parts[0].tensor]
                row = size // part.width
                if not others and block.count == 1 and not (inside % row).any():
                    yield Placement(
                        part.tensor,
                        part.dim,
                        np.concatenate([[0], inside // row, [part.width]]),
                        stretches,
                    )
                elif not others and block.count == 1 and part.dim == 0:
                    yield Placement(
                        part.tensor, None, np.concatenate([[0], inside, [prod(shape)]]), stretches
                    )
                else:
                    raise ValueError(
                        f"bounds: one falls inside a unit of {', '.join(part.tensor for part in block.parts)}"
                    )

    @cached_property
    def _placed(self) -> tuple[tuple[tuple[Block, int], ...], ...]:
        """For each chromosome its blocks, each with where it begins on the axis."""
        placed, start = [], 0
        for chromosome in self.chromosomes:
            here = []
            for block in chromosome.blocks:
                here.append((block, start))
                start += block.count * self._unit_size(block)
            placed.append(tuple(here))
        return tuple(placed)

    def _unit_size(self, block: Block) -> int:
        """How many parameters a unit of a block has."""
        return sum(prod(self.shapes[part.tensor]) // block.count for part in block.parts)

    def _cuts(self, bounds: np.ndarray, placed: Sequence[tuple[Block, int]]) -> Sequence[int]:
        """Where a split may fall in one chromosome."""
        if self.cut == "element":
            return range(int(bounds[0]), int(bounds[-1]))
        if self.cut == "layer":
            layers = [LAYER.match(block.parts[0].tensor) for block, _ in placed]
            names = [
                layer[1] if layer else block.parts[0].tensor
                for layer, (block, _) in zip(layers, placed, strict=True)
            ]
            return [
                start for i, (_, start) in enumerate(placed) if not i or names[i] != names[i - 1]
            ]
        if self.cut == "row":
            rows = []
            for block, start in placed:
                part = block.parts[0]
                count = part.width if len(self.shapes[part.tensor]) > 1 else 1
                rows.append(start + self._unit_size(block) // max(count, 1) * np.arange(count))
            return np.concatenate(rows).tolist()
        return bounds[:-1].tolist()


def _whole(tensor: str, shape: tuple[int, ...], layout: Layout) -> Block:
    dim = 1 if layout == "by_input" and len(shape) > 1 else 0
    return Block(1, (Part(tensor, dim, shape[dim] if shape else 1),))


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"chromosomes.{name}: {pattern!r} is not a regular expression ({error})"
        ) from None


def _names(shapes: Mapping[str, tuple[int, ...]], most: int = 6) -> str:
    names = list(shapes)
    return (
        "its tensors are "
        + ", ".join(names[:most])
        + (f" and {len(names) - most} more" if len(names) > most else "")
    )
