"""One worker on Ray: how far it has come, its call, and what it has done."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from evomerge.workers.call import Call
from evomerge.workers.job import Outcome


class WorkerState(Enum):
    """How far a worker has come.

    ::

        STARTING ----"ready"----> ALIVE ----"prepare"----> PREPARED
            |                       |                          |
            |                       |                          |
            +-----------------------+--------------------------+----> LOST

    STARTING: its process is on the way, or waits for room in the cluster.
    ALIVE: its process answers; it can score genomes, but has not loaded what births need.
    PREPARED: it has loaded that, so that a birth's time limit does not count the loading.
    LOST: its process ended, its call took too long, or it could not load. It never comes back;
    the pool starts another worker in its place.
    """

    STARTING = auto()
    ALIVE = auto()
    PREPARED = auto()
    LOST = auto()


@dataclass(eq=False)
class Worker:
    """One actor, and what it has done.

    Attributes:
        id: a number that no other worker of the run had.
        actor: its handle.
        state: how far it has come.
        node: the machine that it lives on, once it is alive.
        born: when it came to life.
        call: what it does now; None while it is free.
        sent: when that call was sent.
        busy: seconds in which it had something to do, up to its last answer.
        raised: how many births it has raised.
        seconds: what they took.
        memory: most bytes that its process has had.
        gpu_memory: likewise on GPUs.
    """

    id: int
    actor: Any
    state: WorkerState = WorkerState.STARTING
    node: str = ""
    born: float = 0.0
    call: Call | None = None
    sent: float = 0.0
    busy: float = 0.0
    raised: int = 0
    seconds: float = 0.0
    memory: int = 0
    gpu_memory: int = 0

    @property
    def alive(self) -> bool:
        """Whether its process answers."""
        return self.state in (WorkerState.ALIVE, WorkerState.PREPARED)

    @property
    def prepared(self) -> bool:
        """Whether it has all that a birth needs."""
        return self.state is WorkerState.PREPARED

    @property
    def free(self) -> bool:
        """Whether it can be sent a call."""
        return self.alive and self.call is None

    def begin(self, call: Call) -> None:
        """Enters that it was sent a call."""
        self.call = call
        self.sent = time.monotonic()

    def end_call(self) -> None:
        """Enters that its call has ended, whatever became of it."""
        # The time that a process needs to start is not time in which it was busy.
        if self.alive:
            self.busy += time.monotonic() - self.sent
        self.call = None

    def came_to_life(self, node: str) -> None:
        """Enters that its process answers, from this machine."""
        self.state = WorkerState.ALIVE
        self.born = time.monotonic()
        self.node = node

    def add_births(self, outcomes: Sequence[Outcome]) -> None:
        """Counts births that it has raised."""
        self.raised += len(outcomes)
        self.seconds += sum(outcome.seconds for outcome in outcomes)
        # The most memory so far only grows, so that the last outcome has the newest figure.
        self.memory = outcomes[-1].memory
        self.gpu_memory = outcomes[-1].gpu_memory

    def average(self) -> float:
        """Seconds a birth."""
        return self.seconds / self.raised
