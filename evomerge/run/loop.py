"""A run's loop: from birth to birth until something ends the run; what of it is kept in its directory, and what it leaves there."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from evomerge import memory
from evomerge.contracts import Explains, Genome, Recipes, Showcases
from evomerge.errors import Interrupted, Stopped, UserError, as_user_error, reason
from evomerge.export import export
from evomerge.files import saving, within, write_file
from evomerge.report import report
from evomerge.report.sections import changes, gallery
from evomerge.run.between import Between
from evomerge.run.progress import Progress
from evomerge.run.state import Best, pack, unpack
from evomerge.run.steps import Steps
from evomerge.run.stop import StopRequest
from evomerge.run.trackers import Tracking
from evomerge.rundir.births import read_births
from evomerge.rundir.founders import Founding
from evomerge.rundir.places import ANSWERS, CHANGES
from evomerge.rundir.rundir import RunDir
from evomerge.workers.job import Watched

log = logging.getLogger(__name__)

SAVE_SHARE = 0.01
"""The share of the time that snapshots may take: where they are slow, they are rarer than asked for."""


class Loop:
    """Goes from birth to birth until something ends the run, and keeps the run in its directory, if it has one."""

    def __init__(self, steps: Steps, tracking: Tracking, between: Between, start: Path) -> None:
        """Nothing is kept until there is a run_dir; `start` is the working directory, which a fitness may change."""
        self.steps, self.tracking, self.between, self.start = steps, tracking, between, start
        self.run_dir: RunDir | None = None
        self._saved = self._save_cost = 0.0

    def open(self, path: Path, resume: bool) -> None:
        """Opens the run directory for this process alone: a new one, or the one of a run to go on with.

        Raises:
            UserError: as `RunDir.create` and `RunDir.reopen`.
        """
        if resume:
            self.run_dir, self._data, self._tensors = RunDir.reopen(path)
        else:
            self.run_dir = RunDir.create(path)

    def found(self) -> None:
        """Founds a new run, and keeps what only its beginning knows."""
        self.steps.found()
        if self.run_dir is not None:
            self.keep_grams()
            self.steps.founding.keep(self.run_dir.path)
        self.record_founders()

    def go_on(self) -> None:
        """Takes up a run where its snapshot has it.

        Raises:
            UserError: if its data or its strategy are not as they were.
        """
        assert self.run_dir is not None
        steps = self.steps
        self.restore_grams()
        steps.state = unpack(self._data, self._tensors, steps.empty_archive())
        steps.check_resumed()
        log_of_births = (
            entry for entry in read_births(self.run_dir.path) if "founder" not in entry
        )
        steps.begin(lambda: steps.workers.founders(steps.settings.seed), log_of_births)

    def record_founders(self) -> None:
        """Writes the founders to the log, and the first snapshot, without which there is nothing to resume."""
        best = self.steps.state.best
        for index, founder in enumerate(self.steps.founders):
            entry = {
                "birth": 0,
                "id": founder.id,
                "founder": index,
                "train": founder.train,
            } | founder.other_scores
            self._append(entry | ({"best": True} if founder.id == best.id else {}))
            self._show(founder)
        self._save()

    def keep_grams(self) -> None:
        """Keeps the seeds' Gram matrices, where genomes are recipes."""
        population: Any = self.steps.population
        if self.run_dir is not None and isinstance(population, Recipes):
            with self.between.stage("comparing the founders"):
                self.run_dir.keep_grams(population.grams.units)

    def restore_grams(self) -> None:
        """Gives the population what `keep_grams` kept; keeps it again if that is damaged."""
        population: Any = self.steps.population
        if self.run_dir is not None and isinstance(population, Recipes):
            units = self.run_dir.grams()
            if units is None:
                self.keep_grams()
            else:
                as_user_error("population", lambda: population.restore_grams(units))

    def run(self, stop_request: StopRequest, bar: Progress) -> None:
        """Plans and decides births until the last one, or until something ends the run, and leaves everything in order."""
        steps, state, settings = self.steps, self.steps.state, self.steps.settings
        started, before = time.monotonic(), state.seconds
        try:
            for job in state.jobs.values():
                steps.submit(job)
            while (why := self._over(time.monotonic() - started)) is None and not stop_request:
                steps.plan_ahead()
                entry = steps.decide(steps.workers.result(state.decided + 1))
                self._append(entry)
                if entry.get("best"):
                    self._show(state.best)
                if entry.get(
                    "lost"
                ):  # what the environment did is not sure to happen again, and the verdict has to stay
                    self._save()
                if state.failed_in_row >= settings.failures:
                    raise UserError(
                        f"{state.failed_in_row} births in a row failed, the last with: {entry['failure']}"
                    )
                state.seconds = before + time.monotonic() - started
                bar.update(state, steps.workers)
                self.tracking.put(entry, state, last=state.decided == settings.births)
                if time.monotonic() - self._saved > max(
                    settings.save_every, self._save_cost / SAVE_SHARE
                ):
                    self._save()
            steps.plan_ahead()  # as a longer run would have, so that it can go on from here
        except (UserError, Interrupted) as error:
            raise type(error)(f"{error}; {self._rescue()}") from error
        except Stopped:  # between two tiles of the birth at hand, of which nothing is decided
            if stop_request.urgent:
                raise
        if stop_request:
            log.warning("stopped after birth %d; %s", state.decided, self._rescue())
            raise stop_request.error()
        log.info("ended after birth %d: %s", state.decided, why)
        self._save()

    @property
    def advice(self) -> str:
        """How to go on with the run."""
        assert self.run_dir is not None
        return f"go on with `evomerge resume {shlex.quote(str(self.run_dir.path))}`"

    def conclude(self) -> None:
        """Leaves best, summary and report in the run directory; lets go of the workers before the best is expressed here.

        Raises:
            Stopped: if the run was asked to stop before the best is written.
        """
        try:
            self.between(0)
            texts, status = self._explained()
        except Stopped:
            kept = (
                "nothing is kept, since there is no run_dir"
                if self.run_dir is None
                else f"for the best member, {self.advice}"
            )
            log.warning("stopped at the end, all births are decided; %s", kept)
            raise
        self.steps.workers.stop()
        if self.run_dir is not None:
            self._leave(self.run_dir.path, texts, status)

    def _explained(self) -> tuple[dict[str, str | None], dict[str, Any] | None]:
        """Texts to lie beside the best, by the names of their files; and what the workers say of themselves."""
        steps, texts = self.steps, dict[str, str | None]()
        status = dict(steps.workers.status()) if isinstance(steps.workers, Watched) else None
        if self.run_dir is not None and steps.sizes["test"] and isinstance(steps.fitness, Explains):
            best, founding = steps.state.best, Founding.read(self.run_dir.path)
            with self.between.stage("answers of the best", steps.sizes["test"]):
                texts[ANSWERS] = export.answers(steps.workers, best.genome, steps.sizes["test"])
            with self.between.stage("what breeding has changed"):
                texts[CHANGES] = changes.explained(steps.workers, best, founding, self._founders)
        return texts, status

    def _founders(self) -> Sequence[Genome]:
        """The founders again, from seeds that may be named from where the run began."""
        with within(self.start):
            return self.steps.workers.founders(self.steps.settings.seed)

    def _leave(
        self, path: Path, texts: Mapping[str, str | None], status: Mapping[str, Any] | None
    ) -> None:
        """Writes summary, best and report."""
        steps = self.steps

        def write_best() -> None:
            with saving(path), within(self.start):
                export.write_best(path, steps.population, steps.fitness, steps.state, texts)

        with saving(path):
            write_file(path / "summary.json", export.summary(steps.state, status))
        with self.between.stage("writing the best member"):
            as_user_error("best", write_best)
        try:
            with self.between.stage("drawing the report"):
                report.write(path)
        except Interrupted:
            raise
        except Exception as error:  # which may not cost the run
            log.warning("report.html is not drawn: %s", reason(error))

    def _over(self, seconds: float) -> str | None:
        """Why the run is over, None while it is not."""
        state, settings = self.steps.state, self.steps.settings
        if state.decided >= settings.births:
            return "all births are decided"
        if settings.hours is not None and seconds > 3600 * settings.hours:
            return f"{settings.hours} hours have passed"
        if settings.patience is not None and state.since_best >= settings.patience:
            return f"best has not changed for {state.since_best} births"
        return None

    def _show(self, member: Best) -> None:
        """Keeps what a member makes of a few datapoints, where the fitness has some to show."""
        steps = self.steps
        if self.run_dir is not None and isinstance(steps.fitness, Showcases):
            split = "test" if steps.sizes["test"] else "train"
            # A birth that is decided is not raised again by a resume, so what belongs to it is kept although a signal has come.
            decided = self.steps.state.decided > 0
            with self.between.unheard() if decided else nullcontext():
                gallery.keep(
                    self.run_dir.path,
                    steps.workers,
                    member.id,
                    member.genome,
                    steps.fitness.showcase,
                    split,
                )

    def _append(self, entry: dict[str, Any]) -> None:
        if self.run_dir is not None:
            self.run_dir.append({**entry, "time": round(time.time(), 3)})

    def _save(self) -> None:
        if self.run_dir is None:
            return
        started = time.monotonic()
        self.steps.state.memory = max(self.steps.state.memory, memory.peak())
        self.run_dir.save(*pack(self.steps.state))
        self._saved = time.monotonic()
        self._save_cost = self._saved - started

    def _rescue(self) -> str:
        """Saves what there is, and says in words what is saved and how to go on."""
        if self.run_dir is None:
            return "nothing is saved, since there is no run_dir"
        try:
            self._save()
        except Interrupted:
            return f"what was saved before is still there; {self.advice}"
        return f"everything up to birth {self.steps.state.decided} is saved; {self.advice}"
