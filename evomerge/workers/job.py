"""What goes to a worker, what comes back, and what a worker is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from evomerge.contracts import Fitness, Genome, Population
from evomerge.workers.evaluator import Job, Outcome


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
