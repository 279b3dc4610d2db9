"""What a fitness, its data, a score or an episode can do besides: a small protocol each.

A class need not name a protocol, it is enough that it has the method. `evomerge.contracts` has
protocols of the same names, by which the engine asks; this package does not import the engine.

An object whose abilities depend on its arguments sets these methods in its constructor
(`fitness.combined.Combined`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
from typing_extensions import TypeIs, get_protocol_members

Able = TypeVar("Able")


def can(thing: object, protocol: type[Able]) -> TypeIs[Able]:
    """Whether a thing has what a protocol asks of it.

    `isinstance` would do, but from Python 3.12 on it looks past what a wrapper passes on with
    `__getattr__`, whose weights would quietly count as none.
    """
    return all(getattr(thing, name, None) is not None for name in get_protocol_members(protocol))


class Weighted(Protocol):
    """A fitness whose datapoints do not all weigh the same."""

    def weights(self, split: str) -> np.ndarray:
        """(D,) numbers above 0."""


class ScoresStacks(Protocol):
    """A fitness that scores several small models at once."""

    def score_many(self, models: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """(W, B) scores of a stack of W models."""


class Explains(Protocol):
    """A fitness that can show what a model makes of a datapoint."""

    def explain(self, model: Any, datapoints: np.ndarray, split: str) -> Sequence[dict[str, Any]]:
        """What a report shows of each datapoint."""


class Showcases(Protocol):
    """A fitness with datapoints whose explanation a report shows for one member beside another."""

    def showcase(self, split: str) -> np.ndarray:
        """(n,) these datapoints."""


class Watches(Protocol):
    """A fitness with a split "watched", which counts in no mean."""

    @property
    def watched(self) -> Any:
        """What is watched; None where nothing is."""


class Batched(Protocol):
    """A fitness of which a model reads several datapoints side by side."""

    @property
    def batch(self) -> int:
        """How many at most."""


class Named(Protocol):
    """A fitness, or data, that has a name of its own, such as that of its file."""

    @property
    def name(self) -> str | None:
        """The name; None where there is none after all."""


class LocatesRecords(Protocol):
    """Records that know where a user finds them."""

    def where(self, index: int, split: str) -> str:
        """The place of a record, such as its file and line."""


class SystemMessages(Protocol):
    """Records that have a system's message each, which is empty where there is none."""

    @property
    def system_field(self) -> str:
        """The field that has it."""


class ChecksReferences(Protocol):
    """A score that tells which references it can take."""

    def check(self, reference: Any) -> object:
        """Raises a ValueError where no response could be right."""


class ChecksRecords(Protocol):
    """A judge that tells which records it can judge by."""

    def check(self, record: Mapping[str, Any]) -> object:
        """Raises a ValueError if a record lacks what a picture is judged by."""


class Closes(Protocol):
    """An episode that holds something until it is over."""

    def close(self) -> object:
        """Lets go of it."""
