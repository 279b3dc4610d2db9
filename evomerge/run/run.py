"""A run: births are planned, raised and decided, strictly in order.

What happens to a birth can be read here from top to bottom: `Run.go` goes from birth to birth,
`_plan_ahead` plans them, workers raise them, `_decide` decides them, and `_keep` keeps what became of them.
"""

from __future__ import annotations

import copy
import gc
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Member, Tiling
from evomerge.contracts import Genome, Showcases
from evomerge.errors import Interrupted, Lost, Stopped, UserError
from evomerge.files import within
from evomerge.run import kept
from evomerge.run.best import Best
from evomerge.run.between import Between
from evomerge.run.checkpointer import Checkpointer
from evomerge.run.founding import found
from evomerge.run.parts import Parts
from evomerge.run.planning import planner_for
from evomerge.run.progress import Progress
from evomerge.run.snapshot import unpack
from evomerge.run.state import State
from evomerge.run.stop import StopRequest
from evomerge.run.trackers import Tracking
from evomerge.rundir.births import read_births
from evomerge.strategies.strategy import Birth, Learner, Planner, Stoppable
from evomerge.workers.job import Heeding, Job, Outcome

log = logging.getLogger(__name__)

UNTOUCHED = "nothing had begun; the same command begins again"
"""What there is to say of a run that was stopped while it began."""


