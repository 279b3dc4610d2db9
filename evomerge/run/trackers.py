"""Trackers: a run's numbers while it goes on, in TensorBoard, Weights & Biases or MLflow.

A point a second at most, one for each new best, and the last: curves of 50,000 births need no more. Each tracker is called from a thread of its
own, since a birth of a millisecond has no time for a network; a server that does not answer costs the run some seconds when it begins and when it ends.
A tracker that fails is left out with a warning; the run goes on.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from evomerge.errors import reason
from evomerge.files import saving
from evomerge.run.aside import Aside
from evomerge.run.state import State
from evomerge.rundir import identity

log = logging.getLogger(__name__)

SECONDS = 1.0
"""Least time between two points."""

BEGINNING = 5.0
"""Seconds for which a run waits at its beginning for its trackers to begin; after that they begin while it goes on."""

ANSWER, ENDING = 10.0, 30.0
"""Seconds for which a run waits at its end: for one answer of a tracker, and for all of them."""

SILENCE = 120.0
"""Seconds without an answer after which a tracker is left out while the run goes on, which does not wait for it."""

BEHIND = 3
"""Calls of a tracker that may wait before it gets the new bests only."""

PARAMETER, KEY, BATCH = 500, 240, 100
"""Longest text that every server of MLflow takes for a parameter, and for its name; most parameters in one call."""

TAG = "evomerge_run"
"""The tag by which a run is found again at MLflow."""

PROJECT = 128
"""Longest name of a project of Weights & Biases, which takes none of these characters: / \\ # ? % :"""


