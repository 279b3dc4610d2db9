"""Who may be best: a member with its mean scores on every split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from evomerge.contracts import Genome

SCORED = ("id", "train", "validation", "test")
"""What a snapshot and a summary say of the best."""


@dataclass(frozen=True, eq=False)
class Best:
    """The best child so far, or one that may become it.

    Attributes:
        id: its birth number.
        genome: what rebuilds it.
        train: its mean score on the training split.
        validation: on the validation split, if the run has one. It is chosen by this score then.
        test: on the test split, if there is one.
        rows: by split (D,) float32, its score at each datapoint, where they are known.
    """

    id: int
    genome: Genome
    train: float
    validation: float | None = None
    test: float | None = None
    rows: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def chosen_by(self) -> float:
        """The mean score that another child has to exceed."""
        if self.validation is None:
            return self.train
        return self.validation

    @property
    def other_scores(self) -> dict[str, float]:
        """Mean scores on the splits that the run has besides the training split."""
        scores = {"validation": self.validation, "test": self.test}
        return {name: score for name, score in scores.items() if score is not None}

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
