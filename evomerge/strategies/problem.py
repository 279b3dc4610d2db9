"""A search's vectors as a problem of EvoTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from evotorch import Problem
from evotorch.tools import ObjectArray

from evomerge.contracts import Genome
from evomerge.strategies.coding import Coding


class CodedProblem(Problem):
    """Solutions that stand for genomes, with somebody to evaluate them."""

    def __init__(self, coding: Coding, evaluation_data: int, seed: int) -> None:
        """Takes what the solutions stand for.

        Args:
            coding: the way from solutions to genomes.
            evaluation_data: numbers besides the mean score that an evaluation gives.
            seed: of the search's randomness.
        """
        kinds = {np.float32: torch.float32, np.float64: torch.float64, object: object}
        super().__init__(
            "max",
            solution_length=coding.size,
            dtype=kinds[coding.dtype],
            eval_dtype=torch.float64,
            eval_data_length=evaluation_data,
            seed=seed,
        )
        self.coding = coding

    def generate_values(self, num_solutions: int) -> Any:
        """As `Problem.generate_values`; one alone is the point where a search begins that begins at one."""
        if num_solutions == 1:
            return as_values([self.coding.centre()])
        return super().generate_values(num_solutions)

    def genome(self, values: Any) -> Genome:
        """The genome that the values of a solution stand for."""
        return self.coding.genome(as_numpy(values))

    def _fill(self, values: Any) -> None:
        values[:] = as_values(self.coding.start(len(values), drawn_rng(self)))


def as_numpy(values: Any) -> Any:
    """Numbers of EvoTorch, whose tensors may be read-only ones, as arrays of their own; by name where they have names."""
    if isinstance(values, Mapping):
        return {name: as_numpy(numbers) for name, numbers in values.items()}
    return (
        values.copy()
        if isinstance(values, np.ndarray)
        else values.as_subclass(torch.Tensor).numpy(force=True).copy()
    )


def as_values(rows: Any) -> Any:
    """Solutions as EvoTorch has them: vectors as a tensor, objects as an array of objects."""
    if not isinstance(rows[0], Mapping):
        return torch.from_numpy(np.stack(rows))
    values = ObjectArray(len(rows))
    for place, row in enumerate(rows):
        values[place] = row
    return values


def drawn_rng(problem: Problem) -> np.random.Generator:
    """A random state that follows from the problem's own."""
    return np.random.default_rng(int(torch.randint(2**62, (), generator=problem.generator)))
