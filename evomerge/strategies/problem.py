"""A search's vectors as a problem of EvoTorch, and a search on such a problem."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from evotorch import Problem
from evotorch.tools import ObjectArray

from evomerge.contracts import Genome
from evomerge.strategies.coding import Coding
from evomerge.strategies.searching import Ask

DTYPES = {np.float32: torch.float32, np.float64: torch.float64, object: object}
"""What EvoTorch calls the numbers of a coding."""


class CodedProblem(Problem):
    """Solutions that stand for genomes, with somebody to evaluate them."""

    def __init__(self, coding: Coding, evaluation_data: int, seed: int) -> None:
        """Takes what the solutions stand for.

        Args:
            coding: the way from solutions to genomes.
            evaluation_data: numbers besides the mean score that an evaluation gives.
            seed: of the search's randomness.
        """
        # Evaluations in float64, as a run has its mean scores.
        super().__init__(
            "max",
            solution_length=coding.size,
            dtype=DTYPES[coding.dtype],
            eval_dtype=torch.float64,
            eval_data_length=evaluation_data,
            seed=seed,
        )
        self.coding = coding

    def generate_values(self, num_solutions: int) -> Any:
        """As `Problem.generate_values`.

        One alone is the point where a search begins that begins at one.
        """
        if num_solutions == 1:
            return as_values([self.coding.centre()])
        return super().generate_values(num_solutions)

    def genome(self, values: Any) -> Genome:
        """The genome that the values of a solution stand for."""
        return self.coding.genome(as_numpy(values))

    def _fill(self, values: Any) -> None:
        values[:] = as_values(self.coding.start(len(values), drawn_rng(self)))


class AskingProblem(CodedProblem):
    """A problem whose evaluations come from whoever answers."""

    def __init__(self, coding: Coding, evaluation_data: int, seed: int, ask: Ask) -> None:
        """Takes whom to ask; the rest is as for `CodedProblem`."""
        super().__init__(coding, evaluation_data, seed)
        self._ask = ask

    def _evaluate_batch(self, batch: Any) -> None:
        batch.set_evals(torch.from_numpy(self._ask(as_numpy(batch.values))))


def run_search(
    make: Callable[[Problem], Any],
    coding: Coding,
    evaluation_data: int,
    seed: int,
    ask: Ask,
    threads: int,
) -> None:
    """Runs a search of EvoTorch for as long as it wants to go on.

    Args:
        make: makes the searcher on a problem.
        coding: the way from its solutions to genomes.
        evaluation_data: numbers besides the mean score that an answer gives.
        seed: of the search's randomness.
        ask: gives the evaluations of a batch of solutions.
        threads: how many threads torch may use here, since a thread does not inherit that.
    """
    torch.set_num_threads(threads)
    # EvoTorch logs every problem that is made, as news to a user who has made none.
    logging.getLogger("evotorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="evotorch")
    searcher = make(AskingProblem(coding, evaluation_data, seed, ask))
    # Most searches never end by themselves: they wait in `ask` when the run is over.
    while not searcher.is_terminated:
        searcher.step()


def as_numpy(values: Any) -> Any:
    """Numbers of EvoTorch as arrays of their own; by name where they have names."""
    if isinstance(values, Mapping):
        return {name: as_numpy(numbers) for name, numbers in values.items()}
    # EvoTorch's tensors may be read-only ones, and change with the next generation: a copy.
    if isinstance(values, np.ndarray):
        return values.copy()
    return values.as_subclass(torch.Tensor).numpy(force=True).copy()


def as_values(solutions: Any) -> Any:
    """Solutions as EvoTorch has them: vectors as a tensor, objects as an array of objects."""
    if not isinstance(solutions[0], Mapping):
        return torch.from_numpy(np.stack(solutions))
    # Genomes have stretches of their own, so they fit into no tensor.
    values = ObjectArray(len(solutions))
    for place, solution in enumerate(solutions):
        values[place] = solution
    return values


def drawn_rng(problem: Problem) -> np.random.Generator:
    """A random state that follows from the problem's own."""
    # Drawn from the problem's, so that a resume, which tells the search all again, draws alike.
    return np.random.default_rng(int(torch.randint(2**62, (), generator=problem.generator)))
