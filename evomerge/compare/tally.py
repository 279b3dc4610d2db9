"""What runs came to, row by row: means with 95 % intervals over random seeds, births to given scores, curves with bands."""

from __future__ import annotations

import json
import math
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
        founder_train: of its best founder by training score.
        founder_test: likewise.
        births: (POINTS,) numbers of births, 0 first.
        scores: (POINTS,) the best's test score after so many.
        coverage: (POINTS,) of the archive.
        entropy: (POINTS,) of the archive.
        steps: (birth, test score) of each that became best, the founders' first.
        scored: share of the datapoints that was scored.
        failures: births that failed.
        born: births that it had, of those that are compared.
        tested: whether there is a test split.
        seconds: that it took; None if it has gone further than the others.
        memory: most bytes of one process, the one that led it or a worker's; 0 if that is not known.
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
        log = read_births(path)
        founders = [entry for entry in log if "founder" in entry]
        children = [entry for entry in log if "founder" not in entry][:births]
        if not founders or not children:
            raise ValueError(
                f"{path}: its births.jsonl has {len(founders)} founders and {len(children)} births"
            )
        bests = [entry for entry in (*founders, *children) if entry.get("best")]
        first = max(founders, key=lambda entry: entry.get("validation", entry["train"]))
        summary = json.loads((path / "summary.json").read_text(encoding="utf-8"))
        at = np.unique(np.linspace(0, births, POINTS).round().astype(int))
        becomes = np.array([entry["birth"] for entry in bests])
        tests = np.array([_test(entry) for entry in bests])
        rows = [
            children[min(max(birth, 1), len(children)) - 1] for birth in at
        ]  # one that has ended before stays as it was
        return cls(
            seed,
            bests[-1]["train"],
            _test(bests[-1]),
            first["train"],
            _test(first),
            at,
            tests[np.searchsorted(becomes, at, side="right") - 1],
            np.array([row["coverage"] for row in rows]),
            np.array([row["entropy"] for row in rows]),
            list(zip(becomes.tolist(), tests.tolist(), strict=True)),
            float(np.mean([entry["scored"] for entry in children])),
            sum("failure" in entry for entry in children),
            len(children),
            "test" in first,
            summary["seconds"] if summary["births"] == len(children) else None,
            max(summary.get("peak_memory", 0), (summary.get("workers") or {}).get("memory", 0)),
        )

    def after(self, births: int) -> float:
        """The best's test score after so many births."""
        return [test for birth, test in self.steps if birth <= births][-1]

    def births_to(self, score: float) -> int | None:
        """The first birth after which the best has this test score; None if it never has."""
        return next((birth for birth, test in self.steps if test >= score), None)


@dataclass(frozen=True)
class Row:
    """A line of the comparison.

    Attributes:
        name: what it is called.
        runs: its runs that ended.
        failed: seed and reason of each that did not.
        seed: whether it is the best seed alone, taken from the founders of others.
    """

    name: str
    runs: list[Done]
    failed: list[tuple[int, str]] = field(default_factory=list)
    seed: bool = False

    @property
    def test(self) -> Mean:
        """Mean test score."""
        return Mean.over([run.founder_test if self.seed else run.test for run in self.runs])

    @property
    def train(self) -> Mean:
        """Mean training score."""
        return Mean.over([run.founder_train if self.seed else run.train for run in self.runs])

    def ahead(self, other: Row) -> Mean:
        """How far its mean test score is above another row's, with the 95 % interval of that by Welch's t."""
        mine, theirs = (
            [run.founder_test if row.seed else run.test for run in row.runs]
            for row in (self, other)
        )
        if min(len(mine), len(theirs)) < 1:
            return Mean(math.nan, math.nan)
        difference = float(np.mean(mine) - np.mean(theirs))
        if min(len(mine), len(theirs)) < 2:
            return Mean(difference, math.nan)
        parts = [np.var(values, ddof=1) / len(values) for values in (mine, theirs)]
        if not sum(parts):
            return Mean(difference, 0.0)
        freedom = sum(parts) ** 2 / sum(
            part**2 / (len(values) - 1) for part, values in zip(parts, (mine, theirs), strict=True)
        )
        return Mean(difference, quantile(float(freedom)) * math.sqrt(sum(parts)))

    def after(self, births: int) -> Mean:
        """Mean test score after so many births."""
        return Mean.over(
            [run.founder_test if self.seed else run.after(births) for run in self.runs]
        )

    def births_to(self, score: float) -> tuple[Mean, int]:
        """Births to a test score: the mean over the runs that reach it, and how many do."""
        reached = (
            [0 if run.founder_test >= score else None for run in self.runs] if self.seed else None
        )
        found = reached or [run.births_to(score) for run in self.runs]
        births = [float(birth) for birth in found if birth is not None]
        return Mean.over(births), len(births)

    def curve(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(POINTS,) births, and the mean and half of the 95 % interval of "scores", "coverage" or "entropy" over the runs."""
        values = np.array([getattr(run, name) for run in self.runs])
        count = len(values)
        half = np.zeros(values.shape[1])
        if count > 1:
            half = quantile(count - 1) * values.std(axis=0, ddof=1) / math.sqrt(count)
        return self.runs[0].births, values.mean(axis=0), half

    def mean(self, name: str) -> float:
        """The mean of a number of the runs, over those that have it."""
        values = [getattr(run, name) for run in self.runs if getattr(run, name) is not None]
        return float(np.mean(values)) if values else math.nan


def _test(entry: dict[str, Any]) -> float:
    return float(entry.get("test", entry["train"]))
