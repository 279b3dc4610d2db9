"""evolve(): the loop that plans births, has them raised, and decides them strictly in order."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from evomerge.archives.archive import Archive
from evomerge.config import calls, config, resumed
from evomerge.contracts import Fitness, Population
from evomerge.errors import Stopped, UserError
from evomerge.files import place, saving, write_file
from evomerge.run.between import Between
from evomerge.run.loop import Loop
from evomerge.run.progress import Progress
from evomerge.run.settings import Settings
from evomerge.run.steps import Steps
from evomerge.run.stop import StopRequest
from evomerge.run.trackers import Tracker, Tracking, default_trackers
from evomerge.rundir.places import check_free
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.strategy import Strategy
from evomerge.workers.job import Heeding, Workers
from evomerge.workers.local import Local

log = logging.getLogger(__name__)

OUTSIDE = ("run_dir", "resume", "progress")
"""Arguments of `evolve` that are a command's to give and not a config's, besides run_dir, which a config may name too."""

UNTOUCHED = "nothing had begun; the same command begins again"
"""What there is to say of a run that was stopped while it was founded."""


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
    progress: bool | Literal["founders"] = True,
) -> Archive:
    """Breeds models: members compete for datapoints, parents attract each other, children are merged, the weakest leaves.

    The run depends on these arguments alone, not on who raises the births, nor on how often it was killed and resumed.

    Args:
        population: the species: its founders, and how a genome becomes a model.
        fitness: scores a model on each datapoint.
        births: number of the last birth.
        strategy: which births to plan, and who stays; `NaturalNiches()` if None (others: `evomerge.Search`, `evomerge.Sweep`).
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
        progress: show a progress bar, or a line now and then where there is no terminal; "founders": only until births begin.

    Returns:
        The archive.

    Raises:
        UserError: if an argument, a founder or the run directory is wrong.
        Interrupted: if the environment failed; the run directory has all that was decided.
        KeyboardInterrupt: on Ctrl-C, SIGTERM, or where the terminal goes away, with the run saved. They are heard between two tiles; a second
            one ends at once.
    """
    try:
        settings = Settings(
            births,
            seed,
            lookahead,
            stack,
            tile,
            retile,
            foresee,
            validate,
            hours,
            patience,
            failures,
            save_every,
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
    path, start = None if run_dir is None else place(run_dir), Path.cwd()
    call = calls.describe(
        population=population,
        fitness=fitness,
        strategy=strategy,
        workers=workers,
        trackers=trackers,
        **vars(settings),
    )
    if resume and path is None:
        raise UserError("resume: expected the run_dir of the run to go on with, got none")
    same = True
    if path is not None and resume:
        same = resumed.check_same(path, call)
    elif path is not None:
        check_free(path)
    if (count := getattr(workers, "count", 1)) > lookahead:
        log.warning(
            "lookahead: %d births in flight keep at most as many of %d workers busy; twice the workers is usual",
            lookahead,
            count,
        )
    with StopRequest() as stop_request:
        between = Between(stop_request, bool(progress))
        steps = Steps(population, fitness, strategy, workers, settings, between.stage)
        loop = Loop(
            steps, Tracking(default_trackers() if trackers is None else trackers), between, start
        )
        begun = False
        try:
            with between.alone():
                if (
                    path is not None
                ):  # which locks it before anything takes long, so that two never begin or go on with one run
                    loop.open(path, resume)
                if isinstance(workers, Heeding):
                    workers.heed(between)
                workers.start(population, fitness, stack)
                if resume:
                    loop.go_on()
                else:
                    loop.found()
                if path is not None and not (
                    resume and same
                ):  # a new run is one from here on; a resume goes on from this call
                    with saving(path):
                        write_file(path / "config.yaml", config.to_yaml(call))
            begun = True
            if path is not None:
                loop.tracking.begin(path, call, steps.state.decided)
            gc.freeze()  # what is here now stays: the collector need not walk through torch again and again
            with Progress(settings.births, settings.hours, shown=progress is True) as bar:
                loop.run(stop_request, bar)
            with between.alone():
                loop.conclude()
        except Stopped:
            if not begun:
                log.warning(
                    "stopped before the first birth: %s",
                    f"nothing is lost; {loop.advice}" if resume else UNTOUCHED,
                )
            raise
        except BaseException:
            if not begun and not resume and loop.run_dir is not None:
                loop.run_dir.abandon()
            raise
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
    return parts, Settings(
        **{name: value for name, value in arguments.items() if name not in parts}
    )
