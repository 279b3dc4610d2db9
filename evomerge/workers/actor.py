"""What runs in a worker's process on a cluster.

It has a population and a fitness of its own, and is asked over the network.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evomerge.archives.archive import View
from evomerge.contracts import Fitness, Genome, Population, Recipes, can
from evomerge.strategies.strategy import Birth, founders_rng
from evomerge.workers.evaluator import Evaluator
from evomerge.workers.job import Job, Outcome

VIEWS = 16
"""Most archives that an actor keeps ready to stop by."""


@dataclass(frozen=True)
class Plan:
    """A birth as it travels.

    What is large lies among the objects that travel with it, once for all births of a call. A plan
    holds only the places at which they lie there.

    Attributes:
        birth: the plan, without genomes.
        genomes: the places of the parents' genomes.
        view: the place of the archive to stop by, and a name that no other archive has; None to
            score everything.
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
            parts: the population and the fitness that it raises births with.
            width: births of a stack.
            threads: threads of torch.
        """
        # What is imported later takes its threads from the environment. What was imported to
        # unpickle the parts has read it already, perhaps where it said something else.
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)
        self._evaluator = Evaluator(*parts, width)
        self._views: dict[str, View] = {}

    def ready(self) -> str:
        """The name of the machine that it lives on."""
        import socket

        return socket.gethostname()

    def prepare(self, units: np.ndarray | None, genome: Genome | None) -> None:
        """Loads what a birth needs, such as the seeds and the resident model.

        Args:
            units: (U, K, K) the seeds' Gram matrices, where genomes are recipes.
            genome: a genome to be expressed; any will do.
        """
        population: Any = self._evaluator.population
        if units is not None:
            population.restore_grams(units)
        # What comes from Ray's store may not be written, and expressing may write.
        if genome is not None:
            population.express(copy.deepcopy(genome))

    def founders(self, seed: int) -> tuple[list[Genome], np.ndarray | None]:
        """The founders, and the seeds' (U, K, K) Gram matrices where genomes are recipes."""
        population: Any = self._evaluator.population
        founders = population.founders(founders_rng(seed))
        # The driver needs the matrices and would read every seed for them; they are here already.
        if can(population, Recipes):
            return founders, population.grams.units
        return founders, None

    def raise_births(self, plans: Sequence[Plan], *objects: Any) -> list[Outcome]:
        """Raises births of one tiling.

        Args:
            plans: the births.
            objects: what the plans refer to by place; the tiling is the first of them.
        """
        jobs = []
        for plan in plans:
            view = None
            if plan.view is not None:
                place, name = plan.view
                view = self._kept_view(name, objects[place])
            genomes = tuple(objects[place] for place in plan.genomes)
            jobs.append(Job(replace(plan.birth, genomes=genomes), objects[0], view, plan.best))

        # Births of a stack are scored together. Others share a call only to save messages.
        if self._evaluator.width > 1:
            return self._evaluator.raise_births(jobs)
        outcomes = []
        for job in jobs:
            outcomes += self._evaluator.raise_births([job])
        return outcomes

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

    def _kept_view(self, name: str, view: View) -> View:
        """The same object for the same archive, since an archive keeps the bounds it has made."""
        if name not in self._views:
            self._views[name] = view
            if len(self._views) > VIEWS:
                # Births come in order: the oldest archive is the least likely to come again.
                oldest = next(iter(self._views))
                del self._views[oldest]
        return self._views[name]


def owned(outcome: Outcome) -> Outcome:
    """A copy of an outcome that may be written, which what comes from Ray's store may not."""
    return replace(outcome, genome=copy.deepcopy(outcome.genome), scores=outcome.scores.copy())
