"""Several fitnesses as one: their datapoints stand side by side, and each part pulls with its own weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np


class Part(Protocol):
    """A fitness, as `evomerge.contracts.Fitness` has it."""

    def size(self, split: str) -> int:
        """D of that split."""

    def __call__(self, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """Indices (B,) to scores (B,)."""


class Combined:
    """The datapoints of the first part, then those of the second, and so on.

    A part's datapoints weigh its weight divided by its size, scaled to a mean of 1 over all, in competition and in the mean
    score alike: two parts of 1,319 and of 100 datapoints with equal weights pull equally.
    """

    def __init__(self, parts: Sequence[Part], shares: Sequence[float] | None = None) -> None:
        """Settings only.

        Args:
            parts: the fitnesses, one or more.
            shares: how strongly each pulls, above 0; equally if None.

        Raises:
            ValueError: if there is no part, or not one share above 0 for each.
        """
        if not parts:
            raise ValueError("parts: expected at least one fitness, got none")
        if shares is not None and (
            len(shares) != len(parts) or not all(0 < share < float("inf") for share in shares)
        ):
            raise ValueError(
                f"shares: expected {len(parts)} numbers above 0, one for each part, got {list(shares)}"
            )
        self.parts, self.shares = parts, shares

    def size(self, split: str) -> int:
        """As `Fitness.size`: the sum of the parts'."""
        return sum(part.size(split) for part in self.parts)

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """As `Fitness.groups`: the datapoints of each part, by its place."""
        ends = np.cumsum([0, *(part.size(split) for part in self.parts)])
        return {str(place): np.arange(*ends[place : place + 2]) for place in range(len(self.parts))}

    def weights(self, split: str) -> np.ndarray:
        """(D,) weight of each datapoint; a part's own weights count within it."""
        columns = []
        shares = self.shares if self.shares is not None else [1.0] * len(self.parts)
        for part, share in zip(self.parts, shares, strict=True):
            own = part.weights(split) if hasattr(part, "weights") else np.ones(part.size(split))
            columns.append(np.asarray(own, dtype=np.float64) * share / max(np.sum(own), 1e-300))
        weights = np.concatenate(columns)
        return weights * len(weights) / weights.sum() if len(weights) else weights

    def __call__(self, model: Any, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`: each part scores its own of the datapoints."""
        return self._gather(datapoints, split, lambda part, own: part(model, own, split))

    @property
    def score_many(self) -> Callable[[Any, np.ndarray, str], np.ndarray]:
        """Scores a stack of models, where every part can."""
        if not all(hasattr(part, "score_many") for part in self.parts):
            raise AttributeError("not every part scores stacks")
        return lambda models, datapoints, split: self._gather(
            datapoints, split, lambda part, own: part.score_many(models, own, split)
        )

    @property
    def showcase(self) -> Callable[[str], np.ndarray]:
        """The datapoints that every part which can would show for one member beside another."""
        if not any(hasattr(part, "showcase") for part in self.parts):
            raise AttributeError("no part has datapoints to show")

        def shown(split: str) -> np.ndarray:
            starts = np.cumsum([0, *(part.size(split) for part in self.parts)])
            showing = [
                (start, part)
                for start, part in zip(starts, self.parts, strict=False)
                if hasattr(part, "showcase")
            ]
            return np.concatenate([start + part.showcase(split) for start, part in showing])

        return shown

    def explain(self, model: Any, datapoints: np.ndarray, split: str) -> list[dict[str, Any]]:
        """For each datapoint what its part explains, and which part that is; nothing where a part explains nothing."""
        explained: list[dict[str, Any]] = [{} for _ in datapoints]
        for index, part, mine, own in self._shares(datapoints, split):
            entries = (
                part.explain(model, own, split) if hasattr(part, "explain") else [{} for _ in own]
            )
            for place, entry in zip(mine, entries, strict=True):
                explained[place] = {"part": index, **entry}
        return explained

    def _gather(
        self, datapoints: np.ndarray, split: str, score: Callable[[Any, np.ndarray], np.ndarray]
    ) -> np.ndarray:
        """(..., B) scores, put together from the parts'."""
        gathered: np.ndarray | None = None
        for _, part, mine, own in self._shares(datapoints, split):
            scores = np.asarray(score(part, own))
            if scores.shape[-1:] != own.shape:
                raise ValueError(
                    f"{type(part).__name__} must return a score for each of {len(own)} datapoints, got {scores.shape}"
                )
            if gathered is None:
                gathered = np.empty((*scores.shape[:-1], len(datapoints)), dtype=np.float32)
            gathered[..., mine] = scores
        return np.empty(0, dtype=np.float32) if gathered is None else gathered

    def _shares(
        self, datapoints: np.ndarray, split: str
    ) -> Iterator[tuple[int, Any, np.ndarray, np.ndarray]]:
        """(index of the part, part, places in `datapoints` that are its, its own indices of them) for each part asked."""
        start = 0
        for index, part in enumerate(self.parts):
            size = part.size(split)
            mine = np.flatnonzero((datapoints >= start) & (datapoints < start + size))
            if len(mine):
                yield index, part, mine, np.asarray(datapoints)[mine] - start
            start += size