class Run:
    """A run that has begun, until `stop`.

    Attributes:
        parts: what it is made of.
        state: where it is.
        checkpoints: what is kept of it.
        between: what is called between two tiles, and shows what takes long.
    """

    def __init__(
        self,
        parts: Parts,
        state: State,
        planner: Planner,
        checkpoints: Checkpointer,
        between: Between,
        resources: ExitStack,
    ) -> None:
        """Use `begin` or `resume`.

        Args:
            parts: what it is made of; its workers have started.
            state: where it is.
            planner: who plans its births.
            checkpoints: what is kept of it.
            between: what is called between two tiles.
            resources: what it holds, and lets go of at its end.
        """
        self.parts = parts
        self.state = state
        self.checkpoints = checkpoints
        self.between = between
        self._planner = planner
        self._resources = resources
        # A fitness may change the working directory, and seeds may be named from this one.
        self._folder = Path.cwd()

    @classmethod
    def begin(cls, parts: Parts, between: Between, path: Path | None, config: str) -> Run:
        """A new run: its founders are scored, and all is kept from which it can be resumed.

        Args:
            parts: what it is made of.
            between: what is called between two tiles.
            path: its directory; None for a run that is not kept.
            config: the text of its config.yaml.

        Raises:
            UserError: if the directory, or a founder, is wrong.
            Stopped: if it was asked to stop; nothing had begun then.
        """
        try:
            with _held() as resources:
                checkpoints = resources.enter_context(Checkpointer.create(path))
                _start_workers(parts, between, resources)
                founded = found(parts, between.stage)
                planner = planner_for(parts, founded.state, between.stage, lambda: founded.genomes)
                if isinstance(planner, Stoppable):
                    resources.callback(planner.stop)
                checkpoints.keep_grams(parts.population, between.stage)
                if path is not None:
                    founded.founding.keep(path)
                run = cls(parts, founded.state, planner, checkpoints, between, resources)
                run._keep_founders(founded.founders)
                # Written last: with it, the directory is a run.
                checkpoints.write_config(config)
        except Stopped:
            log.warning("stopped before the first birth: %s", UNTOUCHED)
            raise
        return run

    @classmethod
    def resume(cls, parts: Parts, between: Between, path: Path, config: str | None) -> Run:
        """The run in a directory, where its newest snapshot has it.

        Args:
            parts: what it is made of, as it was then.
            between: what is called between two tiles.
            path: its directory.
            config: the text of its config.yaml; None if that stays as it is.

        Raises:
            UserError: if there is no such run, or its data or its strategy are not as they were.
            Stopped: if it was asked to stop; nothing is lost then.
        """
        checkpoints, data, tensors = Checkpointer.reopen(path)
        try:
            with _held() as resources:
                resources.enter_context(checkpoints)
                _start_workers(parts, between, resources)
                checkpoints.restore_grams(parts.population, between.stage)
                state = unpack(data, tensors, parts.empty_archive())
                _check_data(parts, state)
                entries = read_births(path)
                births = [entry for entry in entries if "founder" not in entry]
                planner = planner_for(
                    parts,
                    state,
                    between.stage,
                    lambda: parts.workers.founders(parts.settings.seed),
                    births,
                )
                if isinstance(planner, Stoppable):
                    resources.callback(planner.stop)
                if config is not None:
                    checkpoints.write_config(config)
                run = cls(parts, state, planner, checkpoints, between, resources)
        except Stopped:
            advice = f"nothing is lost; {checkpoints.advice}"
            log.warning("stopped before the first birth: %s", advice)
            raise
        return run

    def stop(self) -> None:
        """Lets go of workers, planner and directory."""
        self._resources.close()

    def __enter__(self) -> Run:
        """Nothing is left to do: a run is whole when it has begun."""
        return self

    def __exit__(self, *_: object) -> None:
        """As `stop`."""
        self.stop()

    def go(self, stop_request: StopRequest, bar: Progress, tracking: Tracking) -> None:
        """Goes from birth to birth until something ends the run, and leaves everything in order.

        Args:
            stop_request: true once the run was asked to stop.
            bar: shows each birth.
            tracking: is told of each birth.

        Raises:
            UserError: if what the user gave fails again and again.
            Interrupted: if the environment failed.
            Stopped: if the run was asked to stop.
        """
        state, settings = self.state, self.parts.settings
        started = time.monotonic()
        seconds_before = state.seconds
        # What is here now stays. The collector need not walk through torch again and again.
        gc.freeze()
        self._resources.callback(gc.unfreeze)
        try:
            for job in state.jobs.values():
                self._submit(job)
            while (reason := self._over(time.monotonic() - started)) is None:
                if stop_request:
                    break
                self._plan_ahead()
                outcome = self.parts.workers.result(state.decided + 1)
                entry = self._decide(outcome)
                self._keep(entry)
                state.seconds = seconds_before + time.monotonic() - started
                bar.update(state, self.parts.workers)
                tracking.put(entry, state, last=state.decided == settings.births)
                self.checkpoints.save_if_due(state, settings.save_every)
            # A longer run would have planned these, and is to go on from here as if it were one.
            self._plan_ahead()
        except (UserError, Interrupted) as error:
            rescued = self.checkpoints.rescue(state)
            raise type(error)(f"{error}; {rescued}") from error
        except Stopped:
            # Between two tiles of the birth at hand, of which nothing is decided.
            if stop_request.urgent:
                raise
        if stop_request:
            rescued = self.checkpoints.rescue(state)
            log.warning("stopped after birth %d; %s", state.decided, rescued)
            raise stop_request.error()
        log.info("ended after birth %d: %s", state.decided, reason)
        self.checkpoints.save(state)

    def founders(self) -> Sequence[Genome]:
        """The founders' genomes again, from seeds that may be named from where the run began."""
        with self.in_its_folder():
            return self.parts.workers.founders(self.parts.settings.seed)

    def in_its_folder(self) -> AbstractContextManager[None]:
        """A block in the working directory in which the run began."""
        return within(self._folder)

    def _over(self, seconds: float) -> str | None:
        """Why the run is over; None while it is not."""
        state, settings = self.state, self.parts.settings
        if state.decided >= settings.births:
            return "all births are decided"
        if settings.hours is not None and seconds > 3600 * settings.hours:
            return f"{settings.hours} hours have passed"
        if settings.patience is not None and state.since_best >= settings.patience:
            return f"best has not changed for {state.since_best} births"
        return None

    def _plan_ahead(self) -> None:
        """Plans births until as many are in flight as the lookahead allows."""
        state, settings = self.state, self.parts.settings
        first = state.decided + len(state.jobs) + 1
        last = state.decided + settings.lookahead
        for number in range(first, last + 1):
            view = state.archive.view
            birth = self._planner.plan(number, view, self.parts.population, settings.seed)
            # A strategy may need the outcome of births in flight before it can plan another one.
            if birth is None:
                break
            job = self._job(birth)
            state.jobs[number] = job
            self._submit(job)

    def _job(self, birth: Birth) -> Job:
        """A birth with what its worker needs: tiles, and by what to stop scoring it early."""
        state, settings = self.state, self.parts.settings
        view = state.archive.view
        # A learner needs the mean score of every child, so none may be stopped.
        stops = settings.foresee and view.competition.bounded
        foreseen = view if stops and not isinstance(self._planner, Learner) else None
        # Best is chosen by another split then, so no training score can rule a child out.
        best = math.inf if settings.validate else state.best.train
        return Job(birth, state.tiling, foreseen, best)

    def _submit(self, job: Job) -> None:
        """Hands a planned birth to the workers, unless it lies beyond the last one."""
        if job.birth.number <= self.parts.settings.births:
            self.parts.workers.submit(job)

    def _decide(self, outcome: Outcome) -> dict[str, Any]:
        """Admits, rejects or fails the next birth; gives the log's line of it."""
        state = self.state
        job = state.jobs[state.decided + 1]
        outcome = self._completed(job, outcome)
        birth = job.birth
        tiles = job.tiling.tiles
        scored = sum(len(tile) for tile in tiles[: outcome.tiles]) / self.parts.sizes["train"]
        entry = _plan_entry(birth)
        entry |= {"seconds": round(outcome.seconds, 6), "worker": outcome.worker, "scored": scored}
        if outcome.attempts > 1:
            entry["attempts"] = outcome.attempts

        # The newcomer competes in a copy, so that whatever fails leaves the state whole.
        archive, best = copy.copy(state.archive), state.best
        failed = outcome.failure is not None
        if failed:
            entry |= _failure(outcome)
        elif outcome.tiles < len(tiles):
            entry |= {"admitted": False, "reason": "certain to be the least fit"}
        else:
            try:
                best, verdict = self._compete(archive, outcome, birth)
            except (UserError, Lost) as error:
                # It was on another split. Founders were scored there, so the fault is this child's.
                archive, best, failed = copy.copy(state.archive), state.best, True
                lost = isinstance(error, Lost)
                verdict = _failure(replace(outcome, failure=str(error), lost=lost))
            entry |= verdict
        if "train" in entry:
            entry |= archive.remarks(outcome.scores)
        entry |= {"coverage": archive.view.coverage, "entropy": archive.view.entropy}

        # Nothing above has changed the state, and nothing below fails.
        del state.jobs[birth.number]
        state.decided = birth.number
        state.since_best = 0 if best is not state.best else state.since_best + 1
        state.archive, state.best = archive, best
        state.scored += scored
        state.failures += failed
        state.failed_in_row = state.failed_in_row + 1 if failed else 0
        self._retile()
        if isinstance(self._planner, Learner):
            self._planner.tell(entry)
        return entry

    def _completed(self, job: Job, outcome: Outcome) -> Outcome:
        """The outcome of a birth, scored to its end where its worker stopped too early.

        The worker stopped by the archive from which the birth was planned. It may matter by now.
        """
        stopped = outcome.failure is None and outcome.tiles < len(job.tiling.tiles)
        if not stopped or self._hopeless(job, outcome):
            return outcome
        try:
            return self.parts.workers.finish(job, outcome)
        except Lost as error:
            return replace(outcome, failure=str(error), lost=True)

    def _hopeless(self, job: Job, outcome: Outcome) -> bool:
        """Whether a stopped birth can still not matter, with the archive as it is now."""
        view = self.state.archive.view
        if view is job.view:
            return True
        bound = view.bound(job.tiling)
        lead = np.zeros(1)
        for place, tile in enumerate(job.tiling.tiles[: outcome.tiles]):
            lead = lead + bound.lead(place, outcome.scores[tile].astype(np.float64))
        return bound.certain(lead, outcome.tiles)

    def _compete(
        self, archive: Archive, outcome: Outcome, birth: Birth
    ) -> tuple[Best, dict[str, Any]]:
        """Lets a newcomer into the archive if it is fit; gives who is best now, and the verdict."""
        assert outcome.genome is not None
        validate = self.parts.settings.validate
        member = Member(birth.number, birth.parents, outcome.genome, outcome.scores)
        train = archive.competition.mean(member.scores)
        leaver, fitness = archive.admit(member)
        admitted = leaver is not member
        verdict: dict[str, Any] = {"train": train, "fitness": fitness, "admitted": admitted}
        if not admitted:
            verdict["reason"] = "least fit"
        elif leaver is not None:
            verdict["replaced"] = leaver.id

        candidate = Best(member.id, member.genome, train, rows={"train": member.scores})
        if validate and admitted:
            [candidate] = self.parts.with_scores("validation", [candidate], self.between.stage)
        eligible = admitted or not validate
        if not eligible or candidate.chosen_by <= self.state.best.chosen_by:
            return self.state.best, verdict
        # Nothing is chosen by the test split; it is only scored for whoever has become best.
        [best] = self.parts.with_scores("test", [candidate], self.between.stage)
        return best, verdict | {"best": True} | best.other_scores

    def _retile(self) -> None:
        """Cuts the datapoints anew, the scarcest first, when so many births are decided."""
        state, settings = self.state, self.parts.settings
        if state.decided % settings.retile == 0:
            number = state.decided // settings.retile + 1
            state.tiling = Tiling.cut(number, state.archive.view.scarcity(), settings.tile)

    def _keep(self, entry: dict[str, Any]) -> None:
        """Keeps what became of a birth.

        Raises:
            UserError: if too many births in a row failed.
        """
        state = self.state
        self.checkpoints.append(entry)
        if entry.get("best"):
            self._show(state.best)
        # What the environment did is not sure to happen again, and the verdict has to stay.
        if entry.get("lost"):
            self.checkpoints.save(state)
        if state.failed_in_row >= self.parts.settings.failures:
            failure = entry["failure"]
            raise UserError(
                f"{state.failed_in_row} births in a row failed, the last with: {failure}"
            )

    def _keep_founders(self, founders: Sequence[Best]) -> None:
        """Writes the founders to the log, and the first snapshot, without which nothing is resumed."""
        for index, founder in enumerate(founders):
            entry = {"birth": 0, "id": founder.id, "founder": index, "train": founder.train}
            entry |= founder.other_scores
            if founder.id == self.state.best.id:
                entry["best"] = True
            self.checkpoints.append(entry)
            self._show(founder)
        self.checkpoints.save(self.state)

    def _show(self, member: Best) -> None:
        """Keeps what a member makes of a few datapoints, where the fitness has some to show."""
        path, fitness = self.checkpoints.path, self.parts.fitness
        if path is None or not isinstance(fitness, Showcases):
            return
        split = "test" if self.parts.sizes["test"] else "train"
        # A birth that is decided is not raised again by a resume. So what belongs to it is kept
        # even where a signal has come.
        deaf = self.between.unheard() if self.state.decided else nullcontext()
        with deaf:
            kept.keep(path, self.parts.workers, member.id, member.genome, fitness.showcase, split)


