"""Several fitnesses as one: their datapoints stand side by side, each part with its own weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fitness.contracts import Explains, ScoresStacks, Showcases, Weighted, can
from fitness.part_names import names_of

LEAST = 1e-300
"""Stands for the sum of weights that sum to 0, so that nothing is divided by 0."""


class Part(Protocol):
    """A fitness, as `evomerge.contracts.Fitness` has it."""

    def size(self, split: str) -> int:
        """D of that split."""

    def __call__(self, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """Indices (B,) to scores (B,)."""


class Combined:
    """The datapoints of the first part, then those of the second, and so on.

    A part's datapoints weigh its weight divided by its size, scaled to a mean of 1 over all, in
    competition and in the mean score alike: two parts of 1,319 and of 100 datapoints with equal
    weights pull equally.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        shares: Sequence[float] | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> None:
        """Settings only.

        Args:
            parts: the fitnesses, one or more.
            shares: how strongly each pulls, above 0; equally if None.
            names: what each is called in reports and on cards. If None, a part is called by its
                data's file, `sums` for sums.jsonl and for sums/train.jsonl, or by its task; by its
                place where it has neither. Parts of one name have their places before it.

        Raises:
            ValueError: if there is no part, or not one share above 0, or one name, for each.
        """
        if not parts:
            raise ValueError("parts: expected at least one fitness, got none")
        if shares is not None:
            one_each = len(shares) == len(parts)
            if not one_each or not all(0 < share < float("inf") for share in shares):
                raise ValueError(
                    f"shares: expected {len(parts)} numbers above 0, one for each part, "
                    f"got {list(shares)}"
                )
        # asked for now, so that names which are wrong are refused before anything is loaded
        names_of(parts, names)
        self.parts = parts
        self.shares = shares
        self.names = names
        # the engine asks with isinstance whether a fitness can do these, and isinstance takes a
        # method or a property of the class for an ability, whatever the parts can do
        if all(can(part, ScoresStacks) for part in parts):
            self.score_many: Callable[[Any, np.ndarray, str], np.ndarray] = self._score_many
        if any(can(part, Showcases) for part in parts):
            self.showcase: Callable[[str], np.ndarray] = self._showcase

    def size(self, split: str) -> int:
        """As `Fitness.size`: the sum of the parts'."""
        return sum(part.size(split) for part in self.parts)

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """As `Fitness.groups`: the datapoints of each part, by its name."""
        bounds = self._bounds(split)
        groups = {}
        for place, name in enumerate(names_of(self.parts, self.names)):
            groups[name] = np.arange(bounds[place], bounds[place + 1])
        return groups

    def weights(self, split: str) -> np.ndarray:
        """(D,) weight of each datapoint; a part's own weights count within it."""
        columns = []
        shares = self.shares
        if shares is None:
            shares = [1.0] * len(self.parts)
        for part, share in zip(self.parts, shares, strict=True):
            inner = np.ones(part.size(split))
            if can(part, Weighted):
                inner = part.weights(split)
            # a part pulls with its share, however many datapoints it has and whatever they weigh
            column = np.asarray(inner, dtype=np.float64)
            columns.append(column * share / max(np.sum(inner), LEAST))
        weights = np.concatenate(columns)  # (D,)
        # a split that no part has is empty, and has no mean
        if not len(weights):
            return weights
        return weights * len(weights) / weights.sum()

    def __call__(self, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`: each part scores its own of the datapoints."""

        def score(part: Any, indices: np.ndarray) -> np.ndarray:
            return part(model, indices, split)

        return self._gather(datapoints, split, score)

    def explain(self, model: Any, datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
        """For each datapoint what its part explains, and what that part is called.

        Nothing stands where a part explains nothing.
        """
        explained: list[dict[str, Any]] = [{} for _ in datapoints]
        names = names_of(self.parts, self.names)
        for question in self._questions(datapoints, split):
            entries: Sequence[dict[str, Any]] = [{}] * len(question.indices)
            # a part that explains nothing still has its number shown
            if can(question.part, Explains):
                entries = question.part.explain(model, question.indices, split)
            for place, entry in zip(question.places, entries, strict=True):
                explained[place] = {"part": names[question.number], **entry}
        return explained

    def _score_many(self, models: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """(W, B) scores of a stack of models, where every part can score one."""

        def score(part: Any, indices: np.ndarray) -> np.ndarray:
            return part.score_many(models, indices, split)

        return self._gather(datapoints, split, score)

    def _showcase(self, split: str) -> np.ndarray:
        """(n,) what every part that can would show for one member beside another."""
        showing = []
        for start, part in zip(self._bounds(split), self.parts, strict=False):
            if can(part, Showcases):
                showing.append(start + part.showcase(split))
        return np.concatenate(showing)

    def _gather(
        self, datapoints: np.ndarray, split: str, score: Callable[[Any, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """(..., B) scores, put together from the parts'.

        Args:
            datapoints: (B,) indices.
            split: the split that they are of.
            score: a part and its own indices (b,) to scores (..., b).
        """
        gathered: np.ndarray | None = None
        for question in self._questions(datapoints, split):
            scores = np.asarray(score(question.part, question.indices))  # (..., b)
            if scores.shape[-1:] != question.indices.shape:
                raise ValueError(
                    f"{type(question.part).__name__} must return a score for each of "
                    f"{len(question.indices)} datapoints, got {scores.shape}"
                )
            # the first part's scores tell whether there is an axis of models
            if gathered is None:
                gathered = np.empty((*scores.shape[:-1], len(datapoints)), dtype=np.float32)
            gathered[..., question.places] = scores
        if gathered is None:
            return np.empty(0, dtype=np.float32)
        return gathered

    def _questions(self, datapoints: np.ndarray, split: str) -> Iterator[_Question]:
        """What each part is asked, part by part; one that has none of the datapoints is not."""
        start = 0
        for number, part in enumerate(self.parts):
            stop = start + part.size(split)
            places = np.flatnonzero((datapoints >= start) & (datapoints < stop))
            if len(places):
                yield _Question(number, part, places, np.asarray(datapoints)[places] - start)
            start = stop

    def _bounds(self, split: str) -> np.ndarray:
        """(parts + 1,) where each part's datapoints begin, and where the last part's end."""
        sizes = [part.size(split) for part in self.parts]
        return np.cumsum([0, *sizes])


class _Question(NamedTuple):
    """What one part is asked.

    Attributes:
        number: of the part.
        part: the fitness.
        places: (b,) where its datapoints stand among those that are asked.
        indices: (b,) their indices within the part.
    """

    number: int
    part: Any
    places: np.ndarray
    indices: np.ndarray
