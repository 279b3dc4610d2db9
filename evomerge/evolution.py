"""evolve(): from a population and a fitness to an archive, and what a run leaves behind."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Literal

from evomerge.archives.archive import Archive
from evomerge.config import calls, config, resumed, shadowing
from evomerge.contracts import Explains, Fitness, Population, can
from evomerge.errors import Interrupted, Stopped, UserError, as_user_error, reason
from evomerge.export import export
from evomerge.files import place, saving, write_file
from evomerge.report import report, watched
from evomerge.run import kept
from evomerge.run.between import Between
from evomerge.run.loop import Loop
from evomerge.run.parts import Parts
from evomerge.run.progress import Progress
from evomerge.run.run import Run
from evomerge.run.settings import Settings
from evomerge.run.stop import StopRequest
from evomerge.run.trackers import Tracker
from evomerge.run.tracking import Tracking, tracked
from evomerge.rundir.births import read_births
from evomerge.rundir.checks import check_free
from evomerge.rundir.founders import Founding
from evomerge.rundir.places import ANSWERS, CHANGES
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.strategy import Strategy
from evomerge.workers.job import Watched, Workers
from evomerge.workers.local import Local

log = logging.getLogger(__name__)

OUTSIDE = ("run_dir", "resume", "progress")
"""Arguments of `evolve` that a command gives. A config gives none of them but run_dir."""


def evolve(
    population: Population,
    fitness: Fitness,
    *,
    births: int,
    strategy: NaturalNiches | Strategy | None = None,
    seed: int = Settings.seed,
    lookahead: int = Settings.lookahead,
    stack: int = Settings.stack,
    tile: int = Settings.tile,
    retile: int = Settings.retile,
    foresee: bool = Settings.foresee,
    validate: bool = Settings.validate,
    hours: float | None = Settings.hours,
    patience: int | None = Settings.patience,
    failures: int = Settings.failures,
    save_every: float = Settings.save_every,
    workers: Workers | None = None,
    trackers: Sequence[Tracker] | None = None,
    run_dir: Path | None = None,
    resume: bool = False,
    progress: bool | Literal["founders"] = True,
) -> Archive:
    """Breeds models.

    Members compete for datapoints, parents attract each other, children are merged, and the weakest
    leaves. The run depends on these arguments alone: not on who raises the births, nor on how often
    it was killed and resumed.

    Args:
        population: the species: its founders, and how a genome becomes a model.
        fitness: scores a model on each datapoint.
        births: number of the last birth.
        strategy: which births to plan, and who stays; `NaturalNiches()` if None (others:
            `evomerge.Search`, `evomerge.Sweep`).
        seed: of all randomness.
        lookahead: births in flight at once; 1 is the sequential algorithm of the paper.
        stack: births that are expressed and scored as one stack, where the population can
            (`express_many`). It decides the last bits of a score, so it is part of what a run is.
        tile: datapoints that are scored in one call.
        retile: births after which the datapoints are cut anew, the scarcest first.
        foresee: stop scoring a child that is certain to be rejected. The archive is the same
            either way.
        validate: choose best by the "validation" split, among the children that were admitted.
        hours: stop after this time, ready to be resumed.
        patience: stop when best has not changed for so many births.
        failures: stop when so many births in a row fail.
        save_every: seconds between snapshots, which is how much work a kill may cost.
        workers: who raises births; `Local()`, this process, if None.
        trackers: where the numbers go while the run goes on (`evomerge.TensorBoard`, `Wandb`,
            `MLflow`); if None, TensorBoard where it is installed. Without a run_dir nothing is
            tracked.
        run_dir: where to keep the run; nothing is written if None.
        resume: go on with the run in `run_dir`. Workers, trackers, a higher `births`, `hours`,
            `patience` and `save_every` may be new; every other argument has to be as it was.
        progress: show a progress bar, or a line now and then where there is no terminal;
            "founders": only until births begin.

    Returns:
        The archive.

    Raises:
        UserError: if an argument, a founder or the run directory is wrong.
        Interrupted: if the environment failed; the run directory has all that was decided.
        KeyboardInterrupt: on Ctrl-C, SIGTERM, or where the terminal goes away, with the run saved.
            They are heard between two tiles; a second one ends at once.

    Example:
        Digit classifiers that begin from random weights:

        >>> from evomerge import evolve
        >>> from fitness.classification import Classification
        >>> from fitness.images import SklearnDigits
        >>> from populations.mnist import Classifiers
        >>> digits = SklearnDigits()
        >>> archive = evolve(Classifiers(digits), Classification(digits), births=10, progress=False)
        >>> len(archive.members)  # two founders and ten children: there is room for all
        12
        >>> archive.scores.shape  # a row for each member, a column for each training datapoint
        (12, 1437)
    """
    shadowing.check()
    try:
        settings = Settings(
            births, seed, lookahead, stack, tile, retile, foresee, validate, hours, patience,
            failures, save_every,
        )  # fmt: skip
    except ValueError as error:
        raise UserError(str(error)) from None
    strategy = NaturalNiches() if strategy is None else strategy
    workers = Local() if workers is None else workers
    _check_arguments(strategy, workers, trackers, settings)
    call = calls.describe(
        population=population, fitness=fitness, strategy=strategy, workers=workers,
        trackers=trackers, **vars(settings),
    )  # fmt: skip
    path = _checked_place(run_dir, resume=resume)
    changed = path is None or not resume or not resumed.check_same(path, call)
    # Asked for when the founders are scored: by then it is known which packages are used.
    text = partial(config.to_yaml, call)
    # From here on a signal is heard between two tiles, and nothing that was decided is lost.
    tracking = Tracking(trackers)
    with StopRequest() as stop_request, ExitStack() as held:
        between = Between(stop_request, bool(progress))
        parts = Parts.fitted(population, fitness, strategy, workers, settings)
        with between.alone():
            if resume and path is not None:
                run = Run.resume(parts, between, path, text if changed else None)
            else:
                run = Run.begin(parts, between, path, text)
            held.enter_context(run)
        run.hold(tracked(tracking, path, call, run.state.decided))
        with Progress(settings.births, settings.hours, shown=progress is True) as bar:
            Loop(run, stop_request, bar, tracking).go()
        with between.alone():
            _conclude(run, call)
        return run.state.archive


def with_defaults(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], Settings]:
    """The parts of a call of `evolve`, and its numbers, with their defaults.

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
    numbers = {}
    for name, value in arguments.items():
        if name not in parts:
            numbers[name] = value
        elif value is not None:
            parts[name] = value
    return parts, Settings(**numbers)


