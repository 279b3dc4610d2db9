"""Births on Ray actors, on one machine or many, with the same answer as in one process.

Each actor holds a population and a fitness of its own, its seeds memory-mapped. What travels is
small: plans, recipes or small networks' weights, a row of scores. An archive to stop by, a parent
or a tiling travels once to a machine, as an object in Ray's store.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from evomerge.contracts import Fitness, Genome, Population
from evomerge.errors import UserError
from evomerge.workers.actor import Actor, owned
from evomerge.workers.call import one_line
from evomerge.workers.cluster import Cluster, connected
from evomerge.workers.environment import check_variables, runtime_environment
from evomerge.workers.in_flight import BirthsInFlight
from evomerge.workers.job import Job, Outcome, ignore_progress, joined_row
from evomerge.workers.pool import TICK, WorkerPool
from evomerge.workers.settings import (
    check_amount,
    check_gpus,
    check_resources,
    check_seconds,
    check_whole,
)


class Ray:
    """Raises births on Ray actors, on one machine or many; the run is as in one process."""

    # These stand in the class because a copy that has travelled (`__getstate__`) needs them too.
    _between: Callable[[int], None] = staticmethod(ignore_progress)
    _cluster: Cluster | None = None
    _pool: WorkerPool | None = None
    _births: BirthsInFlight | None = None

    def __init__(
        self,
        count: int,
        *,
        cpus: float = 1,
        gpus: float = 0,
        resources: Mapping[str, float] | None = None,
        threads: int = 1,
        births: int = 1,
        limit: float | None = None,
        retries: int = 3,
        wait: float = 600,
        address: str | None = None,
        runtime_env: Mapping[str, Any] | None = None,
    ) -> None:
        """Keeps the settings only.

        Args:
            count: workers. Those for which the cluster has no room yet join when there is some.
            cpus: processors that a worker needs; a share of one is fine.
            gpus: likewise GPUs.
            resources: likewise anything else that nodes have by name.
            threads: as for `Local`. With another number the last bits of a score may differ.
            births: births a call; more than one where births take milliseconds.
            limit: seconds a birth, and on the other splits a tile. The worker of one that takes
                longer is stopped. Loading the seeds and the model does not count. None: no limit.
            retries: lost workers, or births over the limit, after which a birth has failed.
            wait: seconds without any worker after which the run is saved and ends. A Ray that does
                not start is tried again for as long.
            address: of a cluster; "auto": the one that runs on this machine. None: what RAY_ADDRESS
                names, as `ray job submit` sets it; otherwise a Ray of its own, on this machine,
                that listens on the loopback interface only.
            runtime_env: Ray's runtime environment of the workers.

        Raises:
            ValueError: if a setting is out of its range.
        """
        check_whole("count", count)
        check_whole("threads", threads)
        check_whole("births", births)
        check_whole("retries", retries)
        check_amount("cpus", cpus)
        check_gpus(gpus)
        check_resources(resources or {})
        if limit is not None:
            check_seconds("limit", limit)
        check_seconds("wait", wait)
        check_variables(runtime_env or {})
        self.count = count
        self.cpus = cpus
        self.gpus = gpus
        self.resources = resources
        self.threads = threads
        self.births = births
        self.limit = limit
        self.retries = retries
        self.wait = wait
        self.address = address
        self.runtime_env = runtime_env

    def __getstate__(self) -> dict[str, Any]:
        """The settings travel; what `start` has made does not."""
        settings = {}
        for name, value in vars(self).items():
            if not name.startswith("_"):
                settings[name] = value
        return settings

    def heed(self, between: Callable[[int], None]) -> None:
        """As `Heeding.heed`, until `stop`."""
        self._between = between

    def start(self, population: Population, fitness: Fitness, width: int) -> None:
        """As `Workers.start`; workers come to life as the cluster has room for them.

        Raises:
            UserError: if Ray is not installed, or there is no cluster at the address.
            Interrupted: if Ray does not start for `wait` seconds.
        """
        self._cluster = connected(self.address, math.ceil(self.count * self.cpus), self.wait)
        # The cluster is an attribute first, so that `stop` closes it where the rest of this fails.
        ray = self._cluster.ray
        resources = dict(self.resources or {})
        try:
            actor = ray.remote(Actor).options(
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                resources=resources,
                runtime_env=runtime_environment(self.runtime_env or {}, self.threads),
            )
        # Ray knows better than we what its settings may be.
        except (ValueError, TypeError) as error:
            raise UserError(f"workers: {one_line(str(error))}") from error

        # Population and fitness lie in Ray's store, where every actor finds them.
        parts = ray.put((population, fitness))
        needs = []
        for name, amount in ({"CPU": self.cpus, "GPU": self.gpus} | resources).items():
            if amount:
                needs.append(f"{amount:g} {name}")
        self._births = BirthsInFlight(
            ray, population, width, self.births, self.retries, self._seconds()
        )
        self._pool = WorkerPool(
            ray,
            partial(actor.remote, parts, width, self.threads),
            self._births,
            self.count,
            self.retries,
            self.wait,
            ", ".join(needs),
            self._between,
        )

    def founders(self, seed: int) -> list[Genome]:
        """As `Workers.founders`: made by a worker, which gives the Gram matrices with them."""
        pool, births = self._running()
        [(founders, units)] = pool.ask("founders", (seed,))
        if units is not None:
            births.population.restore_grams(np.array(units))
        # What comes from Ray's store may not be written, so the copies have memory of their own.
        return [copy.deepcopy(founder) for founder in founders]

    def submit(self, job: Job) -> None:
        """As `Workers.submit`.

        Births are handed out when a result is waited for, so that those of one call are together.
        """
        _, births = self._running()
        births.add(job)

    def result(self, number: int) -> Outcome:
        """As `Workers.result`."""
        pool, births = self._running()
        # Births that were submitted since the last result are handed out now, many to a call.
        pool.turn()
        while number not in births.outcomes:
            self._between(0)
            pool.turn(TICK)
        outcome = births.outcomes.pop(number)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """As `Workers.finish`."""
        pool, _ = self._running()
        # It is scored to the end, so that the archive to stop by need not travel.
        arguments = (replace(job, view=None), outcome)
        [finished] = pool.ask("finish", arguments, seconds=self._seconds())
        return owned(finished)

    def score(
        self, genomes: Sequence[Genome], tiles: Sequence[np.ndarray], split: str
    ) -> Iterator[np.ndarray]:
        """As `Workers.score`.

        All genomes are scored at once. The tiles of each are divided among all workers.
        """
        pool, births = self._running()
        parts = min(self.count, len(tiles))
        shares = [tiles[part::parts] for part in range(parts)]

        # Everything is asked before the first answer is waited for, which keeps all workers busy.
        # The genomes are in Ray's store before the first call is made.
        arguments = []
        for genome in genomes:
            reference = births.ref(genome)
            arguments.append([(reference, share, split) for share in shares])
        asked = []
        for calls in arguments:
            # The first share is the longest.
            seconds = self._seconds() * len(shares[0])
            asked.append(pool.ask("score", *calls, seconds=seconds))

        for answers in asked:
            scores: list[Any] = [None] * len(tiles)
            for part, answer in enumerate(answers):
                scores[part::parts] = answer
                self._between(sum(map(len, shares[part])))
            yield joined_row(tiles, scores)

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Workers.explain`."""
        pool, births = self._running()
        [(scores, explained)] = pool.ask("explain", (births.ref(genome), datapoints, split))
        return scores, explained

    def status(self) -> dict[str, Any]:
        """As `WorkerPool.status`, and how many births are in flight."""
        pool, births = self._running()
        return {"in_flight": len(births.jobs)} | pool.status()

    def stop(self) -> None:
        """As `Workers.stop`."""
        self._between = ignore_progress
        # A start that failed may have left a cluster without a pool.
        if self._pool is not None:
            self._pool.dismiss()
            self._pool = None
            self._births = None
        if self._cluster is not None:
            self._cluster.close()
            self._cluster = None

    def _running(self) -> tuple[WorkerPool, BirthsInFlight]:
        """What `start` has made."""
        assert self._pool is not None, "start comes first, stop last"
        assert self._births is not None, "both are made together"
        return self._pool, self._births

    def _seconds(self) -> float:
        """Seconds that a birth may take."""
        if self.limit is None:
            return math.inf
        return self.limit
