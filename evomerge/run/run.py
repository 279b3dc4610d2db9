"""A run that has begun, or goes on: whole from `Run.begin` or `Run.resume` until it is stopped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path

from evomerge.contracts import Genome, Showcases, can
from evomerge.errors import Stopped, UserError
from evomerge.files import within
from evomerge.run import kept
from evomerge.run.best import Best
from evomerge.run.between import Between
from evomerge.run.checkpointer import Checkpointer
from evomerge.run.founding import found
from evomerge.run.parts import Parts
from evomerge.run.planning import planner_for
from evomerge.run.snapshot import unpack
from evomerge.run.state import State
from evomerge.rundir.births import read_births
from evomerge.strategies.strategy import Planner
from evomerge.workers.job import Heeding

log = logging.getLogger(__name__)

UNTOUCHED = "nothing had begun; the same command begins again"
"""What there is to say of a run that was stopped while it began."""


class Run:
    """A run that has begun, until `stop`.

    Attributes:
        parts: what it is made of.
        state: where it is.
        planner: who plans its births.
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
        after_workers: ExitStack,
    ) -> None:
        """Use `begin` or `resume`.

        Args:
            parts: what it is made of; its workers have started.
            state: where it is.
            planner: who plans its births.
            checkpoints: what is kept of it.
            between: what is called between two tiles.
            resources: what it holds, and lets go of at its end.
            after_workers: what of that it holds until its workers have stopped.
        """
        self.parts = parts
        self.state = state
        self.checkpoints = checkpoints
        self.between = between
        self.planner = planner
        self._resources = resources
        self._after_workers = after_workers

    @classmethod
    def begin(
        cls, parts: Parts, between: Between, path: Path | None, config: Callable[[], str]
    ) -> Run:
        """A new run: its founders are scored, and all is kept from which it can be resumed.

        Args:
            parts: what it is made of.
            between: what is called between two tiles.
            path: its directory; None for a run that is not kept.
            config: gives the text of its config.yaml, once the founders are scored.

        Raises:
            UserError: if the directory, or a founder, is wrong.
            Stopped: if it was asked to stop; nothing had begun then.
        """
        try:
            with _held() as resources:
                checkpoints = resources.enter_context(Checkpointer.create(path))
                # Workers are let go of first: they may hold GPUs that others wait for.
                after_workers = resources.enter_context(ExitStack())
                _start_workers(parts, between, resources)
                founded = found(parts, between.stage)
                planner = planner_for(
                    parts, founded.state, between.stage, lambda: founded.genomes, after_workers
                )
                checkpoints.keep_grams(parts.population, between.stage)
                if path is not None:
                    founded.founding.keep(path)
                run = cls(
                    parts, founded.state, planner, checkpoints, between, resources, after_workers
                )
                run._keep_founders(founded.founders)
                # Written last: with it, the directory is a run.
                checkpoints.write_config(config())
        except Stopped:
            log.warning("stopped before the first birth: %s", UNTOUCHED)
            raise
        return run

    @classmethod
    def resume(
        cls, parts: Parts, between: Between, path: Path, config: Callable[[], str] | None
    ) -> Run:
        """The run in a directory, where its newest snapshot has it.

        Args:
            parts: what it is made of, as it was then.
            between: what is called between two tiles.
            path: its directory.
            config: gives the text of its config.yaml; None if that stays as it is.

        Raises:
            UserError: if there is no such run, or its data or its strategy are not as they were.
            Stopped: if it was asked to stop; nothing is lost then.
        """
        checkpoints, data, tensors = Checkpointer.reopen(path)
        try:
            with _held() as resources:
                resources.enter_context(checkpoints)
                after_workers = resources.enter_context(ExitStack())
                _start_workers(parts, between, resources)
                checkpoints.restore_grams(parts.population, between.stage)
                state = unpack(data, tensors, parts.empty_archive())
                _check_data(parts, state)
                # A planner that learns is told again what it had been told.
                entries = read_births(path)
                births = [entry for entry in entries if "founder" not in entry]
                planner = planner_for(
                    parts,
                    state,
                    between.stage,
                    lambda: parts.workers.founders(parts.settings.seed),
                    after_workers,
                    births,
                )
                if config is not None:
                    checkpoints.write_config(config())
                run = cls(parts, state, planner, checkpoints, between, resources, after_workers)
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

    def hold(self, block: AbstractContextManager[None]) -> None:
        """Enters a block, which ends with the run, once its workers have stopped."""
        self._after_workers.enter_context(block)

    def on_stop(self, callback: Callable[[], None]) -> None:
        """Has something called when the run is stopped."""
        self._resources.callback(callback)

    def founders(self) -> Sequence[Genome]:
        """The founders' genomes again, from seeds that may be named from where the run began."""
        with self.in_its_folder():
            return self.parts.workers.founders(self.parts.settings.seed)

    def in_its_folder(self) -> AbstractContextManager[None]:
        """A block in the working directory in which the run began."""
        return within(self.parts.folder)

    def show(self, member: Best) -> None:
        """Keeps what a member makes of a few datapoints, where the fitness has some to show."""
        path, fitness = self.checkpoints.path, self.parts.fitness
        if path is None or not can(fitness, Showcases):
            return
        split = "test" if self.parts.sizes["test"] else "train"
        # A birth that is decided is not raised again by a resume. So what belongs to it is kept
        # even where a signal has come.
        deaf = self.between.unheard() if self.state.decided else nullcontext()
        with deaf:
            kept.keep(path, self.parts.workers, member.id, member.genome, fitness.showcase, split)

    def _keep_founders(self, founders: Sequence[Best]) -> None:
        """Writes the founders to the log, and the first snapshot, from which a run is resumed."""
        for index, founder in enumerate(founders):
            entry = {"birth": 0, "id": founder.id, "founder": index, "train": founder.train}
            entry |= founder.other_scores
            if founder.id == self.state.best.id:
                entry["best"] = True
            self.checkpoints.append(entry)
            self.show(founder)
        self.checkpoints.save(self.state)


@contextmanager
def _held() -> Iterator[ExitStack]:
    """Resources that are let go of where the block fails, and held on to where it does not."""
    with ExitStack() as failed:
        yield failed.enter_context(ExitStack())
        failed.pop_all()


def _start_workers(parts: Parts, between: Callable[[int], None], resources: ExitStack) -> None:
    """Starts the workers; whoever holds the resources stops them."""
    # Registered first: workers that fail while they start have something to let go of, too.
    resources.callback(parts.workers.stop)
    if can(parts.workers, Heeding):
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
