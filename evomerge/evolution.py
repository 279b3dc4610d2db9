"""evolve(): the loop that plans births, has them raised, and decides them strictly in order."""

from __future__ import annotations

import gc
import logging
import shlex
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge import calls, config, export, memory, snapshot
from evomerge.archive import Archive
from evomerge.contracts import Fitness, Population
from evomerge.errors import Interrupted, UserError, blame, reason
from evomerge.files import saving, write_file
from evomerge.founding import Founding
from evomerge.progress import Progress
from evomerge.reports import changes, gallery, report
from evomerge.reports.record import ANSWERS, CHANGES
from evomerge.rundir import RunDir, check_free, read_births
from evomerge.settings import Settings
from evomerge.snapshot import Best
from evomerge.steps import Steps
from evomerge.stop import StopRequest
from evomerge.strategy import NaturalNiches, Strategy
from evomerge.trackers import Tracker, Tracking, usual
from evomerge.workers import Local, Workers

log = logging.getLogger(__name__)

SAVE_SHARE = 0.01
"""The share of the time that snapshots may take: where they are slow, they are rarer than asked for."""

OUTSIDE = ("run_dir", "resume", "progress")
"""Arguments of `evolve` that are a command's to give and not a config's, besides run_dir, which a config may name too."""


def evolve(
    population: Population,
    fitness: Fitness,
    *,
    births: int,
    strategy: NaturalNiches | Strategy | None = None,
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
    trackers: Sequence[Tracker] | None = None,
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
        strategy: which births to plan, and who stays; `NaturalNiches()` if None (others: `evomerge.searches.search`, `evomerge.sweep`).
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
        trackers: where its numbers go while it goes on (`evomerge.TensorBoard`, `Wandb`, `MLflow`); if None, TensorBoard where it is
            installed. Without a run_dir nothing is tracked.
        run_dir: where to keep the run; nothing is written if None.
        resume: go on with the run in `run_dir`. Workers, trackers, a higher `births`, `hours`, `patience` and `save_every` may be new;
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
    for name, part, needed in (("strategy", strategy, "begin"), ("workers", workers, "submit")):
        if not hasattr(part, needed):
            raise UserError(f"{name}: expected an object with a method {needed}, got {part!r}")
    if run_dir is not None and not isinstance(run_dir, str | Path):
        raise UserError(f"run_dir: expected a path, got {run_dir!r}")
    path = None if run_dir is None else Path(run_dir)
    call = calls.describe(
        population=population, fitness=fitness, strategy=strategy, workers=workers, trackers=trackers, **vars(settings)
    )
    if resume and path is None:
        raise UserError("resume: expected the run_dir of the run to go on with, got none")
    same = True
    if path is not None and resume:
        same = config.check_same(path, call)
    elif path is not None:
        check_free(path)
    steps = Steps(population, fitness, strategy, workers, settings)
    if (count := getattr(workers, "count", 1)) > lookahead:
        log.warning(
            "lookahead: %d births in flight keep at most as many of %d workers busy; twice the workers is usual", lookahead, count
        )
    loop = Loop(steps, Tracking(usual() if trackers is None else trackers))
    with StopRequest() as stop_request:
        try:
            workers.start(population, fitness, stack)
            if resume:
                assert path is not None
                loop.run_dir, data, tensors = RunDir.reopen(path)
                loop.restore_grams()
                steps.state = snapshot.unpack(data, tensors, steps.empty_archive())
                steps.check_resumed()
                steps.begin(lambda: workers.founders(seed), (entry for entry in read_births(path) if "founder" not in entry))
                if not same:  # so that the next resume goes on from this call, not from the one before
                    with saving(path):
                        write_file(path / "config.yaml", config.to_yaml(call))
            else:
                steps.found()
                if path is not None:
                    loop.run_dir = RunDir.create(path)
                    loop.keep_grams()
                    steps.founding.keep(path)
                loop.record_founders()
                if path is not None:  # from here on it is a run that can be resumed
                    with saving(path):
                        write_file(path / "config.yaml", config.to_yaml(call))
            if path is not None:
                loop.tracking.begin(path, call, steps.state.decided)
            gc.freeze()  # what is here now stays: the collector need not walk through torch again and again
            with Progress(settings.births, settings.hours, shown=progress) as bar:
                loop.run(stop_request, bar)
            loop.conclude()
        finally:
            gc.unfreeze()
            workers.stop()
            steps.stop()
            loop.tracking.end()
            if loop.run_dir is not None:
                loop.run_dir.close()
    return steps.state.archive


def with_defaults(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], Settings]:
    """The parts of a call of `evolve`, and its numbers, each with what it is where nothing is given.

    Raises:
        ValueError: if a number is out of its range.
    """
    parts: dict[str, Any] = {
        "population": None,
        "fitness": None,
        "strategy": NaturalNiches(),
        "workers": Local(),
        "trackers": None,
    }
    parts |= {name: arguments[name] for name in parts if arguments.get(name) is not None}
    return parts, Settings(**{name: value for name, value in arguments.items() if name not in parts})


