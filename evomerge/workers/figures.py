"""How busy and how fast the workers on Ray are, for whoever watches a run."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from evomerge.workers.job import Outcome
from evomerge.workers.worker import Worker

REMEMBERED = 1000
"""Births of which the time is kept for the median."""


@dataclass(eq=False)
class Figures:
    """What is remembered of workers beyond their lives, for `WorkerPool.status`.

    Attributes:
        restarts: workers that were lost after they had been of use.
        lived: seconds that lost workers were alive.
        busy: seconds in which they had something to do.
        times: seconds of the newest births.
    """

    restarts: int = 0
    lived: float = 0.0
    busy: float = 0.0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def add_births(self, outcomes: Sequence[Outcome]) -> None:
        """Remembers the seconds of births."""
        for outcome in outcomes:
            self.times.append(outcome.seconds)

    def add_lost(self, worker: Worker) -> None:
        """Remembers the time of a worker that was alive and is lost."""
        self.lived += time.monotonic() - worker.born
        self.busy += worker.busy

    def status(self, workers: Sequence[Worker], count: int) -> dict[str, Any]:
        """The figures of these workers; see `WorkerPool.status`.

        Args:
            workers: those that are alive, or on the way.
            count: how many there are to be.
        """
        now = time.monotonic()
        alive = [worker for worker in workers if worker.alive]
        # Workers that are gone count too, or each loss would change the share of the past.
        lived = self.lived
        busy = self.busy
        memory = 0
        gpu_memory = 0
        slowest: Worker | None = None
        for worker in alive:
            lived += now - worker.born
            busy += worker.busy
            # A call that is under way keeps its worker busy, too.
            if worker.call is not None:
                busy += now - worker.sent
            memory = max(memory, worker.memory)
            gpu_memory = max(gpu_memory, worker.gpu_memory)
            if worker.raised and (slowest is None or worker.average() > slowest.average()):
                slowest = worker
        times = sorted(self.times)
        return {
            "alive": len(alive),
            "count": count,
            "busy": round(busy / lived, 4) if lived else None,
            "median": _quantile(times, 0.5),
            "p95": _quantile(times, 0.95),
            "slowest": _as_slowest(slowest),
            "restarts": self.restarts,
            "memory": memory,
            "gpu_memory": gpu_memory,
        }


def _quantile(times: Sequence[float], share: float) -> float | None:
    """The time that this share of births stays below; None without births."""
    if not times:
        return None
    return times[int(share * len(times))]


def _as_slowest(worker: Worker | None) -> dict[str, Any] | None:
    """How a status shows the worker whose births take longest on average."""
    if worker is None:
        return None
    return {"worker": worker.id, "node": worker.node, "seconds": worker.average()}
