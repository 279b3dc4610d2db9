"""The state of a run, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field

from evomerge.archives.archive import Archive
from evomerge.archives.tiling import Tiling
from evomerge.run.best import Best
from evomerge.workers.job import Job

COUNTERS = ("decided", "since_best", "failures", "failed_in_row", "scored", "seconds", "memory")
"""The numbers of a state."""


@dataclass
class State:
    """All that a run is between two births.

    Attributes:
        archive: the members alive.
        best: the best child so far.
        tiling: how births planned from now on are scored.
        decided: number of the last birth that was admitted, rejected or failed.
        jobs: births in flight, by number.
        since_best: births since best changed.
        failures: births that failed.
        failed_in_row: births that failed since the last that did not.
        scored: sum over births of the share of datapoints that was scored.
        seconds: time that the run has taken.
        memory: most bytes that the process which leads the run had in memory.
    """

    archive: Archive
    best: Best
    tiling: Tiling
    decided: int = 0
    jobs: dict[int, Job] = field(default_factory=dict)
    since_best: int = 0
    failures: int = 0
    failed_in_row: int = 0
    scored: float = 0.0
    seconds: float = 0.0
    memory: int = 0
