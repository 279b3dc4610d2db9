"""evolve(): the loop that plans births, has them raised, and decides them strictly in order."""

from __future__ import annotations

import copy
import gc
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from evomerge import calls, config, export, report, snapshot
from evomerge.archive import Archive, Member, Tiling
from evomerge.contracts import Fitness, Genome, Population
from evomerge.errors import Interrupted, UserError
from evomerge.progress import Progress
from evomerge.rundir import RunDir, check_free, saving, write_file
from evomerge.scoring import Job, Outcome, reason
from evomerge.snapshot import Best, State
from evomerge.stop import StopRequest
from evomerge.strategy import Birth, NaturalNiches, founders_rng
from evomerge.workers import Local, Workers

log = logging.getLogger(__name__)

SAVE_SHARE = 0.01
"""The share of the time that snapshots may take: where they are slow, they are rarer than asked for."""


@dataclass(frozen=True)
class Settings:
    """The numbers of `evolve`, which documents them."""

    births: int
    seed: int = 0
    lookahead: int = 1
    stack: int = 1
    tile: int = 128
    retile: int = 100
    foresee: bool = True
    validate: bool = False
    hours: float | None = None
    patience: int | None = None
    failures: int = 20
    save_every: float = 10.0

    def __post_init__(self) -> None:
        least = {"births": 0, "seed": 0, "lookahead": 1, "stack": 1, "tile": 1, "retile": 1, "patience": 1, "failures": 1}
        problems = []
        for name, low in least.items():
            value = getattr(self, name)
            if value is None and name == "patience":
                continue
            if isinstance(value, bool) or not isinstance(value, int | np.integer):
                problems.append(f"{name}: expected a whole number, got {value!r}")
            elif value < low:
                problems.append(f"{name}: expected a number of at least {low}, got {value}")
        if not problems and self.stack > self.lookahead:
            problems.append(f"stack: expected at most the lookahead, {self.lookahead}, since no more births are in flight; "
                            f"got {self.stack}")  # fmt: skip
        for name in ("hours", "save_every"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, str) or not value > 0):
                problems.append(f"{name}: expected a number above 0, got {value!r}")
        if problems:
            raise ValueError("\n".join(problems))


def evolve(
    population: Population,
    fitness: Fitness,
    *,
    births: int,
    strategy: NaturalNiches | None = None,
    seed: int = 0,
    lookahead: int = 1,
    stack: int = 1,
    tile: int = 128,
    retile: int = 100,
    foresee: bool = True,
    validate: bool = False,
    hours: float | None = None,
    patience: int | None = None,
    failures: int = 20,
    save_every: float = 10.0,
    workers: Workers | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
    progress: bool = True,
) -> Archive:
    """Breeds models: members compete for datapoints, parents attract each other, children are merged, the weakest leaves.

    The run depends on these arguments alone, not on who raises the births, nor on how often it was killed and resumed.

    Args:
        population: the species: its founders, and how a genome becomes a model.
        fitness: scores a model on each datapoint.
        births: number of the last birth.
        strategy: which births to plan; `NaturalNiches()` if None.
        seed: of all randomness.
        lookahead: births in flight at once; 1 is the sequential algorithm of the paper.
        stack: births that are expressed and scored as one stack, where the population can (`express_many`); it decides the
            last bits of a score, so it is part of what a run is.
        tile: datapoints that are scored in one call.
        retile: births after which the datapoints are cut anew, the scarcest first.
        foresee: stop scoring a child that is certain to be rejected. The archive is the same either way.
        validate: choose best by the "validation" split, among the children that were admitted.
        hours: stop after this time, ready to be resumed.
        patience: stop when best has not changed for so many births.
        failures: stop when so many births in a row fail.
        save_every: seconds between snapshots, which is how much work a kill may cost.
        workers: who raises births; `Local()`, this process, if None.
        run_dir: where to keep the run; nothing is written if None.
        resume: go on with the run in `run_dir`. Workers, a higher `births`, `hours`, `patience` and `save_every` may be new;
            every other argument has to be as it was.
        progress: show a progress bar, or a line now and then where there is no terminal.

    Returns:
        The archive.

    Raises:
        UserError: if an argument, a founder or the run directory is wrong.
        Interrupted: if the environment failed; the run directory has all that was decided.
        KeyboardInterrupt: on Ctrl-C or SIGTERM, with the run saved.
    """
    try:
        settings = Settings(
            births, seed, lookahead, stack, tile, retile, foresee, validate, hours, patience, failures, save_every
        )
    except ValueError as error:
        raise UserError(str(error)) from None
    strategy = NaturalNiches() if strategy is None else strategy
    workers = Local() if workers is None else workers
    for name, part, needed in (("strategy", strategy, "plan"), ("workers", workers, "submit")):
        if not hasattr(part, needed):
            raise UserError(f"{name}: expected an object with a method {needed}, got {part!r}")
    if run_dir is not None and not isinstance(run_dir, str | Path):
        raise UserError(f"run_dir: expected a path, got {run_dir!r}")
    path = None if run_dir is None else Path(run_dir)
    call = calls.describe(population=population, fitness=fitness, strategy=strategy, workers=workers, **vars(settings))
    if resume and path is None:
        raise UserError("resume: expected the run_dir of the run to go on with, got none")
    same = True
    if path is not None and resume:
        same = config.check_same(path, call)
    elif path is not None:
        check_free(path)
    evolution = Evolution(population, fitness, strategy, workers, settings)
    with StopRequest() as stop_request:
        workers.start(population, fitness, stack)
        try:
            if resume:
                assert path is not None
                evolution.run_dir, data, tensors = RunDir.reopen(path)
                evolution.state = snapshot.unpack(data, tensors, evolution.empty_archive())
                evolution.check_resumed()
                if not same:  # so that the next resume goes on from this call, not from the one before
                    with saving(path):
                        write_file(path / "config.yaml", config.to_yaml(call))
            else:
                evolution.found()
                if path is not None:
                    evolution.run_dir = RunDir.create(path)
                evolution.record_founders()
                if path is not None:  # from here on it is a run that can be resumed
                    with saving(path):
                        write_file(path / "config.yaml", config.to_yaml(call))
            gc.freeze()  # what is here now stays: the collector need not walk through torch again and again
            with Progress(settings.births, settings.hours, shown=progress) as bar:
                evolution.run(stop_request, bar)
        finally:
            gc.unfreeze()
            workers.stop()
            if evolution.run_dir is not None:
                evolution.run_dir.close()
    return evolution.state.archive


