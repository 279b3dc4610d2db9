"""Where births are raised: in this process, or on Ray actors (`evomerge.actors.pool`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from evomerge.contracts import Fitness, Genome, Population
from evomerge.scoring import Job, Nursery, Outcome, placed, unheeded
from evomerge.strategies.strategy import founders_rng


class Workers(Protocol):
    """Whoever raises births. Results do not depend on who that is, nor on the order in which they come.

    Optional methods: `status() -> Mapping`, what a person who watches wants to know of the workers; `heed(between)`, before `start`, takes what
    is to be called between two tiles, with the number of datapoints that were scored, and now and then while there is nothing to do but wait: it
    raises where the run is to stop (`evomerge.between.Between`).
    """

    def start(self, population: Population, fitness: Fitness, width: int) -> None:
        """Makes ready to raise births, `width` of them to a stack."""

    def founders(self, seed: int) -> list[Genome]:
        """The population's founders, for a run with this seed."""

    def submit(self, job: Job) -> None:
        """Hands over a birth to be raised."""

    def result(self, number: int) -> Outcome:
        """What became of a birth that was submitted; waits for it."""

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """Scores what is missing of a birth that was stopped."""

    def score(
        self, genomes: Sequence[Genome], tiles: Sequence[np.ndarray], split: str
    ) -> Iterator[np.ndarray]:
        """All scores of each genome, in the order of the datapoints; what goes wrong with one is raised when its turn comes."""

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The scores of one genome, and what the fitness, which can, explains of them."""

    def stop(self) -> None:
        """Lets go of everything, if that has not happened yet; `start` may follow."""


class Local:
    """Raises births in this process, when their results are asked for."""

    _between: Callable[[int], None] = staticmethod(unheeded)

    def __init__(self, threads: int = 1) -> None:
        """Settings only.

        Args:
            threads: threads of torch, and of numpy's linear algebra. The last bits of a score can depend on it, so a run's
                claim to be repeatable is for one number of threads.

        Raises:
            ValueError: if `threads` is less than 1.
        """
        if threads < 1:
            raise ValueError(f"threads: expected a number of at least 1, got {threads}")
        self.threads = threads

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel."""
        return {"threads": self.threads}

    def heed(self, between: Callable[[int], None]) -> None:
        """As `Workers.heed`, until `stop`."""
        self._between = between

    def start(self, population: Population, fitness: Fitness, width: int) -> None:
        """As `Workers.start`."""
        import torch

        self._threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        self._limits = threadpool_limits(self.threads)
        self._nursery = Nursery(population, fitness, width, self._between)
        self._jobs: dict[int, Job] = {}
        self._outcomes: dict[int, Outcome] = {}

    def founders(self, seed: int) -> list[Genome]:
        """As `Workers.founders`."""
        return self._nursery.population.founders(founders_rng(seed))

    def submit(self, job: Job) -> None:
        """As `Workers.submit`."""
        self._jobs[job.birth.number] = job

    def result(self, number: int) -> Outcome:
        """As `Workers.result`."""
        if number not in self._outcomes:
            self._raise(number)
        return self._outcomes.pop(number)

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """As `Workers.finish`."""
        return self._nursery.finish(job, outcome)

    def score(
        self, genomes: Sequence[Genome], tiles: Sequence[np.ndarray], split: str
    ) -> Iterator[np.ndarray]:
        """As `Workers.score`."""
        return (placed(tiles, self._nursery.score(genome, tiles, split)) for genome in genomes)

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Workers.explain`."""
        return self._nursery.explain(genome, datapoints, split)

    def stop(self) -> None:
        """As `Workers.stop`."""
        self._between = unheeded
        if not hasattr(self, "_nursery"):
            return
        import torch

        del self._nursery
        self._limits.restore_original_limits()
        torch.set_num_threads(self._threads_before)

    def _raise(self, number: int) -> None:
        """Raises a birth and those that share its stack and its tiling."""
        stack, tiling = (number - 1) // self._nursery.width, self._jobs[number].tiling.number
        together = [
            n
            for n, job in self._jobs.items()
            if (n - 1) // self._nursery.width == stack and job.tiling.number == tiling
        ]
        outcomes = self._nursery.raise_births([self._jobs.pop(n) for n in together])
        self._outcomes.update(zip(together, outcomes, strict=True))