class Tracker(Protocol):
    """Where a run's numbers go. It is called from a thread of its own, in order, and the run does not wait for it."""

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

        self._writer = SummaryWriter(
            str(path / "tensorboard"), purge_step=birth + 1 if birth else None, flush_secs=5
        )

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
            mode: "online", "offline" (files in wandb/ of the run directory, for `wandb sync`) or "disabled"; what WANDB_MODE says if None.
            tags: of the run.

        Raises:
            ValueError: if the mode is none of these, or the project's name is none that Weights & Biases takes.
        """
        if wrong := sorted(set(project) & set("/\\#?%:")):
            raise ValueError(
                f"project: Weights & Biases takes no {' '.join(wrong)} in a name, got {project!r}"
            )
        if len(project) > PROJECT:
            raise ValueError(
                f"project: Weights & Biases takes at most {PROJECT} characters, got {len(project)}"
            )
        if mode not in (None, "online", "offline", "disabled"):
            raise ValueError(f"mode: expected 'online', 'offline' or 'disabled', got {mode!r}")
        self.project, self.entity, self.mode, self.tags = project, entity, mode, tags

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`."""
        import wandb

        settings: dict[str, Any] = {
            "mode": self.mode,
            "tags": list(self.tags),
            "resume": "allow" if birth else None,
        }
        if "finish_timeout" in getattr(wandb.Settings, "model_fields", {}):
            settings["settings"] = wandb.Settings(
                finish_timeout=ANSWER - 2
            )  # what is not sent by then stays for `wandb sync`
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
        self.experiment, self.tracking_uri = experiment, tracking_uri

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:  # noqa: ARG002
        """As `Tracker.begin`."""
        from mlflow import MlflowClient
        from mlflow.entities import Param

        self._client, id = MlflowClient(self.tracking_uri), identity.read(path)
        named = self._client.get_experiment_by_name(self.experiment)
        experiment = (
            named.experiment_id
            if named is not None
            else self._client.create_experiment(self.experiment)
        )
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

    def _known(self, experiment: str, id: str, path: Path) -> str | None:
        """The run of MLflow that has this identity, or that a version of evomerge which kept none has left."""
        found = self._client.search_runs([experiment], f"tags.{TAG} = '{id}'", max_results=1)
        place = str(path.resolve())
        quote = "'" if '"' in place else '"'
        if not found and id == identity.from_path(path) and quote not in place:
            found = self._client.search_runs(
                [experiment], f"tags.{TAG} = {quote}{place}{quote}", max_results=1
            )
            for run in found:
                self._client.set_tag(
                    run.info.run_id, TAG, id
                )  # by which it is known when the directory has moved, too
        return found[0].info.run_id if found else None

    def put(self, birth: int, numbers: Mapping[str, float]) -> None:
        """As `Tracker.put`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self._client.log_batch(
            self._id, [Metric(name, number, now, birth) for name, number in numbers.items()]
        )

    def end(self) -> None:
        """As `Tracker.end`."""
        self._client.set_terminated(self._id)


class Tracking:
    """All trackers of a run, each in a thread of its own: who fails, or does not answer, is left out."""

    def __init__(self, trackers: Sequence[Tracker]) -> None:
        """Takes them; none has begun yet."""
        self._trackers = list(trackers)
        self._asides = dict[int, Aside]()
        self._next, self._hurry = 0.0, False

    def begin(self, path: Path, call: Mapping[str, Any], birth: int) -> None:
        """As `Tracker.begin`; waits a little, so that most have begun when this returns.

        Raises:
            Interrupted: if the run's identity cannot be written.
        """
        with saving(path):  # only now: a resume that is refused before has changed nothing
            identity.keep(path)
        for number, tracker in enumerate(self._trackers):
            self._asides[number] = Aside()
            self._asides[number].add(partial(tracker.begin, path, call, birth))
        try:
            self._wait(BEGINNING, BEGINNING)
        except KeyboardInterrupt:
            self._hurry = True
            raise
        self._check(SILENCE)
        for number, aside in self._asides.items():
            if aside.waiting:
                log.info("%s has not answered yet; the run goes on meanwhile", self._name(number))

    def put(self, entry: Mapping[str, Any], state: State, *, last: bool) -> None:
        """Tells them of a birth, by its line in the log and the state behind it, if it is time to."""
        now, matters = time.monotonic(), last or entry.get("best")
        if self._asides and (matters or now >= self._next):
            self._next = now + SECONDS
            numbers = _numbers(entry, state)
            self._check(SILENCE)
            for number, aside in self._asides.items():
                if matters or aside.waiting < BEHIND:
                    aside.add(partial(self._trackers[number].put, entry["birth"], numbers))

    def end(self) -> None:
        """As `Tracker.end`. A signal ends the waiting."""
        for number, aside in self._asides.items():
            aside.add(self._trackers[number].end)
            aside.close()
        with suppress(KeyboardInterrupt):
            if not self._hurry:
                self._wait(ENDING, ANSWER)
        self._check(0.0)
        self._asides.clear()

    def _wait(self, seconds: float, silence: float) -> None:
        """Waits for all calls, so long at most."""
        end = time.monotonic() + seconds
        for aside in self._asides.values():
            aside.wait(end - time.monotonic(), silence)

    def _check(self, silence: float) -> None:
        """Leaves out who has failed, or is at one call for longer than so many seconds."""
        for number, aside in list(self._asides.items()):
            if aside.error is not None:
                self._leave_out(number, reason(aside.error))
            elif (seconds := aside.silent) > silence:
                self._leave_out(number, f"no answer for {seconds:.0f} s")

    def _leave_out(self, number: int, why: str) -> None:
        self._asides.pop(number).close()
        log.warning("%s is left out from here on: %s", self._name(number), why)

    def _name(self, number: int) -> str:
        return type(self._trackers[number]).__name__


@contextmanager
def tracked(
    trackers: Sequence[Tracker] | None, path: Path | None, call: Mapping[str, Any], birth: int
) -> Iterator[Tracking]:
    """A block of a run that trackers are told of.

    Args:
        trackers: who; the default ones if None.
        path: the run directory; nobody is told of a run that has none.
        call: the call of `evolve`, described.
        birth: number of the last birth that is decided.

    Raises:
        Interrupted: if the run's identity cannot be written.
    """
    tracking = Tracking(default_trackers() if trackers is None else trackers)
    try:
        if path is not None:
            tracking.begin(path, call, birth)
        yield tracking
    finally:
        tracking.end()


def default_trackers() -> list[Tracker]:
    """Who is there where nobody was named: TensorBoard, if it is installed."""
    return [TensorBoard()] if find_spec("tensorboard") is not None else []


def _numbers(entry: Mapping[str, Any], state: State) -> dict[str, float]:
    """What is told of a birth."""
    best = {
        f"best/{split}": getattr(state.best, split) for split in ("train", "validation", "test")
    }
    archive = {f"archive/{name}": entry.get(name) for name in ("coverage", "entropy")}
    birth = {f"birth/{name}": entry.get(name) for name in ("train", "scored", "seconds")}
    run = {
        "run/births_per_second": state.decided / state.seconds if state.seconds else None,
        "run/failures": state.failures,
    }
    return {
        name: float(number)
        for name, number in (best | archive | birth | run).items()
        if number is not None
    }


def _parameters(call: Any) -> list[tuple[str, str]]:
    """A call as parameters that every server of MLflow takes: unlike names of plain characters, texts that are not too long."""
    parameters = dict[str, str]()
    for key, value in _flat(call):
        name = re.sub(r"[^\w.\- ]", "_", key, flags=re.ASCII)[:KEY]
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
            yield from _flat(value, f"{where}.{key}" if where else str(key))
    else:
        yield where, call
