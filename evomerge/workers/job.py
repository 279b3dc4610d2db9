"""What goes to a worker, what comes back, and what a worker is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from evomerge.archives.archive import View
from evomerge.archives.tiling import Tiling
from evomerge.contracts import Fitness, Genome, Population
from evomerge.strategies.strategy import Birth


class Workers(Protocol):
    """Whoever raises births; some are `Heeding`, or `Watched`, too.

    Results do not depend on who that is, nor on the order in which they come.
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
        """Yields all scores of each genome, in the order of the datapoints.

        What goes wrong with a genome is raised when its turn comes.
        """

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The scores of one genome, and what the fitness, which can, explains of them."""

    def stop(self) -> None:
        """Lets go of everything, if that has not happened yet; `start` may follow."""


@dataclass(frozen=True, eq=False)
class Job:
    """A birth as a worker gets it.

    Attributes:
        birth: the plan.
        tiling: how its datapoints are cut.
        view: the archive that the birth was planned from, to stop by; None to score everything.
        best: the mean score that it has to stay below to be stopped; infinite if nothing
            depends on it.
    """

    birth: Birth
    tiling: Tiling
    view: View | None
    best: float


@dataclass(eq=False)
class Outcome:
    """What became of a job.

    Attributes:
        genome: the child.
        scores: (D,) float32; NaN where not scored.
        tiles: how many tiles were scored.
        failure: why the birth failed, None if it did not.
        seconds: time that it took.
        worker: who raised it.
        memory: most bytes that the process which raised it has had.
        gpu_memory: likewise on GPUs.
        attempts: how often it was raised, since workers can be lost.
        lost: whether it failed because it lost its worker every time. Such a verdict is kept at
            once.
    """

    genome: Genome | None
    scores: np.ndarray
    tiles: int
    failure: str | None = None
    seconds: float = 0.0
    worker: int = 0
    memory: int = 0
    gpu_memory: int = 0
    attempts: int = 1
    lost: bool = False


def unscored_row(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """The row of a model that was scored nowhere yet: (D,) float32 NaN."""
    datapoints = sum(map(len, tiles))
    return np.full(datapoints, np.nan, dtype=np.float32)  # (D,)


def joined_row(tiles: Sequence[np.ndarray], scores: Sequence[np.ndarray]) -> np.ndarray:
    """The row of a model, (D,) float32, from its scores on each tile.

    Args:
        tiles: (B,) indices each, which together name every datapoint once.
        scores: (B,) scores for each tile.
    """
    row = unscored_row(tiles)
    # Tiles are cut by scarcity, so that their datapoints lie anywhere in the row.
    for tile, values in zip(tiles, scores, strict=True):
        row[tile] = values
    return row


def ignore_progress(scored: int) -> None:
    """Does nothing. It is called between two tiles where nobody asked for more."""


class Heeding(Protocol):
    """Workers that stop, or say how far they are, between two tiles."""

    def heed(self, between: Callable[[int], None]) -> None:
        """Takes, before `start`, what is called between two tiles and while workers are waited for.

        Args:
            between: takes the number of datapoints that were scored since the last call. It raises
                where the run is to stop (`evomerge.run.between.Between`).
        """


class Watched(Protocol):
    """Workers that tell how they are."""

    def status(self) -> Mapping[str, Any]:
        """What a person who watches wants to know of them."""