def _check_arguments(strategy: Any, workers: Any, trackers: Any, settings: Settings) -> None:
    """Checks what a type checker would have told a user who has none.

    Raises:
        UserError: if strategy, workers or trackers are none.
    """
    for name, part, method in (("strategy", strategy, "begin"), ("workers", workers, "submit")):
        if not hasattr(part, method):
            raise UserError(f"{name}: expected an object with a method {method}, got {part!r}")
    if trackers is not None and not isinstance(trackers, Sequence):
        raise UserError(f"trackers: expected a list of trackers, got {trackers!r}")
    # Workers of the user's own need not say how many they are.
    count = getattr(workers, "count", 1)
    if count > settings.lookahead:
        log.warning(
            "lookahead: %d births in flight keep at most as many of %d workers busy; "
            "twice the workers is usual",
            settings.lookahead,
            count,
        )


def _checked_place(run_dir: Any, *, resume: bool) -> Path | None:
    """The run directory as an absolute path.

    Raises:
        UserError: if it is no path, or there is none to resume, or no run can begin there.
    """
    if run_dir is None:
        if resume:
            raise UserError("resume: expected the run_dir of the run to go on with, got none")
        return None
    if not isinstance(run_dir, str | Path):
        raise UserError(f"run_dir: expected a path, got {run_dir!r}")
    path = place(run_dir)
    # Told now, before anything is loaded; asked again once the directory is locked.
    if not resume:
        check_free(path)
    return path


def _conclude(run: Run, call: Mapping[str, Any]) -> None:
    """Leaves best, summary and report in the run directory.

    Args:
        run: the run, all births of which are decided.
        call: what config.yaml has of it.

    Raises:
        Stopped: if the run was asked to stop before the best is written.
    """
    path = run.checkpoints.path
    workers = run.parts.workers
    try:
        run.between(0)
        status: Mapping[str, Any] | None = None
        if can(workers, Watched):
            status = workers.status()
        texts: dict[str, str | None] = {}
        if path is not None:
            texts = _answers(run, path)
    except Stopped:
        advice = "nothing is kept, since there is no run_dir"
        if path is not None:
            advice = f"for the best member, {run.checkpoints.advice}"
        log.warning("stopped at the end, all births are decided; %s", advice)
        raise
    # The best is expressed here, and its memory may be theirs.
    workers.stop()
    if path is None:
        return
    founders = [entry for entry in read_births(path) if "founder" in entry]
    scores = watched.before_and_after(call, founders, run.state.best.watched)
    watched.tell(scores, call)
    with saving(path):
        write_file(path / "summary.json", export.summary(run.state, status, scores))
    with run.between.stage("writing the best member"):
        as_user_error("best", lambda: _write_best(run, path, texts))
    try:
        with run.between.stage("drawing the report"):
            report.write(path)
    except Interrupted:
        raise
    # A report that cannot be drawn may not cost the run.
    except Exception as error:
        log.warning("report.html is not drawn: %s", reason(error))


def _answers(run: Run, path: Path) -> dict[str, str | None]:
    """What members make of the test split, as texts by the names of the files that keep them."""
    parts, best = run.parts, run.state.best
    size = parts.sizes["test"]
    if not size or not can(parts.fitness, Explains):
        return {}
    texts: dict[str, str | None] = {}
    founding = Founding.read(path)
    with run.between.stage("answers of the best", size):
        texts[ANSWERS] = kept.answers(parts.workers, best.genome, size)
    with run.between.stage("what breeding has changed"):
        texts[CHANGES] = kept.explained(parts.workers, best, founding, run.founders)
    return texts


def _write_best(run: Run, path: Path, texts: Mapping[str, str | None]) -> None:
    """Writes the best member in its native format, with its card and these texts."""
    parts = run.parts
    with saving(path), run.in_its_folder():
        export.write_best(path, parts.population, parts.fitness, run.state, texts)
