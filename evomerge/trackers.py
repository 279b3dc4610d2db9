"""Trackers: a run's numbers while it goes on, in TensorBoard, Weights & Biases or MLflow.

A point a second at most, one for each new best, and the last: curves of 50,000 births need no more, and a birth of a millisecond has no time
for a network. A tracker that fails is left out with a warning; the run goes on.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from evomerge.errors import reason
from evomerge.snapshot import State

log = logging.getLogger(__name__)

SECONDS = 1.0
"""Least time between two points."""

PARAMETER = 500
"""Longest text that every server of MLflow takes for a parameter."""


class Tracker(Protocol):
    """Where a run's numbers go."""

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """A run begins in a directory, or goes on behind this birth; `call` is what made it, as plain data."""

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """Numbers by name, as they are after this birth."""

    def end(self) -> None:
        """The run has ended, or was stopped."""


class TensorBoard:
    """Event files in the run directory, in tensorboard/."""

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:  # noqa: ARG002
        """As `Tracker.begin`; what was written of births that were not kept is struck out."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(path / "tensorboard"), purge_step=birth + 1 if birth else None, flush_secs=5)

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """As `Tracker.put`."""
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, birth)

    def end(self) -> None:
        """As `Tracker.end`."""
        self._writer.close()


class Wandb:
    """Weights & Biases. A resume goes on in the same run of it."""

    def __init__(self, project: str, entity: str | None = None, mode: str | None = None, tags: Sequence[str] = ()) -> None:
        """Settings only.

        Args:
            project: its name.
            entity: whose it is; the account's default if None.
            mode: "online", "offline" (files in wandb/ of the run directory, for `wandb sync`) or "disabled"; what WANDB_MODE says if None.
            tags: of the run.

        Raises:
            ValueError: if the mode is none of these.
        """
        if mode not in (None, "online", "offline", "disabled"):
            raise ValueError(f"mode: expected 'online', 'offline' or 'disabled', got {mode!r}")
        self.project, self.entity, self.mode, self.tags = project, entity, mode, tags

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`."""
        import wandb

        id = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:16]
        settings: dict[str, Any] = {"mode": self.mode, "tags": list(self.tags), "resume": "allow" if birth else None}
        self._run = wandb.init(
            project=self.project, entity=self.entity, name=path.name, id=id, dir=str(path), config=dict(call), **settings
        )
        self._run.define_metric("*", step_metric="birth")

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """As `Tracker.put`."""
        self._run.log({"birth": birth, **numbers})

    def end(self) -> None:
        """As `Tracker.end`."""
        self._run.finish()


class MLflow:
    """MLflow. A resume goes on in the same run of it."""

    def __init__(self, experiment: str = "evomerge", tracking_uri: str | None = None) -> None:
        """Settings only.

        Args:
            experiment: its name; it is made if there is none.
            tracking_uri: of the server, or a folder; what MLFLOW_TRACKING_URI says if None.
        """
        self.experiment, self.tracking_uri = experiment, tracking_uri

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`."""
        from mlflow import MlflowClient

        self._client, place = MlflowClient(self.tracking_uri), str(path.resolve())
        found = self._client.get_experiment_by_name(self.experiment)
        experiment = found.experiment_id if found is not None else self._client.create_experiment(self.experiment)
        before = self._client.search_runs([experiment], f"tags.evomerge_run = '{place}'", max_results=1) if birth else []
        if before:
            self._id = before[0].info.run_id
            self._client.set_terminated(self._id, "RUNNING")
            return
        self._id = self._client.create_run(experiment, tags={"evomerge_run": place}, run_name=path.name).info.run_id
        for key, value in _flat(call):
            self._client.log_param(self._id, key, str(value)[:PARAMETER])

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """As `Tracker.put`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(self._id, [Metric(name, number, now, birth) for name, number in numbers.items()])

    def end(self) -> None:
        """As `Tracker.end`."""
        self._client.set_terminated(self._id)


class Tracking:
    """All trackers of a run: who fails is left out."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Takes them; none has begun yet."""
        self._trackers = list(trackers)
        self._begun, self._next = False, 0.0

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`."""
        self._begun = True
        self._each(lambda tracker: tracker.begin(path, call, birth))

    def put(self, entry: Mapping[str, Any], state: State, *, last: bool) -> None:
        """Tells them of a birth, by its line in the log and the state behind it, if it is time to."""
        now = time.monotonic()
        if self._begun and self._trackers and (last or entry.get("best") or now >= self._next):
            self._next = now + SECONDS
            numbers = _numbers(entry, state)
            self._each(lambda tracker: tracker.put(entry["birth"], numbers))

    def end(self) -> None:
        """As `Tracker.end`."""
        if self._begun:
            self._each(lambda tracker: tracker.end())

    def _each(self, call: Callable[[Tracker], None]) -> None:
        for tracker in list(self._trackers):
            try:
                call(tracker)
            except Exception as error:  # the run is worth more than its curves
                self._trackers.remove(tracker)
                log.warning("%s is left out from here on: %s", type(tracker).__name__, reason(error))


def usual() -> list[Tracker]:
    """Who is there where nobody was named: TensorBoard, if it is installed."""
    return [TensorBoard()] if find_spec("tensorboard") is not None else []


def _numbers(entry: Mapping[str, Any], state: State) -> dict[str, float]:
    """What is told of a birth."""
    best = {f"best/{split}": getattr(state.best, split) for split in ("train", "validation", "test")}
    archive = {f"archive/{name}": entry.get(name) for name in ("coverage", "entropy")}
    birth = {f"birth/{name}": entry.get(name) for name in ("train", "scored", "seconds")}
    run = {"run/births_per_second": state.decided / state.seconds if state.seconds else None, "run/failures": state.failures}
    return {name: float(number) for name, number in (best | archive | birth | run).items() if number is not None}


def _flat(call: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of every number and text of a call."""
    if isinstance(call, Mapping):
        for key, value in call.items():
            yield from _flat(value, f"{where}.{key}" if where else str(key))
    else:
        yield where, call
