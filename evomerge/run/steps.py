"""The steps of a run: founding, planning, deciding. Each leads from one state to the next; none writes a file or reads a clock."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Member, Tiling
from evomerge.contracts import Fitness, Genome, Population, Weighted
from evomerge.datapoints import groups
from evomerge.errors import Lost, UserError, as_user_error
from evomerge.genome.groups import stretches_along
from evomerge.run.settings import Settings
from evomerge.run.state import Best, State
from evomerge.rundir.founders import Founding
from evomerge.strategies.strategy import Birth, Learner, Planner, Stoppable, Strategy
from evomerge.workers.job import Job, Outcome, Workers

Stage = Callable[..., AbstractContextManager[None]]
"""(what, size) to what stands around a step that may take long, as `Between.stage`."""


class Steps:
    """One run: its state, and the steps that lead from one state to the next."""

    state: State
    planner: Planner
    founders: list[Best]
    founding: Founding

    def __init__(
        self,
        population: Population,
        fitness: Fitness,
        strategy: Strategy,
        workers: Workers,
        settings: Settings,
        stage: Stage = lambda _what, _size=0: nullcontext(),
    ) -> None:
        """Checks what can be checked before anything is loaded for long.

        Args:
            population: as for `evolve`.
            fitness: as for `evolve`.
            strategy: as for `evolve`.
            workers: as for `evolve`.
            settings: the numbers of the run.
            stage: gives what stands around a step that may take long, from its name and the datapoints that are scored in it.

        Raises:
            UserError: if the parts do not fit each other.
        """
        self.population, self.fitness, self.strategy, self.workers = (
            population,
            fitness,
            strategy,
            workers,
        )
        self.settings, self.stage = settings, stage
        self.sizes = {
            split: as_user_error("fitness", lambda: _size(fitness, split))
            for split in ("train", "validation", "test")
        }
        if self.sizes["train"] < 1:
            raise UserError("fitness: the training split has no datapoints")
        if settings.validate and not self.sizes["validation"]:
            raise UserError(
                "validate: the fitness has no validation split; set one aside, or validate: false"
            )
        if settings.stack > 1:
            for part, name in ((population, "express_many"), (fitness, "score_many")):
                if not hasattr(part, name):
                    raise UserError(
                        f"stack: {settings.stack} needs {type(part).__name__}.{name}, which it has not; use stack: 1"
                    )
        self.axis = as_user_error("population", lambda: population.axis)
        as_user_error("strategy", lambda: strategy.fit(population, fitness))

    def empty_archive(self) -> Archive:
        """An archive as the strategy wants it, with the fitness's weights.

        Raises:
            UserError: if the weights are not one positive number for each datapoint.
        """
        return self.strategy.archive(self._weights("train"), self.fitness)

    def check_resumed(self) -> None:
        """Checks that the fitness scores what it scored when the run began.

        Raises:
            UserError: if it has another number of datapoints.
        """
        before, now = len(self.state.archive.members[0].scores), self.sizes["train"]
        if before != now:
            raise UserError(
                f"fitness: the run has scores for {before} training datapoints, there are {now} now; have the data changed?"
            )

    def begin(
        self, founders: Callable[[], Sequence[Genome]], log: Iterable[Mapping[str, Any]] = ()
    ) -> None:
        """Has the strategy make ready to plan, and tells it what was decided before."""
        begin = self.strategy.begin
        with self.stage("making ready to plan"):
            self.planner = as_user_error(
                "strategy",
                lambda: begin(self.population, self.fitness, founders, self.settings.seed),
            )
        if isinstance(self.planner, Learner):
            for entry in log:
                self.planner.tell(entry)
            self._check_again()

    def _check_again(self) -> None:
        """Checks that who was told what was decided comes to the births in flight again.

        Raises:
            UserError: if not.
        """
        for birth in (job.birth for job in self.state.jobs.values() if job.birth.made is not None):
            again = self.planner.plan(
                birth.number, self.state.archive.view, self.population, self.settings.seed
            )
            before, now = (
                of.made.tensors() if of is not None and of.made is not None else {}
                for of in (birth, again)
            )
            if before.keys() != now.keys() or any(
                not before[name].equal(now[name]) for name in before
            ):
                raise UserError(f"strategy: it does not come to birth {birth.number} again as it was; the run began with another version, "
                                "or on another kind of machine, and cannot go on with this one")  # fmt: skip

    def stop(self) -> None:
        """Lets go of what the strategy began."""
        if hasattr(self, "planner") and isinstance(self.planner, Stoppable):
            self.planner.stop()

    def found(self) -> None:
        """Scores the founders and fills the archive with them.

        Raises:
            UserError: if a founder cannot be made or scored, or there are fewer than two.
        """
        archive = self.empty_archive()
        with self.stage("making the founders"):
            founders = as_user_error(
                "population", lambda: self.workers.founders(self.settings.seed)
            )
        if len(founders) < 2:
            raise UserError(f"population: expected at least two founders, got {len(founders)}")
        tiling = Tiling.cut(0, np.arange(self.sizes["train"]), self.settings.tile)
        for index, genome in enumerate(founders):
            if not genome.finite():
                raise UserError(f"population: founder {index} has numbers that are not finite")
        rows = self.workers.score(founders, tiling.tiles, "train")
        members = []
        for index, genome in enumerate(founders):
            with self.stage(f"founder {index + 1} of {len(founders)}", self.sizes["train"]):
                scores = as_user_error(f"fitness of founder {index}", lambda: next(rows))
            members.append(Member(1 - len(founders) + index, (), genome, scores))
        for member in members:
            archive.admit(member)
        train = archive.competition.mean
        candidates = [
            Best(member.id, member.genome, train(member.scores), rows={"train": member.scores})
            for member in members
        ]
        if self.settings.validate:
            candidates = self._scored("validation", candidates)
        candidates = self._scored("test", candidates)
        best = max(candidates, key=lambda best: best.chosen_by)
        self.state = State(
            archive, best, Tiling.cut(1, archive.view.scarcity(), self.settings.tile)
        )
        self.founders = candidates
        self.founding = self._founding()
        self.begin(lambda: founders)

    def plan_ahead(self) -> None:
        """Plans births until as many are in flight as the lookahead allows."""
        state, settings = self.state, self.settings
        for number in range(
            state.decided + len(state.jobs) + 1, state.decided + settings.lookahead + 1
        ):
            view = state.archive.view
            birth = self.planner.plan(number, view, self.population, settings.seed)
            if birth is None:
                break
            foreseen = (
                settings.foresee
                and view.competition.bounded
                and not isinstance(self.planner, Learner)
            )
            best = math.inf if settings.validate else state.best.train
            state.jobs[number] = Job(birth, state.tiling, view if foreseen else None, best)
            self.submit(state.jobs[number])

    def submit(self, job: Job) -> None:
        """Hands a planned birth to the workers, unless it lies beyond the last one."""
        if job.birth.number <= self.settings.births:
            self.workers.submit(job)

    def decide(self, outcome: Outcome) -> dict[str, Any]:
        """Admits, rejects or fails the next birth; gives the log's line of it."""
        state = self.state
        job = state.jobs[state.decided + 1]
        tiles = job.tiling.tiles
        if (
            outcome.failure is None
            and outcome.tiles < len(tiles)
            and not self._hopeless(job, outcome)
        ):
            try:
                outcome = self.workers.finish(job, outcome)
            except Lost as error:
                outcome = replace(outcome, failure=str(error), lost=True)
        birth, share = job.birth, sum(map(len, tiles[: outcome.tiles])) / self.sizes["train"]
        archive, best = copy.copy(state.archive), state.best
        entry: dict[str, Any] = {"birth": birth.number, "parents": birth.parents}
        if birth.crossing is not None:
            entry |= {"ratios": birth.crossing.ratios, "splits": birth.crossing.splits}
        if birth.made is not None:
            entry["made"] = True
        entry |= {"seconds": round(outcome.seconds, 6), "worker": outcome.worker, "scored": share}
        if outcome.attempts > 1:
            entry["attempts"] = outcome.attempts
        if outcome.failure is not None:
            entry |= _failure(outcome)
        elif outcome.tiles < len(tiles):
            entry |= {"admitted": False, "reason": "certain to be the least fit"}
        else:
            try:
                best, verdict = self._compete(archive, outcome, birth)
            except (
                UserError,
                Lost,
            ) as error:  # on another split; founders were scored there, so it is this child's
                archive, best = copy.copy(state.archive), state.best
                outcome = replace(outcome, failure=str(error), lost=isinstance(error, Lost))
                verdict = _failure(outcome)
            entry |= verdict
        if "train" in entry:
            entry |= archive.remarks(outcome.scores)
        entry |= {"coverage": archive.view.coverage, "entropy": archive.view.entropy}

        # Nothing above changes the state, so whatever fails there leaves it whole; nothing below fails.
        del state.jobs[birth.number]
        state.decided = birth.number
        state.since_best = 0 if best is not state.best else state.since_best + 1
        state.archive, state.best = archive, best
        state.scored += share
        failed = outcome.failure is not None
        state.failures += failed
        state.failed_in_row = state.failed_in_row + 1 if failed else 0
        if state.decided % self.settings.retile == 0:
            order = archive.view.scarcity()
            state.tiling = Tiling.cut(
                state.decided // self.settings.retile + 1, order, self.settings.tile
            )
        if isinstance(self.planner, Learner):
            self.planner.tell(entry)
        return entry

    def _compete(
        self, archive: Archive, outcome: Outcome, birth: Birth
    ) -> tuple[Best, dict[str, Any]]:
        """Lets a newcomer into the archive if it is fit; gives who is best now, and the verdict for the log."""
        best, competition = self.state.best, archive.competition
        assert outcome.genome is not None
        member = Member(birth.number, birth.parents, outcome.genome, outcome.scores)
        train = competition.mean(member.scores)
        leaver, fitness = archive.admit(member)
        verdict: dict[str, Any] = {
            "train": train,
            "fitness": fitness,
            "admitted": leaver is not member,
        }
        if leaver is member:
            verdict["reason"] = "least fit"
        elif leaver is not None:
            verdict["replaced"] = leaver.id
        candidate = Best(member.id, member.genome, train, rows={"train": member.scores})
        if self.settings.validate and leaver is not member:
            [candidate] = self._scored("validation", [candidate])
        if candidate.chosen_by > best.chosen_by and not (
            self.settings.validate and leaver is member
        ):
            [best] = self._scored("test", [candidate])  # by which nothing is chosen
            verdict |= {"best": True} | best.other_scores
        return best, verdict

    def _hopeless(self, job: Job, outcome: Outcome) -> bool:
        """Whether a stopped birth can still not matter, with the archive as it is now."""
        view, tiles = self.state.archive.view, job.tiling.tiles[: outcome.tiles]
        if view is job.view:
            return True
        scored = [outcome.scores[tile].astype(np.float64) for tile in tiles]
        bound = view.bound(job.tiling)
        return bound.certain(
            sum((bound.lead(k, values) for k, values in enumerate(scored)), np.zeros(1)),
            outcome.tiles,
        )

    def _scored(self, split: str, candidates: Sequence[Best]) -> list[Best]:
        """Who may be best, with their weighted mean scores on another split, if there is such a split."""
        if not self.sizes[split]:
            return list(candidates)
        tiles, weights = (
            Tiling.cut(0, np.arange(self.sizes[split]), self.settings.tile).tiles,
            self._weights(split),
        )
        rows = self.workers.score([best.genome for best in candidates], tiles, split)
        scores = []
        for place, best in enumerate(candidates, start=1):
            who = f"birth {best.id}" if best.id > 0 else f"founder {place} of {len(candidates)}"
            with self.stage(f"{who}, {split} split", self.sizes[split]):
                scores.append(as_user_error(f"fitness on the {split} split", lambda: next(rows)))
        means = [float(np.average(row.astype(np.float64), weights=weights)) for row in scores]
        return [
            replace(best, rows={**best.rows, split: row}, **dict[str, Any]({split: mean}))
            for best, row, mean in zip(candidates, scores, means, strict=True)
        ]

    def _founding(self) -> Founding:
        """What a report needs of the beginning."""
        splits = list(self.founders[0].rows)
        scores = {
            split: np.stack([founder.rows[split] for founder in self.founders]) for split in splits
        }
        weights = {
            split: weights for split in splits if (weights := self._weights(split)) is not None
        }
        return Founding(
            scores,
            weights,
            *groups(self.fitness, {split: self.sizes[split] for split in splits}),
            stretches_along(self.axis),
        )

    def _weights(self, split: str) -> np.ndarray | None:
        """The fitness's weights of a split's datapoints, None if it has none."""
        if not isinstance(self.fitness, Weighted):
            return None
        size, call = self.sizes[split], self.fitness.weights
        weights: np.ndarray = as_user_error(
            f"fitness.weights({split!r})", lambda: np.asarray(call(split), dtype=np.float64)
        )
        if weights.shape != (size,):
            raise UserError(
                f"fitness.weights({split!r}): expected {size} numbers above 0, got shape {weights.shape}"
            )
        wrong = weights[~(np.isfinite(weights) & (weights > 0))]
        if wrong.size:
            raise UserError(
                f"fitness.weights({split!r}): expected {size} numbers above 0, {wrong.size} are not, such as {wrong[0]}"
            )
        return weights


def _failure(outcome: Outcome) -> dict[str, Any]:
    """The verdict on a birth that failed, for the log."""
    return {"admitted": False, "failure": outcome.failure} | (
        {"lost": True} if outcome.lost else {}
    )


def _size(fitness: Fitness, split: str) -> int:
    """The size of a split.

    Raises:
        ValueError: if it is not a whole number of at least 0.
    """
    size = fitness.size(split)
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
        raise ValueError(f"size({split!r}): expected a whole number of at least 0, got {size!r}")
    return int(size)
