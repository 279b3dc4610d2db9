"""The scores of a model as far as they are known: checked, entered tile by tile, stopped early."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evomerge.workers.job import Job, Outcome
from fitness.competition import MARGIN


def check_scores(values: object, shape: tuple[int, ...]) -> np.ndarray:
    """What a fitness returned, as float32.

    Args:
        values: what it returned.
        shape: what it should have: a score for each datapoint, or for each model and datapoint.

    Raises:
        ValueError: if the values are not of this shape, not finite or not in [0, 1]. The message
            says what came.
    """
    try:
        scores = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            f"the fitness must return numbers of shape {shape}, it returned {type(values).__name__}"
        ) from None
    if scores.shape != shape:
        raise ValueError(
            f"the fitness must return a score for each datapoint, shape {shape}; "
            f"it returned {scores.shape}"
        )
    # Booleans cannot be out of range, and small fitnesses return them for every tile.
    if isinstance(values, np.ndarray) and values.dtype.kind == "b":
        return scores
    # A NaN compares as false, so this condition finds NaN, too.
    if not (scores.min() >= 0 and scores.max() <= 1):
        wrong = scores[~((scores >= 0) & (scores <= 1))]
        raise ValueError(
            f"the fitness must return scores in [0, 1]; {wrong.size} of {scores.size} are not, "
            f"such as {wrong.flat[0]}"
        )
    return scores


@dataclass(eq=False)
class PartialScore:
    """One birth on its way through the tiles.

    Attributes:
        job: the birth, its tiles, and what it may be stopped by.
        outcome: what is known of it so far.
        slot: its place in a stack of models.
        lead: (N,) by how much it leads each member on the tiles so far.
        lost: how far its mean score has fallen below 1 on the tiles so far.
        stopped: whether it can neither be admitted nor become the best any more.
    """

    job: Job
    outcome: Outcome
    slot: int
    lead: np.ndarray | float = 0.0
    lost: float = 0.0
    stopped: bool = False

    def needs_tile(self, k: int) -> bool:
        """Whether tile `k` is the next that this birth has to be scored on."""
        return not self.stopped and self.outcome.tiles == k

    def restart(self) -> None:
        """Forgets all scores."""
        self.outcome.scores.fill(np.nan)
        self.outcome.tiles = 0
        self.lead = 0.0
        self.lost = 0.0
        self.stopped = False

    def take(self, values: np.ndarray) -> None:
        """Enters the (B,) scores of the next tile, and decides whether to go on."""
        tiling = self.job.tiling
        view = self.job.view
        k = self.outcome.tiles
        self.outcome.scores[tiling.tiles[k]] = values
        self.outcome.tiles = k + 1

        # There is nothing to be saved behind the last tile. While the archive has room, every
        # child is admitted, and its whole row is needed.
        if view is None or not view.full or k + 1 == len(tiling.tiles):
            return

        # A child is stopped only where both are certain: it cannot have the best mean score, and
        # it would be the least fit of N + 1 even with the full score on all other tiles.
        scored = values.astype(np.float64)  # (B,)
        bound = view.bound(tiling)
        self.lead = self.lead + bound.lead(k, scored)
        self.lost += bound.lost(k, scored)
        cannot_be_best = 1.0 - self.lost < self.job.best - MARGIN
        self.stopped = cannot_be_best and bound.certain(self.lead, k + 1)
