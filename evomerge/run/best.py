"""Who may be best: a member with its mean scores on every split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evomerge.contracts import Genome
from evomerge.datapoints import WATCHED

SCORED = ("id", "train", "validation", "test")
"""What a snapshot and a summary say of the best, beside what is watched."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best child so far, or one that may become it.

    Attributes:
        id: its birth number.
        genome: what rebuilds it.
        train: its mean score on the training split.
        validation: on the validation split, if the run has one. It is chosen by this score then.
        test: on the test split, if there is one.
        watched: on each group of what is only watched, by the group's name.
        rows: by split (D,) float32, its score at each datapoint, where they are known.
    """

    id: int
    genome: Genome
    train: float
    validation: float | None = None
    test: float | None = None
    watched: Mapping[str, float] = field(default_factory=dict)
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def chosen_by(self) -> float:
        """The mean score that another child has to exceed."""
        if self.validation is None:
            return self.train
        return self.validation

    @property
    def other_scores(self) -> dict[str, Any]:
        """Mean scores on the splits that the run has besides the training split, for the log."""
        scores = {"validation": self.validation, "test": self.test}
        known: dict[str, Any] = {}
        for name, score in scores.items():
            if score is not None:
                known[name] = score
        return known | self._watched

    @property
    def summary(self) -> dict[str, Any]:
        """Its id and its mean scores, as a snapshot and a summary have them."""
        return {name: getattr(self, name) for name in SCORED} | self._watched

    @property
    def _watched(self) -> dict[str, Any]:
        """What it scores on what is watched; nothing where nothing is."""
        if not self.watched:
            return {}
        return {"watched": dict(self.watched)}

    def with_scores(self, split: str, row: np.ndarray, weights: np.ndarray | None) -> Best:
        """The same member with its scores on one more split.

        Args:
            split: "validation" or "test".
            row: (D,) its score at each datapoint there.
            weights: (D,) what each datapoint weighs; all the same if None.
        """
        mean = float(np.average(row.astype(np.float64), weights=weights))
        # The split's name is the attribute's.
        scores: dict[str, Any] = {split: mean}
        return replace(self, rows={**self.rows, split: row}, **scores)

    def with_watched(
        self, row: np.ndarray, groups: Mapping[str, np.ndarray], weights: np.ndarray | None
    ) -> Best:
        """The same member with its scores on what is only watched.

        Args:
            row: (D,) its score at each datapoint there.
            groups: (n,) indices of datapoints, by the name of what they are.
            weights: (D,) what each datapoint weighs; all the same if None.
        """
        if weights is None:
            weights = np.ones(len(row))
        means = {}
        for name, datapoints in groups.items():
            # A mean over nothing is no number.
            if not len(datapoints):
                continue
            own = row[datapoints].astype(np.float64)
            means[name] = float(np.average(own, weights=weights[datapoints]))
        return replace(self, rows={**self.rows, WATCHED: row}, watched=means)
