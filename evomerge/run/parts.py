"""What a run is made of: population, fitness, strategy, workers and numbers that fit each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from evomerge.archives.archive import Archive
from evomerge.archives.tiling import Tiling
from evomerge.contracts import Fitness, Population, ScoresStacks, Stacks, can
from evomerge.datapoints import WATCHED, batched_groups, groups_of, sizes_of, weights_of
from evomerge.errors import UserError, all_of, as_user_error
from evomerge.genome.axis import Axis
from evomerge.run.best import Best
from evomerge.run.settings import Settings
from evomerge.strategies.strategy import Strategy
from evomerge.workers.job import Workers


class Stage(Protocol):
    """Gives what stands around a step that may take long, as `Between.stage`."""

    def __call__(self, what: str, size: int = 0) -> AbstractContextManager[None]:
        """A block.

        Args:
            what: what goes on in it, such as "founder 1 of 2".
            size: how many datapoints are scored in it; 0 where none are counted.
        """


@dataclass(frozen=True, eq=False)
class Parts:
    """Population, fitness, strategy, workers and numbers of a run; made by `fitted`.

    Attributes:
        population: as for `evolve`.
        fitness: as for `evolve`.
        strategy: as for `evolve`.
        workers: as for `evolve`.
        settings: the numbers of the run.
        sizes: how many datapoints each split has.
        axis: the population's.
        folder: the working directory, from which seeds may be named; a fitness may change it.
    """

    population: Population
    fitness: Fitness
    strategy: Strategy
    workers: Workers
    settings: Settings
    sizes: Mapping[str, int]
    axis: Axis
    folder: Path

    @classmethod
    def fitted(
        cls,
        population: Population,
        fitness: Fitness,
        strategy: Strategy,
        workers: Workers,
        settings: Settings,
    ) -> Parts:
        """The parts, once all is checked that can be checked before anything is loaded for long.

        Raises:
            UserError: if they do not fit each other.
        """
        folder = Path.cwd()
        # The axis comes from the headers of the seeds; no weight is read for it. Who has to fetch
        # data and seeds is told of both at once.
        sizes, axis = all_of(
            lambda: sizes_of(fitness), lambda: as_user_error("population", lambda: population.axis)
        )
        if settings.validate and not sizes["validation"]:
            raise UserError(
                "validate: the fitness has no validation split; set one aside, or validate: false"
            )
        if settings.stack > 1:
            _check_stacks(population, fitness, settings.stack)
        as_user_error("strategy", lambda: strategy.fit(population, fitness))
        return cls(population, fitness, strategy, workers, settings, sizes, axis, folder)

    def empty_archive(self) -> Archive:
        """An archive as the strategy wants it, with the fitness's weights.

        Raises:
            UserError: if the weights are not one positive number for each datapoint.
        """
        return self.strategy.archive(self.weights("train"), self.fitness)

    def weights(self, split: str) -> np.ndarray | None:
        """(D,) weights of the datapoints of a split; None where all weigh the same.

        Raises:
            UserError: if they are not one positive number for each datapoint.
        """
        return weights_of(self.fitness, split, self.sizes[split])

    def tiling(self, number: int, order: np.ndarray, split: str = "train") -> Tiling:
        """The tiles of a split, as large as `tile` says.

        Args:
            number: which cut of the run this is.
            order: (D,) the datapoints, in the order in which they will be scored.
            split: the split that they are of.

        Raises:
            UserError: if the fitness has batches that are no sizes.
        """
        groups = batched_groups(self.fitness, split, self.sizes[split])
        return Tiling.cut(number, order, self.settings.tile, groups)

    def with_scores(self, split: str, candidates: Sequence[Best], stage: Stage) -> list[Best]:
        """Who may be best, scored on another split, if there is such a split.

        Args:
            split: "validation" or "test".
            candidates: who may be best. They are scored as one, so that all workers are busy.
            stage: what stands around the scoring of each.

        Raises:
            UserError: if one cannot be scored.
        """
        if not self.sizes[split]:
            return list(candidates)
        weights = self.weights(split)
        scored = []
        rows = self._rows(split, candidates, stage)
        for best, row in zip(candidates, rows, strict=True):
            scored.append(best.with_scores(split, row, weights))
        return scored

    def with_watched(self, candidates: Sequence[Best], stage: Stage) -> list[Best]:
        """Members, scored on what is only watched, if there is anything.

        Args:
            candidates: the members. They are scored as one, so that all workers are busy.
            stage: what stands around the scoring of each.

        Raises:
            UserError: if one cannot be scored.
        """
        size = self.sizes[WATCHED]
        if not size:
            return list(candidates)
        groups = groups_of(self.fitness, WATCHED, size)
        # A fitness need not tell them apart.
        if not groups:
            groups = {WATCHED: np.arange(size)}
        weights = self.weights(WATCHED)
        scored = []
        rows = self._rows(WATCHED, candidates, stage)
        for best, row in zip(candidates, rows, strict=True):
            scored.append(best.with_watched(row, groups, weights))
        return scored

    def _rows(self, split: str, candidates: Sequence[Best], stage: Stage) -> Iterator[np.ndarray]:
        """The (D,) scores of each of some members on a split.

        Raises:
            UserError: if one cannot be scored.
        """
        size = self.sizes[split]
        tiles = self.tiling(0, np.arange(size), split).tiles
        rows = self.workers.score([best.genome for best in candidates], tiles, split)
        for place, best in enumerate(candidates, start=1):
            # A founder's id, 0 or less, says nothing to a person who watches.
            who = f"founder {place} of {len(candidates)}"
            if best.id > 0:
                who = f"birth {best.id}"
            with stage(f"{who}, {split} split", size):
                row = as_user_error(f"fitness on the {split} split", lambda: next(rows))
            yield row


def _check_stacks(population: Population, fitness: Fitness, width: int) -> None:
    """Checks that small models can be expressed and scored as one stack.

    Raises:
        UserError: if not.
    """
    needs = ((population, Stacks, "express_many"), (fitness, ScoresStacks, "score_many"))
    for part, protocol, method in needs:
        if not can(part, protocol):
            name = type(part).__name__
            raise UserError(f"stack: {width} needs {name}.{method}, which it has not; use stack: 1")
