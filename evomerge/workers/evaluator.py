"""Raising births: a plan becomes a genome, the genome a model, the model a row of scores, tile by tile.

A child matters only if it is admitted or becomes best. After each tile a bound asks whether it still can; if not, the rest of
its datapoints stay unscored. This is what a worker does, in this process or elsewhere.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from evomerge import memory
from evomerge.contracts import Fitness, Genome, Narrows, Population, ScoresStacks, Stacks
from evomerge.errors import Interrupted, reason
from evomerge.workers.job import Job, Outcome, unheeded, unscored
from fitness.competition import MARGIN

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""How often a fitness is called when what it stands on (a disk, a server, memory) fails."""

LOOK = 1.0
"""Seconds after which a process looks again how much memory it has had."""

EXPLAINED = 128
"""Most datapoints that a fitness is asked to explain in one call."""

FITNESS, EXPRESS = "the fitness", "expressing a child"


def check_scores(values: object, shape: tuple[int, ...]) -> np.ndarray:
    """What a fitness returned, as float32.

    Raises:
        ValueError: if it is not of this shape, not finite or not in [0, 1]; the message says what came.
    """
    try:
        scores = np.asarray(values, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(
            f"the fitness must return numbers of shape {shape}, it returned {type(values).__name__}"
        ) from None
    if scores.shape != shape:
        raise ValueError(
            f"the fitness must return a score for each datapoint, shape {shape}; it returned {scores.shape}"
        )
    yes_or_no = isinstance(values, np.ndarray) and values.dtype.kind == "b"
    if not yes_or_no and not (scores.min() >= 0 and scores.max() <= 1):
        wrong = scores[~((scores >= 0) & (scores <= 1))]
        raise ValueError(
            f"the fitness must return scores in [0, 1]; {wrong.size} of {scores.size} are not, such as {wrong.flat[0]}"
        )
    return scores


@dataclass(eq=False)
class _PartialScore:
    """One birth on its way through the tiles."""

    job: Job
    outcome: Outcome
    slot: int
    lead: np.ndarray | float = 0.0
    lost: float = 0.0
    stopped: bool = False

    def restart(self) -> None:
        """Forgets all scores."""
        self.outcome.scores.fill(np.nan)
        self.outcome.tiles = 0
        self.lead, self.lost, self.stopped = 0.0, 0.0, False

    def take(self, values: np.ndarray) -> None:
        """Enters the scores of the next tile and decides whether to go on."""
        outcome, tiling, view = self.outcome, self.job.tiling, self.job.view
        k = outcome.tiles
        outcome.scores[tiling.tiles[k]] = values
        outcome.tiles = k + 1
        if view is None or not view.full or k + 1 == len(tiling.tiles):
            return
        scored = values.astype(np.float64)
        bound = view.bound(tiling)
        self.lead = self.lead + bound.lead(k, scored)
        self.lost += bound.lost(k, scored)
        self.stopped = 1.0 - self.lost < self.job.best - MARGIN and bound.certain(self.lead, k + 1)


class Evaluator:
    """Raises births with one population and one fitness."""

    def __init__(
        self,
        population: Population,
        fitness: Fitness,
        width: int = 1,
        between: Callable[[int], None] = unheeded,
    ) -> None:
        """Takes what it raises births with.

        Args:
            population: how a genome becomes a model.
            fitness: how a model becomes scores.
            width: births that are expressed and scored as one stack, always padded to this width.
            between: is called behind each tile with the number of its datapoints; what it raises ends the work at hand.
        """
        self.population, self.fitness, self.width, self.between = (
            population,
            fitness,
            width,
            between,
        )
        self.stacks = isinstance(population, Stacks) and isinstance(fitness, ScoresStacks)
        self._looked, self._memory = -LOOK, (0, 0)

    def raise_births(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Raises births of one tiling: at most `width`, each in the slot that its number gives it."""
        started = time.perf_counter()
        lanes = []
        for job in jobs:
            slot = (job.birth.number - 1) % self.width
            lanes.append(
                _PartialScore(
                    job, self._conceive(job, Outcome(None, unscored(job.tiling.tiles), 0)), slot
                )
            )
        self._score([lane for lane in lanes if lane.outcome.failure is None])
        seconds = (time.perf_counter() - started) / len(jobs)
        if started > self._looked + LOOK:
            self._looked, self._memory = started, (memory.peak(), memory.gpu_peak())
        host, gpu = self._memory
        return [
            replace(lane.outcome, seconds=seconds, memory=host, gpu_memory=gpu) for lane in lanes
        ]

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """Scores the tiles of a stopped birth that are still missing."""
        started = time.perf_counter()
        lane = _PartialScore(replace(job, view=None), outcome, (job.birth.number - 1) % self.width)
        self._score([lane])
        return replace(lane.outcome, seconds=outcome.seconds + time.perf_counter() - started)

    def score(self, genome: Genome, tiles: Sequence[np.ndarray], split: str) -> list[np.ndarray]:
        """For each tile the scores of one genome, expressed by itself.

        Raises:
            ValueError: as `check_scores`.
        """
        model = self.population.express(genome)
        scores = []
        for tile in tiles:
            scores.append(
                check_scores(_patiently(FITNESS, self.fitness, model, tile, split), (len(tile),))
            )
            self.between(len(tile))
        return scores

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """The scores of one genome, and for each datapoint what the fitness explains of it."""
        model = self.population.express(genome)
        parts = [
            datapoints[start : start + EXPLAINED] for start in range(0, len(datapoints), EXPLAINED)
        ]
        explained: list[dict[str, Any]] = []
        for part in parts:
            explained += self.fitness.explain(model, part, split)  # type: ignore[attr-defined]
            self.between(len(part))
        if all("score" in entry for entry in explained):
            return np.array([entry["score"] for entry in explained], dtype=np.float64), explained
        scores = []
        for part in parts:
            scores.append(np.asarray(self.fitness(model, part, split), dtype=np.float64))
            self.between(0)
        return np.concatenate(scores), explained

    def _conceive(self, job: Job, outcome: Outcome) -> Outcome:
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                genome = job.birth.child(self.population)
                finite = genome.finite()
        except Exception as error:
            return replace(outcome, failure=reason(error))
        if not finite:
            return replace(outcome, failure="the child's weights are not all finite")
        return replace(outcome, genome=genome)

    def _score(self, lanes: list[_PartialScore]) -> None:
        """Takes the lanes, all of one tiling, through the tiles that they still need; failures are entered in them."""
        if not lanes:
            return
        begun, tiles = min(lane.outcome.tiles for lane in lanes), lanes[0].job.tiling.tiles
        try:
            score_tile = self._express(lanes)
            for k in range(begun, len(tiles)):
                active = [lane for lane in lanes if not lane.stopped and lane.outcome.tiles == k]
                if not active:
                    break
                values = score_tile(tiles[k], [lane.slot for lane in active])
                for lane, row in zip(active, values, strict=True):
                    lane.take(row)
                self.between(0)
        except Interrupted:
            raise
        except Exception as error:
            if len(lanes) == 1:
                lanes[0].outcome.tiles, lanes[0].outcome.failure = begun, reason(error)
                return
            for lane in lanes:  # whose fault was it? ask each alone
                lane.restart()
                self._score([lane])

    def _express(
        self, lanes: Sequence[_PartialScore]
    ) -> Callable[[np.ndarray, Sequence[int]], np.ndarray]:
        """Expresses the lanes' genomes; gives what scores a tile: (B,) indices, and n slots in need, to (n, B) scores."""
        if not self.stacks:
            model = _patiently(EXPRESS, self.population.express, lanes[0].outcome.genome)
            return lambda tile, _: check_scores(
                _patiently(FITNESS, self.fitness, model, tile, "train"), (len(tile),)
            )[None]
        genomes = {lane.slot: lane.outcome.genome for lane in lanes}
        padded = [genomes.get(slot, lanes[0].outcome.genome) for slot in range(self.width)]
        models = _patiently(EXPRESS, self.population.express_many, padded)  # type: ignore[attr-defined]
        score = self.fitness.score_many  # type: ignore[attr-defined]

        def score_tile(tile: np.ndarray, slots: Sequence[int]) -> np.ndarray:
            if not isinstance(models, Narrows):
                return check_scores(
                    _patiently(FITNESS, score, models, tile, "train"), (self.width, len(tile))
                )[slots]
            models.only(slots)
            return check_scores(
                _patiently(FITNESS, score, models, tile, "train"), (len(slots), len(tile))
            )

        return score_tile


def _patiently(what: str, call: Callable[..., Any], *arguments: object) -> Any:
    """Calls a fitness or a population, which messages name, again where its surroundings failed.

    Raises:
        Interrupted: if they fail every time.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return call(*arguments)
        except (OSError, MemoryError) as error:
            if attempt == ATTEMPTS:
                raise Interrupted(
                    f"{what} failed {ATTEMPTS} times on its surroundings: {reason(error)}"
                ) from error
            log.warning("%s failed (%s); trying again", what, reason(error))
            time.sleep(0.1 * attempt)
    raise AssertionError("unreachable")
