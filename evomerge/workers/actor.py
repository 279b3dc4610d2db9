"""What runs in a worker's process on a cluster: a population and a fitness of its own, asked over the network."""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evomerge.archives.archive import View
from evomerge.contracts import Fitness, Genome, Population, Recipes
from evomerge.strategies.strategy import Birth, founders_rng
from evomerge.workers.evaluator import Evaluator
from evomerge.workers.job import Job, Outcome

VIEWS = 16
"""Archives that an actor keeps ready to stop by."""


@dataclass(frozen=True)
class Plan:
    """A birth as it travels: what is large lies among the objects that travel with it, once for all births of a call.

    Attributes:
        birth: without genomes.
        genomes: places of the parents'.
        view: place of the archive to stop by, and a name that no other archive has; None to score everything.
        best: as `Job.best`.
    """

    birth: Birth
    genomes: tuple[int, ...]
    view: tuple[int, str] | None
    best: float


class Actor:
    """Raises births, and answers what else a run asks of its population and fitness."""

    def __init__(self, parts: tuple[Population, Fitness], width: int, threads: int) -> None:
        """Loads nothing yet.

        Args:
            parts: what it raises births with.
            width: births of a stack.
            threads: of torch; the environment says so too, for what is imported later.
        """
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        self._evaluator = Evaluator(*parts, width)
        self._views: dict[str, View] = {}

    def ready(self) -> str:
        """The name of the machine that it lives on."""
        import socket

        return socket.gethostname()

    def prepare(self, units: np.ndarray | None, genome: Genome | None) -> None:
        """Loads what a birth needs: seeds, the resident model.

        Args:
            units: the seeds' Gram matrices, where genomes are recipes.
            genome: any, to be expressed.
        """
        population: Any = self._evaluator.population
        if units is not None:
            population.restore_grams(units)
        if genome is not None:
            population.express(copy.deepcopy(genome))

    def founders(self, seed: int) -> tuple[list[Genome], np.ndarray | None]:
        """The founders, and the seeds' Gram matrices where genomes are recipes."""
        population: Any = self._evaluator.population
        founders = population.founders(founders_rng(seed))
        return founders, population.grams.units if isinstance(population, Recipes) else None

    def raise_births(self, plans: Sequence[Plan], *objects: Any) -> list[Outcome]:
        """Raises births of one tiling, which is the first of the objects."""
        jobs = []
        for plan in plans:
            view = None if plan.view is None else self._view(plan.view[1], objects[plan.view[0]])
            birth = replace(plan.birth, genomes=tuple(objects[place] for place in plan.genomes))
            jobs.append(Job(birth, objects[0], view, plan.best))
        if self._evaluator.width > 1:
            return self._evaluator.raise_births(jobs)
        return [self._evaluator.raise_births([job])[0] for job in jobs]

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """As `Evaluator.finish`."""
        return self._evaluator.finish(job, owned(outcome))

    def score(self, genome: Genome, tiles: Sequence[np.ndarray], split: str) -> list[np.ndarray]:
        """As `Evaluator.score`."""
        return self._evaluator.score(copy.deepcopy(genome), tiles, split)

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Evaluator.explain`."""
        return self._evaluator.explain(copy.deepcopy(genome), datapoints, split)

    def _view(self, name: str, view: View) -> View:
        """The same object for the same archive, since it keeps its bounds."""
        if name not in self._views:
            self._views[name] = view
            if len(self._views) > VIEWS:
                del self._views[next(iter(self._views))]
        return self._views[name]


def owned(outcome: Outcome) -> Outcome:
    """An outcome with memory of its own, since what comes from Ray's store may not be written."""
    return replace(outcome, genome=copy.deepcopy(outcome.genome), scores=outcome.scores.copy())
