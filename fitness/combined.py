"""Several fitnesses as one: their datapoints stand side by side, each part with its own weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from fitness.contracts import (
    Batched,
    Explains,
    ScoresStacks,
    Showcases,
    Watches,
    Weighted,
    can,
)
from fitness.part_names import names_of

LEAST = 1e-300
"""Stands for the sum of weights that sum to 0, so that nothing is divided by 0."""

WATCHED = "watched"
"""The split of what is only watched."""


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

    What is only watched is a split of its own, "watched", which no other split has anything of.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        shares: Sequence[float] | None = None,
        *,
        names: Sequence[str] | None = None,
        watched: Sequence[Part] | None = None,
    ) -> None:
        """Settings only.

        Args:
            parts: the fitnesses, one or more.
            shares: how strongly each pulls, above 0; equally if None.
            names: what each is called in reports and on cards. If None, a part is called by its
                data's file, `sums` for sums.jsonl and for sums/train.jsonl, or by its task; by its
                place where it has neither. Parts of one name have their places before it. What is
                watched has names, too, behind those of the parts.
            watched: fitnesses that count in no mean, and by which nobody competes or is chosen:
                what members must not forget while they learn the parts. Founders and each new best
                are scored on them, on their test splits, or on their training splits where they
                have none. The report and the summary show how each founder and the best score.

        Raises:
            ValueError: if there is no part, or not one share above 0 for each, or not one name for
                each and for each that is watched, or one of them watches something itself.
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
        # an empty list would ask for a split that has nothing in it
        if watched is not None and not watched:
            raise ValueError("watched: expected at least one fitness, or null, got none")
        for setting, fitnesses in (("parts", parts), ("watched", watched or ())):
            for place, part in enumerate(fitnesses):
                # a split of its own is asked of the whole, and never of a part
                if can(part, Watches):
                    raise ValueError(
                        f"{setting}[{place}]: it watches something, which would be scored by "
                        f"nobody; name that in the watched of the whole"
                    )
        # names that are wrong are refused before anything is loaded; each tile asks for them
        self._names = names_of([*parts, *(watched or ())], names)
        self.parts = parts
        self.shares = shares
        self.names = names
        self.watched = watched
        # the engine asks whether a fitness has these, so it has them only where its parts do
        if all(can(part, ScoresStacks) for part in parts):
            self.score_many: Callable[[Any, np.ndarray, str], np.ndarray] = self._score_many
        if any(can(part, Showcases) for part in parts):
            self.showcase: Callable[[str], np.ndarray] = self._showcase

    def size(self, split: str) -> int:
        """As `Fitness.size`: the sum of the parts'."""
        return sum(source.size for source in self._sources(split))

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """As `Fitness.groups`: the datapoints of each part, by its name."""
        groups = {}
        start = 0
        for source in self._sources(split):
            groups[source.name] = np.arange(start, start + source.size)
            start += source.size
        return groups

    def batches(self) -> dict[str, int]:
        """How many datapoints are read side by side at most, of parts that say it, by their names.

        What is watched is among them.
        """
        batches = {}
        for part, name in zip([*self.parts, *(self.watched or ())], self._names, strict=True):
            if can(part, Batched):
                batches[name] = part.batch
        return batches

    def weights(self, split: str) -> np.ndarray:
        """(D,) weight of each datapoint; a part's own weights count within it."""
        columns = []
        sources = self._sources(split)
        shares = self.shares
        # shares are of the parts; what is watched pulls at nothing
        if shares is None or split == WATCHED:
            shares = [1.0] * len(sources)
        for source, share in zip(sources, shares, strict=True):
            inner = np.ones(source.size)
            if can(source.part, Weighted):
                inner = source.part.weights(source.split)
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

        def score(source: _Source, indices: np.ndarray) -> np.ndarray:
            return source.part(model, indices, source.split)

        return self._gather(datapoints, split, score)

    def explain(self, model: Any, datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
        """For each datapoint what its part explains, and what that part is called.

        Nothing stands where a part explains nothing.
        """
        explained: list[dict[str, Any]] = [{} for _ in datapoints]
        for question in self._questions(datapoints, split):
            source = question.source
            entries: Sequence[dict[str, Any]] = [{}] * len(question.indices)
            # a part that explains nothing still has its name shown
            if can(source.part, Explains):
                entries = source.part.explain(model, question.indices, source.split)
            for place, entry in zip(question.places, entries, strict=True):
                explained[place] = {"part": source.name, **entry}
        return explained

    def _score_many(self, models: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """(W, B) scores of a stack of models, where every part can score one."""

        def score(source: _Source, indices: np.ndarray) -> np.ndarray:
            return source.part.score_many(models, indices, source.split)

        return self._gather(datapoints, split, score)

    def _showcase(self, split: str) -> np.ndarray:
        """(n,) what every part that can would show for one member beside another."""
        showing = []
        start = 0
        for source in self._sources(split):
            if can(source.part, Showcases):
                showing.append(start + source.part.showcase(source.split))
            start += source.size
        return np.concatenate(showing)

    def _gather(
        self,
        datapoints: np.ndarray,
        split: str,
        score: Callable[[_Source, np.ndarray], np.ndarray],
    ) -> np.ndarray:
        """(..., B) scores, put together from the parts'.

        Args:
            datapoints: (B,) indices.
            split: the split that they are of.
            score: a part in its split and its own indices (b,) to scores (..., b).
        """
        gathered: np.ndarray | None = None
        for question in self._questions(datapoints, split):
            scores = np.asarray(score(question.source, question.indices))  # (..., b)
            if scores.shape[-1:] != question.indices.shape:
                raise ValueError(
                    f"{type(question.source.part).__name__} must return a score for each of "
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
        """What each part is asked, part by part; one that has none of the datapoints is not.

        Raises:
            IndexError: if a datapoint is no part's.
        """
        datapoints = np.asarray(datapoints)
        start = 0
        for source in self._sources(split):
            stop = start + source.size
            places = np.flatnonzero((datapoints >= start) & (datapoints < stop))
            if len(places):
                yield _Question(source, places, datapoints[places] - start)
            start = stop
        # without a part its score would be whatever stands in the memory
        outside = datapoints[(datapoints < 0) | (datapoints >= start)]
        if len(outside):
            raise IndexError(
                f"{split}: expected datapoints from 0 to {start - 1}, got {outside[0]}"
            )

    def _sources(self, split: str) -> list[_Source]:
        """What stands side by side in a split: the parts, or what is only watched.

        Raises:
            ValueError: if there is nothing to watch in what is watched.
        """
        watched = list(self.watched or ())
        sources = []
        # what is watched has its names behind those of the parts
        if split != WATCHED:
            for part, name in zip(self.parts, self._names, strict=False):
                sources.append(_Source(name, part, split, part.size(split)))
            return sources
        names = self._names[len(self.parts) :]
        for place, (part, name) in enumerate(zip(watched, names, strict=True)):
            # nobody learns from what is watched, so its training split tests as well
            inner = "test" if part.size("test") else "train"
            size = part.size(inner)
            if not size:
                raise ValueError(f"watched[{place}]: expected datapoints, {name} has none")
            sources.append(_Source(name, part, inner, size))
        return sources


class _Source(NamedTuple):
    """A fitness with the split of its own that is asked for.

    Attributes:
        name: what it is called.
        part: the fitness.
        split: its own split.
        size: how many datapoints it has there.
    """

    name: str
    part: Any
    split: str
    size: int


class _Question(NamedTuple):
    """What one part is asked.

    Attributes:
        source: the part.
        places: (b,) where its datapoints stand among those that are asked.
        indices: (b,) their indices within the part.
    """

    source: _Source
    places: np.ndarray
    indices: np.ndarray
