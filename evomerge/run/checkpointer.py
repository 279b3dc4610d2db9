"""What is kept of a run while it goes on, in its directory, if it has one."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evomerge import memory
from evomerge.contracts import Population, Recipes, can
from evomerge.errors import Interrupted, Stopped, as_user_error
from evomerge.files import saving, write_file
from evomerge.run.parts import Stage
from evomerge.run.snapshot import pack
from evomerge.run.state import State
from evomerge.rundir.rundir import RunDir

SAVE_SHARE = 0.01
"""The share of the time that snapshots may take: where they are slow, they are rarer than asked."""


class Checkpointer:
    """Writes births and snapshots into a run directory, which it holds until the block ends.

    A run without a directory has one, too. It writes nothing, so that nobody else has to ask.
    """

    def __init__(self, run_dir: RunDir | None, *, begun: bool) -> None:
        """Use `create` or `reopen`.

        Args:
            run_dir: the directory, locked; None for a run that is not kept.
            begun: whether there is a run in it, which can be resumed.
        """
        self._run_dir = run_dir
        self._begun = begun
        self._saved_at = 0.0
        self._cost = 0.0

    @classmethod
    def create(cls, path: Path | None) -> Checkpointer:
        """A new run directory, locked before anything takes long, so that two never begin in one.

        Raises:
            UserError: as `RunDir.create`.
        """
        run_dir = None
        if path is not None:
            run_dir = RunDir.create(path)
        return cls(run_dir, begun=False)

    @classmethod
    def reopen(cls, path: Path) -> tuple[Checkpointer, dict[str, Any], dict[str, Any]]:
        """The directory of a run to go on with; and the data and tensors of its newest snapshot.

        Raises:
            UserError: as `RunDir.reopen`.
        """
        run_dir, data, tensors = RunDir.reopen(path)
        return cls(run_dir, begun=True), data, tensors

    def __enter__(self) -> Checkpointer:
        """Nothing is left to do."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Lets another process have the directory.

        A run that could not begin leaves nothing there. One that was asked to stop while it began
        leaves what it has; the same command takes it over.
        """
        if self._run_dir is None:
            return
        failed = kind is not None and not issubclass(kind, Stopped)
        if failed and not self._begun:
            self._run_dir.abandon()
        self._run_dir.close()

    @property
    def path(self) -> Path | None:
        """The run directory."""
        if self._run_dir is None:
            return None
        return self._run_dir.path

    @property
    def advice(self) -> str:
        """How to go on with the run."""
        assert self._run_dir is not None
        return f"go on with `evomerge resume {shlex.quote(str(self._run_dir.path))}`"

    def write_config(self, text: str) -> None:
        """Writes config.yaml, with which the directory becomes a run that can be resumed."""
        if self._run_dir is not None:
            with saving(self._run_dir.path):
                write_file(self._run_dir.path / "config.yaml", text)
        self._begun = True

    def append(self, entry: Mapping[str, Any]) -> None:
        """Adds a line to births.jsonl, with the time of day."""
        if self._run_dir is not None:
            self._run_dir.append({**entry, "time": round(time.time(), 3)})

    def save(self, state: State) -> None:
        """Writes a snapshot."""
        if self._run_dir is None:
            return
        # A snapshot of many large genomes takes long, and then comes more rarely.
        started = time.monotonic()
        state.memory = max(state.memory, memory.peak())
        self._run_dir.save(*pack(state))
        self._saved_at = time.monotonic()
        self._cost = self._saved_at - started

    def save_if_due(self, state: State, seconds: float) -> None:
        """Writes a snapshot if the last one is so many seconds old, and its cost allows another."""
        if time.monotonic() - self._saved_at > max(seconds, self._cost / SAVE_SHARE):
            self.save(state)

    def rescue(self, state: State) -> str:
        """Saves what there is; says in words what is saved, and how to go on."""
        if self._run_dir is None:
            return "nothing is saved, since there is no run_dir"
        try:
            self.save(state)
        except Interrupted:
            return f"what was saved before is still there; {self.advice}"
        return f"everything up to birth {state.decided} is saved; {self.advice}"

    def keep_grams(self, population: Population, stage: Stage) -> None:
        """Keeps the seeds' Gram matrices, where genomes are recipes, for a resume."""
        if self._run_dir is not None and can(population, Recipes):
            with stage("comparing the founders"):
                self._run_dir.keep_grams(population.grams.units)

    def restore_grams(self, population: Population, stage: Stage) -> None:
        """Gives the population what `keep_grams` has kept; keeps it again if that is damaged."""
        if self._run_dir is None or not can(population, Recipes):
            return
        units = self._run_dir.grams()
        # What was kept may be damaged. Then the seeds are read again, which takes longer.
        if units is None:
            self.keep_grams(population, stage)
        else:
            as_user_error("population", lambda: population.restore_grams(units))