class Evolution:
    """One run: its state, and the steps that lead from one state to the next."""

    state: State

    def __init__(
        self, population: Population, fitness: Fitness, strategy: NaturalNiches, workers: Workers, settings: Settings
    ) -> None:
        """Checks what can be checked before anything is loaded for long.

        Raises:
            UserError: if the parts do not fit each other.
        """
        self.population, self.fitness, self.strategy, self.workers = population, fitness, strategy, workers
        self.settings = settings
        self.run_dir: RunDir | None = None
        self.sizes = {split: _users("fitness", lambda: _size(fitness, split)) for split in ("train", "validation", "test")}  # noqa: B023
        if self.sizes["train"] < 1:
            raise UserError("fitness: the training split has no datapoints")
        if settings.validate and not self.sizes["validation"]:
            raise UserError("validate: the fitness has no validation split; set one aside, or validate: false")
        if settings.stack > 1:
            for part, name in ((population, "express_many"), (fitness, "score_many")):
                if not hasattr(part, name):
                    raise UserError(f"stack: {settings.stack} needs {type(part).__name__}.{name}, which it has not; use stack: 1")
        self.axis = _users("population", lambda: population.axis)
        _users("strategy", lambda: strategy.fit(self.axis))
        self._saved = self._save_cost = 0.0

    def empty_archive(self) -> Archive:
        """An archive as the strategy wants it, with the fitness's weights.

        Raises:
            UserError: if the weights are not one positive number for each datapoint.
        """
        return self.strategy.archive(self._weights("train"))

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

    def found(self) -> None:
        """Scores the founders and fills the archive with them.

        Raises:
            UserError: if a founder cannot be made or scored, or there are fewer than two.
        """
        archive = self.empty_archive()
        founders = _users("population", lambda: self.population.founders(founders_rng(self.settings.seed)))
        if len(founders) < 2:
            raise UserError(f"population: expected at least two founders, got {len(founders)}")
        tiling = Tiling.cut(0, np.arange(self.sizes["train"]), self.settings.tile)
        members = []
        for index, genome in enumerate(founders):
            where = f"founder {index}"
            if not genome.finite():
                raise UserError(f"population: {where} has numbers that are not finite")
            scores = _users(f"fitness of {where}", lambda: self.workers.score(genome, tiling.tiles, "train"))  # noqa: B023
            members.append(Member(1 - len(founders) + index, (), genome, scores))
        for member in members:
            archive.admit(member)
        candidates = [Best(member.id, member.genome, archive.competition.mean(member.scores)) for member in members]
        if self.settings.validate:
            candidates = [replace(best, validation=self._mean(best.genome, "validation")) for best in candidates]
        candidates = [self._tested(best) for best in candidates]
        best = max(candidates, key=lambda best: best.chosen_by)
        self.state = State(archive, best, Tiling.cut(1, archive.view.scarcity(), self.settings.tile))
        self.founders = candidates

    def record_founders(self) -> None:
        """Writes the founders to the log, and the first snapshot, without which there is nothing to resume."""
        best = self.state.best
        for index, founder in enumerate(self.founders):
            entry = {"birth": 0, "id": founder.id, "founder": index, "train": founder.train} | _other_scores(founder)
            self._append(entry | ({"best": True} if founder.id == best.id else {}))
        self._save()

    def run(self, stop_request: StopRequest, bar: Progress) -> None:
        """Plans and decides births until the last one, or until something ends the run, and leaves everything in order."""
        state, started, before = self.state, time.monotonic(), self.state.seconds
        for job in state.jobs.values():
            self._submit(job)
        try:
            while (why := self._over(state, time.monotonic() - started)) is None and not stop_request:
                self.plan_ahead()
                self.decide(self.workers.result(state.decided + 1))
                state.seconds = before + time.monotonic() - started
                bar.update(state)
                if time.monotonic() - self._saved > max(self.settings.save_every, self._save_cost / SAVE_SHARE):
                    self._save()
            self.plan_ahead()  # as a longer run would have, so that it can go on from here
        except (UserError, Interrupted) as error:
            raise type(error)(f"{error}; {self._rescue()}") from error
        if stop_request:
            log.warning("stopped after birth %d; %s", state.decided, self._rescue())
            raise stop_request.error()
        log.info("ended after birth %d: %s", state.decided, why)
        self._save()
        self.conclude()

    def plan_ahead(self) -> None:
        """Plans births until as many are in flight as the lookahead allows."""
        state, settings = self.state, self.settings
        for number in range(state.decided + len(state.jobs) + 1, state.decided + settings.lookahead + 1):
            view = state.archive.view
            birth = self.strategy.plan(number, view, self.axis, settings.seed)
            foreseen = settings.foresee and view.competition.bounded
            best = math.inf if settings.validate else state.best.train
            state.jobs[number] = Job(birth, state.tiling, view if foreseen else None, best)
            self._submit(state.jobs[number])

    def decide(self, outcome: Outcome) -> None:
        """Admits, rejects or fails the next birth.

        Raises:
            UserError: if too many births in a row have failed.
        """
        state = self.state
        job = state.jobs[state.decided + 1]
        tiles = job.tiling.tiles
        if outcome.failure is None and outcome.tiles < len(tiles) and not self._hopeless(job, outcome):
            outcome = self.workers.finish(job, outcome)
        birth, share = job.birth, sum(map(len, tiles[: outcome.tiles])) / self.sizes["train"]
        archive, best = copy.copy(state.archive), state.best
        entry: dict[str, Any] = {"birth": birth.number, "parents": birth.parents}
        if birth.crossing is not None:
            entry |= {"ratios": birth.crossing.ratios, "splits": birth.crossing.splits}
        entry |= {"seconds": round(outcome.seconds, 6), "worker": outcome.worker, "scored": share}
        if outcome.failure is not None:
            entry |= {"admitted": False, "failure": outcome.failure}
        elif outcome.tiles < len(tiles):
            entry |= {"admitted": False, "reason": "certain to be the least fit"}
        else:
            try:
                best, verdict = self._compete(archive, outcome, birth)
            except UserError as error:  # on another split; founders were scored there, so it is this child's
                archive, best, outcome = copy.copy(state.archive), state.best, replace(outcome, failure=str(error))
                verdict = {"admitted": False, "failure": str(error)}
            entry |= verdict
        entry |= {"coverage": archive.view.coverage, "entropy": archive.view.entropy}

        # Nothing above changes the state, so whatever fails there leaves it whole; nothing below fails but the disk.
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
            state.tiling = Tiling.cut(state.decided // self.settings.retile + 1, order, self.settings.tile)
        self._append(entry)
        if state.failed_in_row >= self.settings.failures:
            raise UserError(f"{state.failed_in_row} births in a row failed, the last with: {outcome.failure}")

    def conclude(self) -> None:
        """Leaves best, summary and report in the run directory."""
        if self.run_dir is None:
            return
        path = self.run_dir.path

        def write_best() -> None:
            with saving(path):
                export.write_best(path, self.population, self.fitness, self.state, self.sizes["test"])

        with saving(path):
            write_file(path / "summary.json", export.summary(self.state))
        _users("best", write_best)
        with saving(path):
            report.write(path)

    def _compete(self, archive: Archive, outcome: Outcome, birth: Birth) -> tuple[Best, dict[str, Any]]:
        """Lets a newcomer into the archive if it is fit; gives who is best now, and the verdict for the log."""
        best, competition = self.state.best, archive.competition
        assert outcome.genome is not None
        member = Member(birth.number, birth.parents, outcome.genome, outcome.scores)
        train = competition.mean(member.scores)
        leaver, fitness = archive.admit(member)
        verdict: dict[str, Any] = {"train": train, "fitness": fitness, "admitted": leaver is not member}
        if leaver is member:
            verdict["reason"] = "least fit"
        elif leaver is not None:
            verdict["replaced"] = leaver.id
        candidate = Best(member.id, member.genome, train)
        if self.settings.validate and leaver is not member:
            candidate = replace(candidate, validation=self._mean(member.genome, "validation"))
        if candidate.chosen_by > best.chosen_by and not (self.settings.validate and leaver is member):
            best = self._tested(candidate)
            verdict |= {"best": True} | _other_scores(best)
        return best, verdict

    def _hopeless(self, job: Job, outcome: Outcome) -> bool:
        """Whether a stopped birth can still not matter, with the archive as it is now."""
        view, tiles = self.state.archive.view, job.tiling.tiles[: outcome.tiles]
        if view is job.view:
            return True
        scored = [outcome.scores[tile].astype(np.float64) for tile in tiles]
        bound = view.bound(job.tiling)
        return bound.certain(sum((bound.lead(k, values) for k, values in enumerate(scored)), np.zeros(1)), outcome.tiles)

    def _tested(self, best: Best) -> Best:
        """A new best with its score on the test split, by which nothing is chosen."""
        return replace(best, test=self._mean(best.genome, "test")) if self.sizes["test"] else best

    def _mean(self, genome: Genome, split: str) -> float:
        """The weighted mean score on a split."""
        tiles = Tiling.cut(0, np.arange(self.sizes[split]), self.settings.tile).tiles
        scores = _users(f"fitness on the {split} split", lambda: self.workers.score(genome, tiles, split)).astype(np.float64)
        return float(np.average(scores, weights=self._weights(split)))

    def _weights(self, split: str) -> np.ndarray | None:
        """The fitness's weights of a split's datapoints, None if it has none."""
        if not hasattr(self.fitness, "weights"):
            return None
        size, call = self.sizes[split], self.fitness.weights
        weights: np.ndarray = _users(f"fitness.weights({split!r})", lambda: np.asarray(call(split), dtype=np.float64))
        if weights.shape != (size,):
            raise UserError(f"fitness.weights({split!r}): expected {size} numbers above 0, got shape {weights.shape}")
        wrong = weights[~(np.isfinite(weights) & (weights > 0))]
        if wrong.size:
            raise UserError(
                f"fitness.weights({split!r}): expected {size} numbers above 0, {wrong.size} are not, such as {wrong[0]}"
            )
        return weights

    def _over(self, state: State, seconds: float) -> str | None:
        """Why the run is over, None while it is not."""
        settings = self.settings
        if state.decided >= settings.births:
            return "all births are decided"
        if settings.hours is not None and seconds > 3600 * settings.hours:
            return f"{settings.hours} hours have passed"
        if settings.patience is not None and state.since_best >= settings.patience:
            return f"best has not changed for {state.since_best} births"
        return None

    def _submit(self, job: Job) -> None:
        if job.birth.number <= self.settings.births:
            self.workers.submit(job)

    def _append(self, entry: dict[str, Any]) -> None:
        if self.run_dir is not None:
            self.run_dir.append(entry)

    def _save(self) -> None:
        if self.run_dir is None:
            return
        started = time.monotonic()
        self.run_dir.save(*snapshot.pack(self.state))
        self._saved = time.monotonic()
        self._save_cost = self._saved - started

    def _rescue(self) -> str:
        """Saves what there is, and says in words what is saved and how to go on."""
        if self.run_dir is None:
            return "nothing is saved, since there is no run_dir"
        resume = f"go on with `evomerge resume {self.run_dir.path}`"
        try:
            self._save()
        except Interrupted:
            return f"what was saved before is still there; {resume}"
        return f"everything up to birth {self.state.decided} is saved; {resume}"


def _other_scores(best: Best) -> dict[str, Any]:
    """Mean scores on the splits that the run has besides the training split."""
    scores = {"validation": best.validation, "test": best.test}
    return {name: score for name, score in scores.items() if score is not None}


def _size(fitness: Fitness, split: str) -> int:
    """The size of a split.

    Raises:
        ValueError: if it is not a whole number of at least 0.
    """
    size = fitness.size(split)
    if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 0:
        raise ValueError(f"size({split!r}): expected a whole number of at least 0, got {size!r}")
    return int(size)


def _users(where: str, call: Callable[[], Any]) -> Any:
    """Calls what the user gave, and says where it was if it raises.

    Raises:
        UserError: instead of whatever was raised.
    """
    try:
        return call()
    except (UserError, Interrupted):
        raise
    except (ValueError, OSError, ImportError) as error:
        raise UserError(f"{where}: {error}") from error
    except Exception as error:
        raise UserError(f"{where}: {reason(error)}") from error
