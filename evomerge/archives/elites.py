"""Who stays in the archive of a search that is not M2N2: the newest, or the best of each cell of a grid (MAP-Elites)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Member
from evomerge.contracts import Fitness, Grouped


@dataclass
class Newest(Archive):
    """The newest members; the oldest leaves. What a search has that moves a distribution, such as CMA-ES: its last generation."""

    def _leaver(self, newcomer: Member, fitness: np.ndarray) -> int | None:  # noqa: ARG002
        return 0 if len(self.members) == self.size else None


@dataclass(frozen=True, eq=False)
class Features:
    """What tells the cells of a grid apart: mean scores over some of the datapoints each, in so many equal steps from 0 to 1.

    Attributes:
        names: what each is called.
        datapoints: the indices that each is the mean over.
        bins: steps.
    """

    names: tuple[str, ...]
    datapoints: tuple[np.ndarray, ...]
    bins: int

    @classmethod
    def from_groups(
        cls, fitness: Fitness, wanted: Mapping[str, Sequence[str]] | None, bins: int
    ) -> Features:
        """The features of a fitness whose datapoints form groups.

        Args:
            fitness: the fitness.
            wanted: names of groups by feature; None: each group is one.
            bins: steps.

        Raises:
            ValueError: if the fitness has no groups, or none of a name.
        """
        if not isinstance(fitness, Grouped):
            raise ValueError(
                f"features: expected a fitness with a method groups, got {type(fitness).__name__}"
            )
        known: Mapping[str, np.ndarray] = fitness.groups("train")
        chosen = wanted if wanted is not None else {name: [name] for name in known}
        if not chosen:
            raise ValueError(
                f"features: expected at least one, of groups such as {', '.join(known) or 'none'}, got none"
            )
        for feature, names in chosen.items():
            if unknown := [name for name in names if name not in known]:
                raise ValueError(
                    f"features.{feature}: expected some of {', '.join(known)}, got {unknown[0]!r}"
                )
            if not names:
                raise ValueError(
                    f"features.{feature}: expected at least one of {', '.join(known)}, got none"
                )
        return cls(
            tuple(chosen),
            tuple(np.concatenate([known[name] for name in names]) for names in chosen.values()),
            bins,
        )

    def of(self, scores: np.ndarray) -> np.ndarray:
        """(..., F) float64 features of members with these (..., D) scores, each in [0, 1]."""
        return np.stack(
            [scores[..., own].mean(axis=-1, dtype=np.float64) for own in self.datapoints], axis=-1
        )

    def cells(self, features: np.ndarray) -> np.ndarray:
        """(..., F) the step in which each lies; a step begins at its lower end, and the last one has its upper end, too."""
        return np.minimum((features * self.bins).astype(np.int64), self.bins - 1)

    def grid(self) -> np.ndarray:
        """(bins ** F, F, 2) the least and the greatest value of each feature in each cell, both in it: EvoTorch's hypergrid."""
        low = np.array([self._least(step) for step in range(self.bins)])
        high = np.append(np.nextafter(low[1:], -np.inf), np.inf)
        steps = np.stack(
            np.meshgrid(*[np.arange(self.bins)] * len(self.names), indexing="ij"), axis=-1
        ).reshape(-1, len(self.names))
        return np.stack([low[steps], high[steps]], axis=-1)

    def _least(self, step: int) -> float:
        """The least number that lies in a step, as `cell` computes it."""
        value = step / self.bins
        while step and int(np.nextafter(value, 0.0) * self.bins) >= step:
            value = float(np.nextafter(value, 0.0))
        while int(value * self.bins) < step:
            value = float(np.nextafter(value, 1.0))
        return value


@dataclass
class Elites(Archive):
    """The best member of each cell by mean score; a newcomer has to be better than the one in its cell, nobody else leaves."""

    features: Features = field(kw_only=True)

    def remarks(self, scores: np.ndarray) -> dict[str, Any]:
        """As `Archive.remarks`: the features by name."""
        return {
            "features": dict(
                zip(self.features.names, self.features.of(scores).tolist(), strict=True)
            )
        }

    def _leaver(self, newcomer: Member, fitness: np.ndarray) -> int | None:  # noqa: ARG002
        features = self.features
        same = (
            features.cells(features.of(self.scores)) == features.cells(features.of(newcomer.scores))
        ).all(axis=1)
        if not same.any():
            return None
        row = int(same.argmax())
        better = self.competition.mean(newcomer.scores) > self.competition.mean(
            self.members[row].scores
        )
        return row if better else len(self.members)
