"""Numbers of a method that are searched: where a range is given in the place of a number.

`density: {from: 0.2, to: 0.9}` is one number for all seeds, which each member has of its own. A
list of ranges, or of ranges and numbers, is one for each seed, as a list of numbers is. A genome
(`evomerge.genome.Recipe.settings`) has each as a place in its range, from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

FROM = "from"
TO = "to"


class Range(NamedTuple):
    """A range of a method's parameter."""

    parameter: str
    """mergekit's name of it."""

    seed: int | None
    """The seed whose number it is; None for all seeds'."""

    low: float
    high: float

    @property
    def label(self) -> str:
        """The name for people."""
        return self.parameter if self.seed is None else f"{self.parameter}[{self.seed}]"

    def at(self, place: float) -> float:
        """The number at a place in the range, from 0 to 1."""
        # Rounding must not carry it out of what was checked.
        return min(self.low + (self.high - self.low) * float(place), self.high)


def is_range(value: Any) -> bool:
    """Whether a value is meant as a range: numbers and lists of them are not."""
    return isinstance(value, Mapping)


def ends(value: Mapping[str, Any]) -> tuple[Any, Any]:
    """Both ends of a range.

    Raises:
        ValueError: if it has other keys than the two.
    """
    if set(value) != {FROM, TO}:
        raise ValueError(
            f"expected a number, or a range such as {{from: 0.2, to: 0.9}}, got {dict(value)}"
        )
    return value[FROM], value[TO]


def ranges_of(parameters: Mapping[str, Any]) -> list[Range]:
    """All ranges among a method's parameters, in the order in which a genome has their places."""
    ranges = []
    for name, value in parameters.items():
        if is_range(value):
            low, high = ends(value)
            ranges.append(Range(name, None, float(low), float(high)))
        elif isinstance(value, list | tuple):
            for seed, one in enumerate(value):
                if is_range(one):
                    low, high = ends(one)
                    ranges.append(Range(name, seed, float(low), float(high)))
    return ranges


def values_at(parameters: Mapping[str, Any], places: Sequence[float]) -> dict[str, Any]:
    """The parameters with a number in the place of each range.

    Args:
        parameters: by mergekit's names.
        places: for each of `ranges_of` where its number is, from 0 to 1.

    Raises:
        ValueError: if there are more or fewer places than ranges.
    """
    ranges = ranges_of(parameters)
    if len(places) != len(ranges):
        raise ValueError(
            f"expected a genome with {len(ranges)} settings, one for each range of the method, "
            f"got {len(places)}"
        )
    values = dict(parameters)
    for range_, place in zip(ranges, places, strict=True):
        if range_.seed is None:
            values[range_.parameter] = range_.at(place)
        else:
            # A list of the user's is not changed.
            values[range_.parameter] = list(values[range_.parameter])
            values[range_.parameter][range_.seed] = range_.at(place)
    return values


def spread(ranges: int, members: int, rng: np.random.Generator) -> np.ndarray:
    """(members, ranges) places from 0 to 1: spread evenly over each range, and shuffled in it."""
    columns = [(rng.permutation(members) + 0.5) / members for _ in range(ranges)]
    return np.stack(columns, axis=1)


def corners(parameters: Mapping[str, Any]) -> Iterator[list[float]]:
    """Places at the ends of the ranges, in all combinations of parameters.

    What mergekit asks of several numbers at once (of density and epsilon) holds between, too, where
    it holds there. Seeds do not know of each other's numbers, so all of a parameter go together.
    """
    ranges = ranges_of(parameters)
    names = list(dict.fromkeys(range_.parameter for range_ in ranges))
    for chosen in product((0.0, 1.0), repeat=len(names)):
        ends_of = dict(zip(names, chosen, strict=True))
        yield [ends_of[range_.parameter] for range_ in ranges]
