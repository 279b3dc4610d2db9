"""The parameter axis: the order in which a model's parameters lie, and so where a split point can fall.

The order decides which children can be born. "flat" is the order of the state dict; "unit" lays together what works together
(a hidden unit's incoming weights, bias and outgoing weights), so that a split hands whole units from one parent or the other.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal, get_args

import numpy as np

Cut = Literal["element", "unit"]
Layout = Literal["stored", "by_input"]


@dataclass(frozen=True)
class Piece:
    """Entries [start, stop) of one tensor along one of its dimensions."""

    tensor: str
    dim: int
    start: int
    stop: int


Unit = tuple[Piece, ...]


@dataclass(frozen=True)
class Chromosome:
    """A named group of units that is split by itself, with its own mixing ratio and its own angles."""

    name: str
    units: tuple[Unit, ...]


@dataclass(frozen=True)
class Axis:
    """All parameters of a model in one order.

    Attributes:
        shapes: the shape of every tensor, in the order of the state dict.
        chromosomes: what lies along the axis; together their units cover every entry of every tensor once.
        cut: where a split may fall: before any "element", or only between "unit"s.
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
        cut: Cut = "element",
    ) -> Axis:
        """The order of the state dict; each tensor is a unit.

        Args:
            shapes: the shape of every tensor, in order.
            chromosomes: name to regular expression; a tensor belongs to the first whose expression is found in its name, and
                to a last chromosome, "rest", if none is.
            layout: how a tensor of two or more dimensions lies: as "stored", or "by_input", its second dimension outermost
                (torch stores a linear layer output by output; the reference code of M2N2 lays it input by input).
            cut: where splits may fall: at every "element", or only between tensors ("unit").

        Raises:
            ValueError: if an expression is not a regular expression or matches no tensor.
        """
        for key, value, choice in (("layout", layout, Layout), ("cut", cut, Cut)):
            if value not in get_args(choice):
                raise ValueError(f"{key}: expected one of {get_args(choice)}, got {value!r}")
        groups: dict[str, list[Unit]] = {name: [] for name in chromosomes or {}}
        patterns = {name: _compiled(name, pattern) for name, pattern in (chromosomes or {}).items()}
        for tensor, shape in shapes.items():
            name = next((name for name, pattern in patterns.items() if pattern.search(tensor)), "rest")
            groups.setdefault(name, []).append(_whole(tensor, shape, layout))
        for name, units in groups.items():
            if not units:
                raise ValueError(f"chromosomes.{name}: no tensor's name matches {patterns[name].pattern!r}; {_names(shapes)}")
        if not chromosomes:
            groups = {"all": groups["rest"]}
        return cls(dict(shapes), tuple(Chromosome(name, tuple(units)) for name, units in groups.items()), cut)

    @classmethod
    def unit(cls, shapes: Mapping[str, tuple[int, ...]], layers: Sequence[tuple[Sequence[str], Sequence[str]]]) -> Axis:
        """Hidden unit by hidden unit; splits fall between units.

        Args:
            shapes: the shape of every tensor, in order.
            layers: for each hidden layer the tensors whose rows (dimension 0: incoming weights, biases) and the tensors whose
                columns (dimension 1: outgoing weights) belong to its units. A matrix between two hidden layers belongs to the
                receiving units: name it among the rows of the second.

        Returns:
            An axis of two chromosomes: "units", and "rest" for the tensors that no layer names (the output's bias, say).

        Raises:
            ValueError: if a tensor is unknown, is named twice, or does not have as many rows or columns as its layer has units.
        """
        units: list[Unit] = []
        named: set[str] = set()
        for row_tensors, column_tensors in layers:
            members = [(name, 0) for name in row_tensors] + [(name, 1) for name in column_tensors]
            counts = {}
            for name, dim in members:
                if name not in shapes:
                    raise ValueError(f"layers: no tensor is called {name!r}; {_names(shapes)}")
                if name in named:
                    raise ValueError(f"layers: {name!r} is named twice; each tensor belongs to one layer")
                if len(shapes[name]) <= dim:
                    raise ValueError(f"layers: {name!r} has shape {shapes[name]}, which has no dimension {dim}")
                named.add(name)
                counts[name] = shapes[name][dim]
            if len(set(counts.values())) != 1:
                raise ValueError(f"layers: the tensors of one layer must agree on its number of units, got {counts}")
            for index in range(next(iter(counts.values()))):
                units.append(tuple(Piece(name, dim, index, index + 1) for name, dim in members))
        rest = tuple(_whole(name, shape, "stored") for name, shape in shapes.items() if name not in named)
        groups = [Chromosome("units", tuple(units))] + ([Chromosome("rest", rest)] if rest else [])
        return cls(dict(shapes), tuple(groups), "unit")

    @cached_property
    def size(self) -> int:
        """P, the number of parameters."""
        return sum(prod(shape) for shape in self.shapes.values())

    @cached_property
    def unit_bounds(self) -> tuple[np.ndarray, ...]:
        """For each chromosome the positions on the axis where its units begin, and where the last one ends."""
        bounds, start = [], 0
        for chromosome in self.chromosomes:
            sizes = [sum(self._numel(piece) for piece in unit) for unit in chromosome.units]
            bounds.append(start + np.concatenate([[0], np.cumsum(sizes)]))
            start = int(bounds[-1][-1])
        return tuple(bounds)

    @cached_property
    def whole_tensors(self) -> bool:
        """Whether every unit is one whole tensor, so that a tensor has one angle."""
        return all(
            sum(self._numel(piece) for piece in unit) == prod(self.shapes[unit[0].tensor])
            and len({piece.tensor for piece in unit}) == 1
            for chromosome in self.chromosomes
            for unit in chromosome.units
        )

    @cached_property
    def order(self) -> np.ndarray | None:
        """(P,) where each position of the axis lies in the state dict laid end to end; None if that is the same order."""
        offsets = np.cumsum([0, *(prod(shape) for shape in self.shapes.values())])
        indices = {
            name: np.arange(start, start + prod(shape)).reshape(shape or (1,))
            for (name, shape), start in zip(self.shapes.items(), offsets, strict=False)
        }
        order = np.concatenate(
            [
                indices[piece.tensor].take(range(piece.start, piece.stop), axis=piece.dim).ravel()
                for chromosome in self.chromosomes
                for unit in chromosome.units
                for piece in unit
            ]
        )
        return None if np.array_equal(order, np.arange(self.size)) else order

    def _numel(self, piece: Piece) -> int:
        shape = self.shapes[piece.tensor] or (1,)
        return prod(shape) // shape[piece.dim] * (piece.stop - piece.start)


def _whole(tensor: str, shape: tuple[int, ...], layout: Layout) -> Unit:
    if layout == "by_input" and len(shape) > 1:
        return tuple(Piece(tensor, 1, index, index + 1) for index in range(shape[1]))
    return (Piece(tensor, 0, 0, shape[0] if shape else 1),)


def _compiled(name: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise ValueError(f"chromosomes.{name}: {pattern!r} is not a regular expression ({error})") from None


def _names(shapes: Mapping[str, tuple[int, ...]], most: int = 6) -> str:
    names = list(shapes)
    return "its tensors are " + ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