@contextmanager
def _held() -> Iterator[ExitStack]:
    """Resources that are let go of where the block fails, and held on to where it does not."""
    with ExitStack() as failed:
        yield failed.enter_context(ExitStack())
        failed.pop_all()


def _start_workers(parts: Parts, between: Callable[[int], None], resources: ExitStack) -> None:
    """Starts the workers; whoever holds the resources stops them."""
    resources.callback(parts.workers.stop)
    if isinstance(parts.workers, Heeding):
        parts.workers.heed(between)
    parts.workers.start(parts.population, parts.fitness, parts.settings.stack)


def _check_data(parts: Parts, state: State) -> None:
    """Checks that the fitness scores what it scored when the run began.

    Raises:
        UserError: if it has another number of datapoints.
    """
    before = len(state.archive.members[0].scores)
    now = parts.sizes["train"]
    if before != now:
        raise UserError(
            f"fitness: the run has scores for {before} training datapoints, there are {now} now; "
            "have the data changed?"
        )


def _plan_entry(birth: Birth) -> dict[str, Any]:
    """What the log says of how a birth was planned."""
    entry: dict[str, Any] = {"birth": birth.number, "parents": birth.parents}
    if birth.crossing is not None:
        entry |= {"ratios": birth.crossing.ratios, "splits": birth.crossing.splits}
    if birth.made is not None:
        entry["made"] = True
    return entry


def _failure(outcome: Outcome) -> dict[str, Any]:
    """The verdict on a birth that failed, for the log."""
    verdict: dict[str, Any] = {"admitted": False, "failure": outcome.failure}
    if outcome.lost:
        verdict["lost"] = True
    return verdict
