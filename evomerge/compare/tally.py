"""What runs came to, row by row: means over random seeds, births to given scores, and curves."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.intervals import Mean, quantile
from evomerge.rundir.births import read_births

POINTS = 200
"""Points of a curve."""


@dataclass(frozen=True, eq=False)
class Done:
    """One run, as far as the birth up to which all are compared.

    Attributes:
        seed: its random seed.
        train: mean training score of its best.
        test: mean test score of its best, the training score where there is no test split.
        founder_train: mean training score of its best founder.
        founder_test: mean test score of that founder.
        births: (POINTS,) numbers of births, 0 first.
        scores: (POINTS,) the best's test score after so many births.
        coverage: (POINTS,) coverage of the archive.
        entropy: (POINTS,) entropy of the archive.
        steps: (birth, test score) of each that became best, the founders' first.
        scored: share of the datapoints that was scored.
        failures: births that failed.
        born: births that it had, of those that are compared.
        tested: whether there is a test split.
        seconds: what it took; None if it has gone further than the others.
        memory: most bytes of one process, the one that led it or a worker's; 0 if not known.
    """

    seed: int
    train: float
    test: float
    founder_train: float
    founder_test: float
    births: np.ndarray
    scores: np.ndarray
    coverage: np.ndarray
    entropy: np.ndarray
    steps: list[tuple[int, float]]
    scored: float
    failures: int
    born: int
    tested: bool
    seconds: float | None
    memory: int

    @classmethod
    def read(cls, path: Path, seed: int, births: int) -> Done:
        """Reads a run directory.

        Args:
            path: the run directory, of a run that has ended.
            seed: its random seed.
            births: up to which birth.

        Raises:
            OSError: if a file is missing.
            ValueError: if there is no founder or no birth, or a file is damaged.
            LookupError: if a line of the log lacks what it has to have.
        """
        founders, children = _founders_and_children(path)
        # A run that was longer is compared as far as the others go.
        children = children[:births]
        if not founders or not children:
            raise ValueError(
                f"{path}: its births.jsonl has {len(founders)} founders and {len(children)} births"
            )
        bests = [entry for entry in (*founders, *children) if entry.get("best")]
        best = bests[-1]
        # It is what a user has without breeding.
        first = max(founders, key=_chosen_by)
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))

        births_of_bests = _column(bests, "birth")  # (S,)
        tests_of_bests = np.array([_test(entry) for entry in bests])  # (S,)
        grid = np.unique(np.linspace(0, births, POINTS).round().astype(int))  # (POINTS,)
        best_at = np.searchsorted(births_of_bests, grid, side="right") - 1  # (POINTS,)
        # A run that has ended before the others stays as it was, and the first birth stands for
        # the founders' archive, of which the log says nothing.
        rows = [children[min(max(birth, 1), len(children)) - 1] for birth in grid]

        # The clock went on for the births that are not compared.
        seconds = None
        if summary["births"] == len(children):
            seconds = summary["seconds"]
        workers = summary.get("workers") or {}
        return cls(
            seed=seed,
            train=best["train"],
            test=_test(best),
            founder_train=first["train"],
            founder_test=_test(first),
            births=grid,
            scores=tests_of_bests[best_at],
            coverage=_column(rows, "coverage"),
            entropy=_column(rows, "entropy"),
            steps=list(zip(births_of_bests.tolist(), tests_of_bests.tolist(), strict=True)),
            scored=float(np.mean(_column(children, "scored"))),
            failures=sum("failure" in entry for entry in children),
            born=len(children),
            tested="test" in first,
            seconds=seconds,
            memory=max(summary.get("peak_memory", 0), workers.get("memory", 0)),
        )

    def after(self, births: int) -> float:
        """The best's test score after so many births."""
        return [test for birth, test in self.steps if birth <= births][-1]

    def births_to(self, score: float) -> int | None:
        """The first birth after which the best has this test score; None if it never has."""
        for birth, test in self.steps:
            if test >= score:
                return birth
        return None


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes:
        name: what it is called.
        runs: its runs that ended.
        failed: random seed and reason of each that did not.
        seed: whether it is the best seed alone, taken from the founders of others.
    """

    name: str
    runs: list[Done]
    failed: list[tuple[int, str]] = field(default_factory=list)
    seed: bool = False

    @property
    def tests(self) -> list[float]:
        """The test score of each run."""
        return self._numbers("founder_test" if self.seed else "test")

    @property
    def test(self) -> Mean:
        """Mean test score."""
        return Mean.over(self.tests)

    @property
    def train(self) -> Mean:
        """Mean training score."""
        return Mean.over(self._numbers("founder_train" if self.seed else "train"))

    def ahead(self, other: Row) -> Mean:
        """How far its mean test score is above another row's, with Welch's 95 % interval."""
        mine = self.tests
        theirs = other.tests
        fewest = min(len(mine), len(theirs))
        if fewest < 1:
            return Mean(math.nan, math.nan)
        difference = float(np.mean(mine) - np.mean(theirs))
        # One run says nothing of how far runs differ.
        if fewest < 2:
            return Mean(difference, math.nan)
        my_part = np.var(mine, ddof=1) / len(mine)
        their_part = np.var(theirs, ddof=1) / len(theirs)
        variance = my_part + their_part
        # Runs that all came to the same leave no doubt, and no degrees of freedom either.
        if not variance:
            return Mean(difference, 0.0)
        my_doubt = my_part**2 / (len(mine) - 1)
        their_doubt = their_part**2 / (len(theirs) - 1)
        freedom = float(variance**2 / (my_doubt + their_doubt))
        return Mean(difference, quantile(freedom) * math.sqrt(variance))

    def after(self, births: int) -> Mean:
        """Mean test score after so many births."""
        # A seed is not bred, so it stays as it is.
        if self.seed:
            return self.test
        return Mean.over([run.after(births) for run in self.runs])

    def births_to(self, score: float) -> tuple[Mean, int]:
        """Births to a test score: the mean over the runs that reach it, and how many do."""
        reached = []
        for run in self.runs:
            births = run.births_to(score)
            if self.seed:
                births = 0 if run.founder_test >= score else None
            if births is not None:
                reached.append(float(births))
        return Mean.over(reached), len(reached)

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """A curve over births.

        Args:
            name: "scores", "coverage" or "entropy".

        Returns:
            (POINTS,) births, the mean over the runs, and half of its 95 % interval.
        """
        values = np.array(self._numbers(name))  # (R, POINTS)
        count = len(values)
        half = np.zeros(values.shape[1])
        # One run has a curve without a band.
        if count > 1:
            half = quantile(count - 1) * values.std(axis=0, ddof=1) / math.sqrt(count)
        return self.runs[0].births, values.mean(axis=0), half

    def mean(self, name: str) -> float:
        """The mean of a number of the runs, over those that have it; NaN if none has."""
        known = [number for number in self._numbers(name) if number is not None]
        return float(np.mean(known)) if known else math.nan

    def _numbers(self, name: str) -> list[Any]:
        """What an attribute of the runs is, one after another."""
        return [getattr(run, name) for run in self.runs]


def _founders_and_children(path: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The lines of a run's log, those of founders apart from those of births."""
    founders = []
    children = []
    for entry in read_births(path):
        if "founder" in entry:
            founders.append(entry)
        else:
            children.append(entry)
    return founders, children


def _column(entries: Sequence[dict[str, Any]], key: str) -> np.ndarray:
    """(n,) a number that each line of a log has."""
    return np.array([entry[key] for entry in entries])


def _chosen_by(entry: dict[str, Any]) -> float:
    """The score by which best is chosen: of the validation split where there is one."""
    return float(entry.get("validation", entry["train"]))


def _test(entry: dict[str, Any]) -> float:
    """The test score, or the training score where there is no test split."""
    return float(entry.get("test", entry["train"]))
