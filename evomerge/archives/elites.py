"""Who stays in the archive of a search that is not M2N2.

It is the newest members, or the best of each cell of a grid (MAP-Elites).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Member
from evomerge.contracts import Fitness, Grouped, can


@dataclass
class Newest(Archive):
    """The newest members; the oldest leaves.

    A search that moves a distribution, such as CMA-ES, has its last generation.
    """

    def _leaver(self, newcomer: Member, fitness: np.ndarray) -> int | None:  # noqa: ARG002
        if len(self.members) < self.size:
            return None
        return 0


@dataclass(frozen=True, eq=False)
class Features:
    """What tells the cells of a grid apart.

    Each feature is the mean score over some of the datapoints, in equal steps from 0 to 1.

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
        if not can(fitness, Grouped):
            raise ValueError(
                f"features: expected a fitness with a method groups, got {type(fitness).__name__}"
            )
        known = fitness.groups("train")
        if wanted is None:
            wanted = {name: [name] for name in known}
        if not wanted:
            raise ValueError(
                "features: expected at least one, "
                f"of groups such as {', '.join(known) or 'none'}, got none"
            )
        datapoints = []
        for feature, names in wanted.items():
            datapoints.append(_datapoints(feature, names, known))
        return cls(tuple(wanted), tuple(datapoints), bins)

    def mean_scores(self, scores: np.ndarray) -> np.ndarray:
        """The features of members.

        Args:
            scores: (..., D) scores of each member.

        Returns:
            (..., F) float64, the mean score over each feature's datapoints, in [0, 1].
        """
        means = []
        for datapoints in self.datapoints:
            means.append(scores[..., datapoints].mean(axis=-1, dtype=np.float64))
        return np.stack(means, axis=-1)

    def cells(self, features: np.ndarray) -> np.ndarray:
        """The step in which each of (..., F) features lies.

        A step begins at its lower end. The last one has its upper end, too.
        """
        return np.minimum((features * self.bins).astype(np.int64), self.bins - 1)

    def grid(self) -> np.ndarray:
        """EvoTorch's hypergrid of the cells.

        Returns:
            (bins ** F, F, 2) the least and the greatest value of each feature in each cell, both
            in it.
        """
        low = np.array([self._least(step) for step in range(self.bins)])  # (bins,)
        # EvoTorch counts both ends in, so a step ends one number below the next. The last is open.
        high = np.append(np.nextafter(low[1:], -np.inf), np.inf)  # (bins,)
        axes = [np.arange(self.bins)] * len(self.names)
        # (bins ** F, F) the step of each cell along each feature.
        steps = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, len(self.names))
        return np.stack([low[steps], high[steps]], axis=-1)

    def _least(self, step: int) -> float:
        """The least number that lies in a step, as `cells` computes it."""
        # step / bins is only close to it: the product with bins may round to either side.
        value = step / self.bins
        while step and int(np.nextafter(value, 0.0) * self.bins) >= step:
            value = float(np.nextafter(value, 0.0))
        while int(value * self.bins) < step:
            value = float(np.nextafter(value, 1.0))
        return value


@dataclass
class Elites(Archive):
    """The best member of each cell by mean score.

    A newcomer has to be better than the one in its cell. Nobody else leaves.
    """

    features: Features = field(kw_only=True)

    def remarks(self, scores: np.ndarray) -> dict[str, Any]:
        """As `Archive.remarks`: the features by name."""
        means = self.features.mean_scores(scores).tolist()
        return {"features": dict(zip(self.features.names, means, strict=True))}

    def _leaver(self, newcomer: Member, fitness: np.ndarray) -> int | None:  # noqa: ARG002
        taken = self.features.cells(self.features.mean_scores(self.scores))  # (N, F)
        cell = self.features.cells(self.features.mean_scores(newcomer.scores))  # (F,)
        in_cell = (taken == cell).all(axis=1)  # (N,)
        if not in_cell.any():
            return None
        # A cell has one member, so the first that is found there is the only one.
        row = int(in_cell.argmax())
        mean = self.competition.mean
        if mean(newcomer.scores) > mean(self.members[row].scores):
            return row
        return len(self.members)


def _datapoints(feature: str, names: Sequence[str], known: Mapping[str, np.ndarray]) -> np.ndarray:
    """The datapoints of one feature.

    Args:
        feature: what it is called.
        names: the groups that it is made of.
        known: the datapoints of each group of the fitness.

    Raises:
        ValueError: if there is no group of a name, or no name.
    """
    for name in names:
        if name not in known:
            raise ValueError(
                f"features.{feature}: expected some of {', '.join(known)}, got {name!r}"
            )
    if not names:
        raise ValueError(
            f"features.{feature}: expected at least one of {', '.join(known)}, got none"
        )
    return np.concatenate([known[name] for name in names])
