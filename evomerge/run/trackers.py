"""Where a run's numbers may go: TensorBoard, Weights & Biases, MLflow, or the user's own."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from evomerge.rundir import identity

log = logging.getLogger(__name__)

ANSWER = 10.0
"""Seconds for which a run waits at its end for one answer of a tracker."""

PARAMETER, KEY, BATCH = 500, 240, 100
"""What MLflow takes: longest text of a parameter, longest name of one, most in one call."""

TAG = "evomerge_run"
"""The tag by which a run is found again at MLflow."""

PROJECT = 128
"""Longest name of a project of Weights & Biases."""

BARRED = "/\\#?%:"
"""Characters that Weights & Biases takes in no project's name."""


class Tracker(Protocol):
    """Where a run's numbers go.

    It is called from a thread of its own, in order, and the run does not wait for it.
    """

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """A run begins in a directory, or goes on.

        Args:
            path: the run directory.
            call: the call that made the run, as plain data.
            birth: number of the last birth that is decided; 0 where the run begins.
        """

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """Numbers by name, as they are after this birth."""

    def end(self) -> None:
        """The run has ended, or was stopped."""


class Offline(Protocol):
    """A tracker that may ask no server: then a run waits at its end until all is written."""

    offline: bool


class TensorBoard:
    """Event files in the run directory, in tensorboard/."""

    offline = True

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:  # noqa: ARG002
        """As `Tracker.begin`; what was written of births that were not kept is struck out."""
        from torch.utils.tensorboard import SummaryWriter

        # Points behind this birth are of births that were not kept.
        purged = None
        if birth:
            purged = birth + 1
        self._writer = SummaryWriter(str(path / "tensorboard"), purge_step=purged, flush_secs=5)

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """As `Tracker.put`."""
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, birth)

    def end(self) -> None:
        """As `Tracker.end`."""
        self._writer.close()


class Wandb:
    """Weights & Biases. A resume goes on in the same run of it."""

    def __init__(
        self,
        project: str,
        entity: str | None = None,
        mode: str | None = None,
        tags: Sequence[str] = (),
    ) -> None:
        """Settings only.

        Args:
            project: its name.
            entity: whose it is; the account's default if None.
            mode: "online", "offline" (files in wandb/ of the run directory, for `wandb sync`) or
                "disabled"; what WANDB_MODE says if None.
            tags: of the run.

        Raises:
            ValueError: if the mode is none of these, or the name is none that is taken there.
        """
        wrong = sorted(set(project) & set(BARRED))
        if wrong:
            raise ValueError(
                f"project: Weights & Biases takes no {' '.join(wrong)} in a name, got {project!r}"
            )
        if len(project) > PROJECT:
            raise ValueError(
                f"project: Weights & Biases takes at most {PROJECT} characters, got {len(project)}"
            )
        if mode not in (None, "online", "offline", "disabled"):
            raise ValueError(f"mode: expected 'online', 'offline' or 'disabled', got {mode!r}")
        self.project = project
        self.entity = entity
        self.mode = mode
        self.tags = tags

    @property
    def offline(self) -> bool:
        """Whether no server is asked."""
        return (self.mode or os.environ.get("WANDB_MODE")) in ("offline", "disabled")

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`."""
        import wandb

        settings: dict[str, Any] = {
            "mode": self.mode,
            "tags": list(self.tags),
            "resume": "allow" if birth else None,
        }
        if "finish_timeout" in getattr(wandb.Settings, "model_fields", {}):
            # What is not sent by then stays on the disk, for `wandb sync`.
            settings["settings"] = wandb.Settings(finish_timeout=ANSWER - 2)
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            name=_readable(path.name),
            id=identity.read(path),
            dir=str(path),
            config=dict(call),
            **settings,
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
        self.experiment = experiment
        self.tracking_uri = tracking_uri

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:  # noqa: ARG002
        """As `Tracker.begin`."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client = MlflowClient(self.tracking_uri)
        experiment = self._experiment()
        id = identity.read(path)
        before = self._known(experiment, id, path)
        if before is not None:
            self._id = before
            self._client.set_terminated(self._id, "RUNNING")
            return
        made = self._client.create_run(experiment, tags={TAG: id}, run_name=_readable(path.name))
        self._id = made.info.run_id
        parameters = _parameters(call)
        for start in range(0, len(parameters), BATCH):
            batch = [Param(key, value) for key, value in parameters[start : start + BATCH]]
            self._client.log_batch(self._id, params=batch)

    def _experiment(self) -> str:
        """The id of the experiment, which is made if there is none."""
        there = self._client.get_experiment_by_name(self.experiment)
        if there is not None:
            return str(there.experiment_id)
        return str(self._client.create_experiment(self.experiment))

    def _known(self, experiment: str, id: str, path: Path) -> str | None:
        """The run of MLflow that has this identity.

        A version of evomerge which kept no identity has left the directory's path in its place.
        """
        runs = self._client.search_runs([experiment], f"tags.{TAG} = '{id}'", max_results=1)
        folder = str(path.resolve())
        # There is no way to write both kinds of quotes into a query.
        quote = "'" if '"' in folder else '"'
        if not runs and id == identity.from_path(path) and quote not in folder:
            query = f"tags.{TAG} = {quote}{folder}{quote}"
            runs = self._client.search_runs([experiment], query, max_results=1)
            # From now on it is known when the directory has moved, too.
            for run in runs:
                self._client.set_tag(run.info.run_id, TAG, id)
        if not runs:
            return None
        return str(runs[0].info.run_id)

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """As `Tracker.put`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        metrics = [Metric(name, number, now, birth) for name, number in numbers.items()]
        self._client.log_batch(self._id, metrics)

    def end(self) -> None:
        """As `Tracker.end`."""
        self._client.set_terminated(self._id)


def default_trackers() -> list[Tracker]:
    """Who is there where nobody was named: TensorBoard, if it is installed."""
    if find_spec("tensorboard") is None:
        return []
    return [TensorBoard()]


def _parameters(call: Any) -> list[tuple[str, str]]:
    """A call as parameters that every server of MLflow takes.

    Their names are of plain characters, and unlike; their texts are not too long.
    """
    parameters = dict[str, str]()
    for key, value in _flat(call):
        name = re.sub(r"[^\w.\- ]", "_", key, flags=re.ASCII)[:KEY]
        # Two keys may have become alike by that.
        while name in parameters:
            name += "_"
        parameters[name] = _readable(str(value))[:PARAMETER]
    return list(parameters.items())


def _readable(text: str) -> str:
    """A text, without what a file's name may hold that is no character."""
    return text.encode(errors="surrogatepass").decode(errors="replace")


def _flat(call: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """(key, value) of every number and text of a call."""
    if isinstance(call, Mapping):
        for key, value in call.items():
            place = f"{where}.{key}" if where else str(key)
            yield from _flat(value, place)
    else:
        yield where, call