class Loop:
    """Goes from birth to birth until something ends the run, and keeps the run in its directory, if it has one."""

    def __init__(self, steps: Steps, tracking: Tracking) -> None:
        """Nothing is kept until there is a run_dir."""
        self.steps, self.tracking = steps, tracking
        self.run_dir: RunDir | None = None
        self._saved = self._save_cost = 0.0

    def record_founders(self) -> None:
        """Writes the founders to the log, and the first snapshot, without which there is nothing to resume."""
        best = self.steps.state.best
        for index, founder in enumerate(self.steps.founders):
            entry = {"birth": 0, "id": founder.id, "founder": index, "train": founder.train} | founder.other_scores
            self._append(entry | ({"best": True} if founder.id == best.id else {}))
            self._show(founder)
        self._save()

    def keep_grams(self) -> None:
        """Keeps the seeds' Gram matrices, where genomes are recipes."""
        population: Any = self.steps.population
        if self.run_dir is not None and hasattr(population, "restore_grams"):
            self.run_dir.keep_grams(population.grams.units)

    def restore_grams(self) -> None:
        """Gives the population what `keep_grams` kept; keeps it again if that is damaged."""
        population: Any = self.steps.population
        if self.run_dir is not None and hasattr(population, "restore_grams"):
            units = self.run_dir.grams()
            if units is None:
                self.keep_grams()
            else:
                blame("population", lambda: population.restore_grams(units))

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
                if entry.get("lost"):  # what the environment did is not sure to happen again, and the verdict has to stay
                    self._save()
                if state.failed_in_row >= settings.failures:
                    raise UserError(f"{state.failed_in_row} births in a row failed, the last with: {entry['failure']}")
                state.seconds = before + time.monotonic() - started
                bar.update(state, steps.workers)
                self.tracking.put(entry, state, last=state.decided == settings.births)
                if time.monotonic() - self._saved > max(settings.save_every, self._save_cost / SAVE_SHARE):
                    self._save()
            steps.plan_ahead()  # as a longer run would have, so that it can go on from here
        except (UserError, Interrupted) as error:
            raise type(error)(f"{error}; {self._rescue()}") from error
        if stop_request:
            log.warning("stopped after birth %d; %s", state.decided, self._rescue())
            raise stop_request.error()
        log.info("ended after birth %d: %s", state.decided, why)
        self._save()

    def conclude(self) -> None:
        """Leaves best, summary and report in the run directory; lets go of the workers before the best is expressed here."""
        steps, texts = self.steps, dict[str, str | None]()
        status = steps.workers.status() if hasattr(steps.workers, "status") else None
        if self.run_dir is not None and steps.sizes["test"] and hasattr(steps.fitness, "explain"):
            best, founding = steps.state.best, Founding.read(self.run_dir.path)
            texts[ANSWERS] = export.answers(steps.workers, best.genome, steps.sizes["test"])
            texts[CHANGES] = changes.explained(steps.workers, best, founding, lambda: steps.workers.founders(steps.settings.seed))
        steps.workers.stop()
        if self.run_dir is None:
            return
        path = self.run_dir.path

        def write_best() -> None:
            with saving(path):
                export.write_best(path, steps.population, steps.fitness, steps.state, texts)

        with saving(path):
            write_file(path / "summary.json", export.summary(steps.state, status))
        blame("best", write_best)
        try:
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
        if self.run_dir is not None and hasattr(steps.fitness, "showcase"):
            split = "test" if steps.sizes["test"] else "train"
            gallery.keep(self.run_dir.path, steps.workers, member.id, member.genome, steps.fitness.showcase, split)

    def _append(self, entry: dict[str, Any]) -> None:
        if self.run_dir is not None:
            self.run_dir.append({**entry, "time": round(time.time(), 3)})

    def _save(self) -> None:
        if self.run_dir is None:
            return
        started = time.monotonic()
        self.steps.state.memory = max(self.steps.state.memory, memory.peak())
        self.run_dir.save(*snapshot.pack(self.steps.state))
        self._saved = time.monotonic()
        self._save_cost = self._saved - started

    def _rescue(self) -> str:
        """Saves what there is, and says in words what is saved and how to go on."""
        if self.run_dir is None:
            return "nothing is saved, since there is no run_dir"
        resume = f"go on with `evomerge resume {shlex.quote(str(self.run_dir.path))}`"
        try:
            self._save()
        except Interrupted:
            return f"what was saved before is still there; {resume}"
        return f"everything up to birth {self.steps.state.decided} is saved; {resume}"
