"""The loop of a run: what happens to a birth can be read here from top to bottom.

`go` goes from birth to birth, strictly in order. `_plan_ahead` plans them, workers raise them,
`_decide` admits, rejects or fails them, and `_keep` keeps what became of them.
"""

from __future__ import annotations

import copy
import gc
import logging
import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, Member
from evomerge.contracts import can
from evomerge.errors import Interrupted, Lost, Stopped, UserError
from evomerge.run.best import Best
from evomerge.run.progress import Progress
from evomerge.run.run import Run
from evomerge.run.stop import StopRequest
from evomerge.run.tracking import Tracking
from evomerge.strategies.strategy import Birth, Learner
from evomerge.workers.job import Job, Outcome

log = logging.getLogger(__name__)


class Loop:
    """Plans births, has them raised, and decides them, until something ends the run."""

    def __init__(
        self, run: Run, stop_request: StopRequest, bar: Progress, tracking: Tracking
    ) -> None:
        """Nothing happens before `go`.

        Args:
            run: a run that has begun.
            stop_request: true once it was asked to stop.
            bar: shows each birth.
            tracking: is told of each birth.
        """
        self.run = run
        self.parts = run.parts
        self.settings = run.parts.settings
        self.state = run.state
        self.planner = run.planner
        # Asked once: it takes as long as the rest of planning a small child.
        self.learner = run.planner if can(run.planner, Learner) else None
        self.stop_request = stop_request
        self.bar = bar
        self.tracking = tracking

    def go(self) -> None:
        """Goes from birth to birth until something ends the run, and leaves everything in order.

        Raises:
            UserError: if what the user gave fails again and again.
            Interrupted: if the environment failed.
            Stopped: if the run was asked to stop.
        """
        state, settings = self.state, self.settings
        started = time.monotonic()
        seconds_before = state.seconds
        # What is here now stays. The collector need not walk through torch again and again.
        gc.freeze()
        self.run.on_stop(gc.unfreeze)
        try:
            # A run that goes on has births in flight, which were planned before.
            for job in state.jobs.values():
                self._submit(job)
            while (reason := self._over(time.monotonic() - started)) is None:
                if self.stop_request:
                    break
                self._plan_ahead()
                outcome = self.parts.workers.result(state.decided + 1)
                entry = self._decide(outcome)
                self._keep(entry)
                state.seconds = seconds_before + time.monotonic() - started
                self.bar.update(state, self.parts.workers)
                self.tracking.put(entry, state, last=state.decided == settings.births)
                self.run.checkpoints.save_if_due(state, settings.save_every)
            # A longer run would have planned these, and is to go on from here as if it were one.
            self._plan_ahead()
        except (UserError, Interrupted) as error:
            rescued = self.run.checkpoints.rescue(state)
            raise type(error)(f"{error}; {rescued}") from error
        except Stopped:
            # Between two tiles of the birth at hand, of which nothing is decided.
            if self.stop_request.urgent:
                raise
        if self.stop_request:
            rescued = self.run.checkpoints.rescue(state)
            log.warning("stopped after birth %d; %s", state.decided, rescued)
            raise self.stop_request.error()
        log.info("ended after birth %d: %s", state.decided, reason)
        self.run.checkpoints.save(state)

    def _over(self, seconds: float) -> str | None:
        """Why the run is over; None while it is not."""
        state, settings = self.state, self.settings
        if state.decided >= settings.births:
            return "all births are decided"
        if settings.hours is not None and seconds > 3600 * settings.hours:
            return f"{settings.hours} hours have passed"
        if settings.patience is not None and state.since_best >= settings.patience:
            return f"best has not changed for {state.since_best} births"
        return None

    def _plan_ahead(self) -> None:
        """Plans births until as many are in flight as the lookahead allows."""
        state, settings = self.state, self.settings
        first = state.decided + len(state.jobs) + 1
        last = state.decided + settings.lookahead
        for number in range(first, last + 1):
            view = state.archive.view
            birth = self.planner.plan(number, view, self.parts.population, settings.seed)
            # A strategy may need the outcome of births in flight before it can plan another one.
            if birth is None:
                break
            job = self._job(birth)
            state.jobs[number] = job
            self._submit(job)

    def _job(self, birth: Birth) -> Job:
        """A birth with what its worker needs: tiles, and by what to stop scoring it early."""
        state, settings = self.state, self.settings
        view = state.archive.view
        # A learner needs the mean score of every child, so none may be stopped.
        stops = settings.foresee and view.competition.bounded
        foreseen = None
        if stops and self.learner is None:
            foreseen = view
        # Best is chosen by another split then, so no training score can rule a child out.
        best = math.inf if settings.validate else state.best.train
        return Job(birth, state.tiling, foreseen, best)

    def _submit(self, job: Job) -> None:
        """Hands a planned birth to the workers, unless it lies beyond the last one."""
        if job.birth.number <= self.settings.births:
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
        # What the environment did was tried again.
        if outcome.attempts > 1:
            entry["attempts"] = outcome.attempts

        # The newcomer competes in a copy, so that whatever fails leaves the state whole.
        archive = copy.copy(state.archive)
        best = state.best
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
                archive = copy.copy(state.archive)
                failed = True
                lost = isinstance(error, Lost)
                verdict = _failure(replace(outcome, failure=str(error), lost=lost))
            entry |= verdict
        # An archive that is a grid of cells says where the child lies.
        if "train" in entry:
            entry |= archive.remarks(outcome.scores)
        entry |= {"coverage": archive.view.coverage, "entropy": archive.view.entropy}

        # Nothing above has changed the state, and nothing below fails.
        del state.jobs[birth.number]
        state.decided = birth.number
        state.since_best += 1
        if best is not state.best:
            state.since_best = 0
        state.archive = archive
        state.best = best
        state.scored += scored
        state.failures += failed
        state.failed_in_row += 1
        if not failed:
            state.failed_in_row = 0
        self._retile()
        if self.learner is not None:
            self.learner.tell(entry)
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
        # The archive has moved since. The bound is asked again, with what was scored by then.
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
        validate = self.settings.validate
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
            [candidate] = self.parts.with_scores("validation", [candidate], self.run.between.stage)
        eligible = admitted or not validate
        if not eligible or candidate.chosen_by <= self.state.best.chosen_by:
            return self.state.best, verdict
        # Nothing is chosen by the test split, nor by what is watched; both are only scored for
        # whoever has become best.
        [best] = self.parts.with_scores("test", [candidate], self.run.between.stage)
        [best] = self.parts.with_watched([best], self.run.between.stage)
        return best, verdict | {"best": True} | best.other_scores

    def _retile(self) -> None:
        """Cuts the datapoints anew, the scarcest first, when so many births are decided."""
        state, settings = self.state, self.settings
        if state.decided % settings.retile == 0:
            number = state.decided // settings.retile + 1
            state.tiling = self.parts.tiling(number, state.archive.view.scarcity())

    def _keep(self, entry: dict[str, Any]) -> None:
        """Keeps what became of a birth.

        Raises:
            UserError: if too many births in a row failed.
        """
        state = self.state
        self.run.checkpoints.append(entry)
        if entry.get("best"):
            self.run.show(state.best)
        # What the environment did is not sure to happen again, and the verdict has to stay.
        if entry.get("lost"):
            self.run.checkpoints.save(state)
        if state.failed_in_row >= self.settings.failures:
            failure = entry["failure"]
            raise UserError(
                f"{state.failed_in_row} births in a row failed, the last with: {failure}"
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
