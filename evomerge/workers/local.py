"""Workers that raise births in this process; those on Ray are in `evomerge.workers.ray`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from evomerge.contracts import Fitness, Genome, Population
from evomerge.strategies.strategy import founders_rng
from evomerge.workers.evaluator import Evaluator
from evomerge.workers.job import Job, Outcome, ignore_progress, joined_row


@dataclass(eq=False)
class _Started:
    """What there is between `start` and `stop`.

    Attributes:
        evaluator: who raises the births.
        threads_before: threads of torch before `start`.
        limits: the limit on numpy's threads, which can be taken back.
        jobs: births that wait, by their numbers.
        outcomes: what became of births whose result nobody has asked for yet.
    """

    evaluator: Evaluator
    threads_before: int
    limits: threadpool_limits
    jobs: dict[int, Job] = field(default_factory=dict)
    outcomes: dict[int, Outcome] = field(default_factory=dict)


class Local:
    """Raises births in this process, when their results are asked for."""

    # These stand in the class because a copy that has travelled (`__getstate__`) needs them too.
    _between: Callable[[int], None] = staticmethod(ignore_progress)
    _started: _Started | None = None

    def __init__(self, threads: int = 1) -> None:
        """Keeps the settings only.

        Args:
            threads: threads of torch, and of numpy's linear algebra. The last bits of a score can
                depend on it, so a run's claim to be repeatable is for one number of threads.

        Raises:
            ValueError: if `threads` is less than 1.
        """
        if threads < 1:
            raise ValueError(f"threads: expected a number of at least 1, got {threads}")
        self.threads = threads

    def __getstate__(self) -> dict[str, Any]:
        """The settings travel; what `start` has made does not."""
        return {"threads": self.threads}

    def heed(self, between: Callable[[int], None]) -> None:
        """As `Heeding.heed`, until `stop`."""
        self._between = between

    def start(self, population: Population, fitness: Fitness, width: int) -> None:
        """As `Workers.start`."""
        import torch

        # The number of threads belongs to the process, and `stop` gives it back.
        threads_before = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        limits = threadpool_limits(self.threads)
        evaluator = Evaluator(population, fitness, width, self._between)
        self._started = _Started(evaluator, threads_before, limits)

    def founders(self, seed: int) -> list[Genome]:
        """As `Workers.founders`."""
        return self._running().evaluator.population.founders(founders_rng(seed))

    def submit(self, job: Job) -> None:
        """As `Workers.submit`."""
        self._running().jobs[job.birth.number] = job

    def result(self, number: int) -> Outcome:
        """As `Workers.result`."""
        outcomes = self._running().outcomes
        if number not in outcomes:
            self._raise_with_stack(number)
        return outcomes.pop(number)

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """As `Workers.finish`."""
        return self._running().evaluator.finish(job, outcome)

    def score(
        self, genomes: Sequence[Genome], tiles: Sequence[np.ndarray], split: str
    ) -> Iterator[np.ndarray]:
        """As `Workers.score`."""
        evaluator = self._running().evaluator
        for genome in genomes:
            yield joined_row(tiles, evaluator.score(genome, tiles, split))

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Workers.explain`."""
        return self._running().evaluator.explain(genome, datapoints, split)

    def stop(self) -> None:
        """As `Workers.stop`."""
        self._between = ignore_progress
        if self._started is None:
            return
        import torch

        # The process goes on, perhaps as a user's notebook, with the threads that it had before.
        self._started.limits.restore_original_limits()
        torch.set_num_threads(self._started.threads_before)
        self._started = None

    def _running(self) -> _Started:
        """What `start` has made."""
        assert self._started is not None, "start comes first, and stop last"
        return self._started

    def _raise_with_stack(self, number: int) -> None:
        """Raises a birth and those that share its stack and its tiling."""
        started = self._running()
        width = started.evaluator.width
        stack = (number - 1) // width
        tiling = started.jobs[number].tiling.number

        # A stack may begin under one cut of the datapoints and end under the next. Its births are
        # scored together only where they have the same tiles.
        together = []
        for other, job in started.jobs.items():
            if (other - 1) // width == stack and job.tiling.number == tiling:
                together.append(other)
        jobs = [started.jobs.pop(other) for other in together]
        outcomes = started.evaluator.raise_births(jobs)
        started.outcomes.update(zip(together, outcomes, strict=True))
