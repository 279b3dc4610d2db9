"""Where births are raised: in this process, or on Ray actors (`evomerge.workers.ray`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from evomerge.contracts import Fitness, Genome, Population
from evomerge.strategies.strategy import founders_rng
from evomerge.workers.evaluator import Evaluator
from evomerge.workers.job import Job, Outcome, placed, unheeded


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
        self._evaluator = Evaluator(population, fitness, width, self._between)
        self._jobs: dict[int, Job] = {}
        self._outcomes: dict[int, Outcome] = {}

    def founders(self, seed: int) -> list[Genome]:
        """As `Workers.founders`."""
        return self._evaluator.population.founders(founders_rng(seed))

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
        return self._evaluator.finish(job, outcome)

    def score(
        self, genomes: Sequence[Genome], tiles: Sequence[np.ndarray], split: str
    ) -> Iterator[np.ndarray]:
        """As `Workers.score`."""
        return (placed(tiles, self._evaluator.score(genome, tiles, split)) for genome in genomes)

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Workers.explain`."""
        return self._evaluator.explain(genome, datapoints, split)

    def stop(self) -> None:
        """As `Workers.stop`."""
        self._between = unheeded
        if not hasattr(self, "_evaluator"):
            return
        import torch

        del self._evaluator
        self._limits.restore_original_limits()
        torch.set_num_threads(self._threads_before)

    def _raise(self, number: int) -> None:
        """Raises a birth and those that share its stack and its tiling."""
        stack, tiling = (number - 1) // self._evaluator.width, self._jobs[number].tiling.number
        together = [
            n
            for n, job in self._jobs.items()
            if (n - 1) // self._evaluator.width == stack and job.tiling.number == tiling
        ]
        outcomes = self._evaluator.raise_births([self._jobs.pop(n) for n in together])
        self._outcomes.update(zip(together, outcomes, strict=True))
