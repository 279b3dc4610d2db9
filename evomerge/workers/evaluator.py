"""Raising births: a plan becomes a genome, the genome a model, the model a row of scores.

Scores come tile by tile. A child matters only if it is admitted or becomes the best. After each
tile a bound asks whether it still can; if not, its other datapoints stay unscored. This is what a
worker does, in this process or elsewhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from evomerge import memory
from evomerge.contracts import (
    Fitness,
    Genome,
    Model,
    Narrows,
    Population,
    ScoresStacks,
    Stacks,
    can,
)
from evomerge.errors import Interrupted, reason
from evomerge.workers.job import Job, Outcome, ignore_progress, unscored_row
from evomerge.workers.partial_score import PartialScore, check_scores
from evomerge.workers.retry import call_patiently

MEMORY_SECONDS = 1.0
"""Seconds after which a process looks again how much memory it has had."""

EXPLAINED = 128
"""Most datapoints that a fitness is asked to explain in one call."""

FITNESS = "the fitness"
EXPRESS = "expressing a child"

ScoreTile = Callable[[np.ndarray, Sequence[int]], np.ndarray]
"""Takes (B,) indices of datapoints and the n slots in need; gives their (n, B) scores."""


class Evaluator:
    """Raises births with one population and one fitness."""

    def __init__(
        self,
        population: Population,
        fitness: Fitness,
        width: int = 1,
        between: Callable[[int], None] = ignore_progress,
    ) -> None:
        """Takes what it raises births with.

        Args:
            population: how a genome becomes a model.
            fitness: how a model becomes scores.
            width: births that are expressed and scored as one stack, always padded to this width.
            between: is called behind each tile with the number of its datapoints. What it raises
                ends the work at hand.
        """
        self.population = population
        self.fitness = fitness
        self.width = width
        self.between = between
        self.stacks = can(population, Stacks) and can(fitness, ScoresStacks)
        self._looked = -MEMORY_SECONDS
        self._memory = (0, 0)

    def raise_births(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Raises births of one tiling, at most `width`."""
        started = time.perf_counter()

        # A child that cannot be made fails alone, and the others of its stack are still scored.
        partials = []
        healthy = []
        for job in jobs:
            outcome = self._make_child(job)
            partial = PartialScore(job, outcome, self._slot(job))
            partials.append(partial)
            if outcome.failure is None:
                healthy.append(partial)
        self._score(healthy)

        # The births of a stack are scored together, so that each counts an equal part of the time.
        seconds = (time.perf_counter() - started) / len(jobs)
        # A look at the memory takes longer than a small birth, so that not each has one of its own.
        if started > self._looked + MEMORY_SECONDS:
            self._looked = started
            self._memory = (memory.peak(), memory.gpu_peak())
        host, gpu = self._memory
        outcomes = []
        for partial in partials:
            outcomes.append(replace(partial.outcome, seconds=seconds, memory=host, gpu_memory=gpu))
        return outcomes

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """Scores the tiles of a stopped birth that are still missing."""
        started = time.perf_counter()
        # Without an archive to stop by, it is scored to the end.
        partial = PartialScore(replace(job, view=None), outcome, self._slot(job))
        self._score([partial])
        return replace(partial.outcome, seconds=outcome.seconds + time.perf_counter() - started)

    def score(self, genome: Genome, tiles: Sequence[np.ndarray], split: str) -> list[np.ndarray]:
        """The (B,) scores of one genome on each tile; the genome is expressed by itself.

        Raises:
            ValueError: as `check_scores`.
        """
        model = self.population.express(genome)
        scores = []
        for tile in tiles:
            scores.append(self._score_model(model, tile, split))
            self.between(len(tile))
        return scores

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The (B,) scores of one genome, and what the fitness explains of each datapoint."""
        model = self.population.express(genome)

        # Parts keep the memory bounded, and let a signal be heard in between.
        parts = []
        for start in range(0, len(datapoints), EXPLAINED):
            parts.append(datapoints[start : start + EXPLAINED])
        explained: list[dict[str, Any]] = []
        for part in parts:
            explained += self.fitness.explain(model, part, split)  # type: ignore[attr-defined]
            self.between(len(part))

        # Where the explanations hold the scores, asking again would cost as much as they did.
        if all("score" in entry for entry in explained):
            return np.array([entry["score"] for entry in explained], dtype=np.float64), explained
        scores = []
        for part in parts:
            scores.append(np.asarray(self.fitness(model, part, split), dtype=np.float64))
            self.between(0)
        return np.concatenate(scores), explained

    def _slot(self, job: Job) -> int:
        """The place of a birth in its stack.

        It comes from the birth's number. Another place could change the last bits of a score.
        """
        return (job.birth.number - 1) % self.width

    def _make_child(self, job: Job) -> Outcome:
        """A birth with its genome, or with the reason why there is none."""
        outcome = Outcome(None, unscored_row(job.tiling.tiles), 0)
        try:
            # Weights may overflow on the way. The check below is what names such a child.
            with np.errstate(over="ignore", invalid="ignore"):
                genome = job.birth.child(self.population)
                finite = genome.finite()
        except Exception as error:
            return replace(outcome, failure=reason(error))
        if not finite:
            return replace(outcome, failure="the child's weights are not all finite")
        return replace(outcome, genome=genome)

    def _score(self, partials: list[PartialScore]) -> None:
        """Takes births of one tiling through the tiles that they need, and enters failures."""
        if not partials:
            return
        tiles = partials[0].job.tiling.tiles
        first = min(partial.outcome.tiles for partial in partials)
        try:
            score_tile = self._express(partials)
            for k in range(first, len(tiles)):
                active = [partial for partial in partials if partial.needs_tile(k)]
                if not active:
                    break
                slots = [partial.slot for partial in active]
                rows = score_tile(tiles[k], slots)  # (n, B)
                for partial, row in zip(active, rows, strict=True):
                    partial.take(row)
                self.between(0)
        except Interrupted:
            # What the environment did is no verdict on a birth.
            raise
        except Exception as error:
            if len(partials) == 1:
                [partial] = partials
                partial.outcome.tiles = first
                partial.outcome.failure = reason(error)
                return
            # One of the stack is at fault, and the error does not say which. Each is tried alone.
            for partial in partials:
                partial.restart()
                self._score([partial])

    def _express(self, partials: Sequence[PartialScore]) -> ScoreTile:
        """Expresses the children, and gives what scores them on a tile."""
        if self.stacks:
            return self._express_stack(partials)
        model = call_patiently(EXPRESS, self.population.express, partials[0].outcome.genome)

        def score_tile(tile: np.ndarray, _slots: Sequence[int]) -> np.ndarray:
            return self._score_model(model, tile, "train")[None]  # (1, B)

        return score_tile

    def _express_stack(self, partials: Sequence[PartialScore]) -> ScoreTile:
        """As `_express`, for small models that run as one."""
        # A stack always has the full width: another number of models could change the last bits
        # of a score. Free places are filled with the first child (DESIGN.md, section 3).
        padded = [partials[0].outcome.genome] * self.width
        for partial in partials:
            padded[partial.slot] = partial.outcome.genome
        express_many = self.population.express_many  # type: ignore[attr-defined]
        stack = call_patiently(EXPRESS, express_many, padded)
        # Asked once a stack: a look at a protocol for each tile costs a small child some per cent.
        narrow = stack.only if can(stack, Narrows) else None

        def score_tile(tile: np.ndarray, slots: Sequence[int]) -> np.ndarray:
            # A stack that narrows itself saves the work for children that were stopped.
            if narrow is not None:
                narrow(slots)
                return self._score_stack(stack, len(slots), tile)  # (n, B)
            return self._score_stack(stack, self.width, tile)[slots]  # (n, B)

        return score_tile

    def _score_model(self, model: Model, tile: np.ndarray, split: str) -> np.ndarray:
        """The (B,) scores of one model on a tile, checked."""
        values = call_patiently(FITNESS, self.fitness, model, tile, split)
        return check_scores(values, (len(tile),))

    def _score_stack(self, stack: Model, count: int, tile: np.ndarray) -> np.ndarray:
        """The (count, B) scores of a stack of so many models on a tile, checked."""
        score_many = self.fitness.score_many  # type: ignore[attr-defined]
        values = call_patiently(FITNESS, score_many, stack, tile, "train")
        return check_scores(values, (count, len(tile)))
