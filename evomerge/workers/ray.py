"""Births on Ray actors, on one machine or many, with the same answer as in one process.

Each actor holds a population and a fitness of its own, its seeds memory-mapped. What travels is small: plans, recipes or small networks'
weights, a row of scores. An archive to stop by, a parent or a tiling travels once to a machine, as an object in Ray's store.
"""

from __future__ import annotations

import copy
import math
import os
import sys
import sysconfig
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.contracts import Fitness, Genome, Population
from evomerge.errors import UserError
from evomerge.workers.actor import Actor, owned
from evomerge.workers.cluster import connected
from evomerge.workers.in_flight import BirthsInFlight
from evomerge.workers.job import Job, Outcome, placed, unheeded
from evomerge.workers.pool import TICK, WorkerPool, line


class Ray:
    """Raises births on Ray actors, on one machine or many. The run is the same as in one process."""

    _between: Callable[[int], None] = staticmethod(unheeded)

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
        """Settings only.

        Args:
            count: workers. Those for which the cluster has no room yet join when there is some.
            cpus: processors that a worker needs; a share of one is fine.
            gpus: likewise GPUs.
            resources: likewise anything else that nodes have by name.
            threads: as for `Local`: with another number the last bits of a score may differ.
            births: births a call; more than one where births take milliseconds.
            limit: seconds a birth, and on the other splits a tile; the worker of one that takes longer is stopped. None: no limit.
                Loading the seeds and the model does not count.
            retries: lost workers, or births over the limit, after which a birth has failed.
            wait: seconds without any worker after which the run is saved and ends; as long a Ray that does not start is tried again.
            address: of a cluster; "auto": the one that runs on this machine. None: what RAY_ADDRESS names, as `ray job submit` sets
                it; otherwise a Ray of its own, on this machine, that listens on the loopback interface only.
            runtime_env: Ray's runtime environment of the workers.

        Raises:
            ValueError: if a setting is out of its range.
        """
        for name, whole in (
            ("count", count),
            ("threads", threads),
            ("births", births),
            ("retries", retries),
        ):
            if isinstance(whole, bool) or not isinstance(whole, int) or whole < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {whole!r}")
        for name, amount in (("cpus", cpus), ("gpus", gpus), *(dict(resources or {}).items())):
            if (
                isinstance(amount, str)
                or not (math.isfinite(amount) and amount >= 0)
                or round(amount, 4) != amount
            ):
                raise ValueError(
                    f"{name}: expected a number of at least 0 with at most 4 decimals, got {amount!r}"
                )
        if gpus > 1 and gpus != int(gpus):
            raise ValueError(
                f"gpus: expected a share of one GPU or a whole number of them, got {gpus!r}"
            )
        if wrong := {"CPU", "GPU", "memory"} & set(resources or {}):
            raise ValueError(
                f"resources: expected names that nodes have given; {wrong.pop()} has a setting of its own or none"
            )
        for name, seconds in (("limit", limit), ("wait", wait)):
            if not (name == "limit" and seconds is None) and (
                isinstance(seconds, str) or seconds is None or not seconds > 0
            ):
                raise ValueError(f"{name}: expected a number of seconds above 0, got {seconds!r}")
        variables = dict(runtime_env or {}).get("env_vars", {})
        if not isinstance(variables, Mapping) or not all(
            isinstance(text, str) for text in (*variables, *variables.values())
        ):
            raise ValueError(f"runtime_env.env_vars: expected names and texts, got {variables!r}")
        self.count, self.cpus, self.gpus, self.resources = count, cpus, gpus, resources
        self.threads, self.births, self.limit, self.retries, self.wait = (
            threads,
            births,
            limit,
            retries,
            wait,
        )
        self.address, self.runtime_env = address, runtime_env

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, the pool does not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def heed(self, between: Callable[[int], None]) -> None:
        """As `Workers.heed`, until `stop`."""
        self._between = between

    def start(self, population: Population, fitness: Fitness, width: int) -> None:
        """As `Workers.start`; workers come to life as the cluster has room for them.

        Raises:
            UserError: if Ray is not installed, or there is no cluster at the address.
            Interrupted: if Ray does not start for `wait` seconds.
        """
        self._cluster = connected(self.address, math.ceil(self.count * self.cpus), self.wait)
        ray = self._cluster.ray
        self._limit = math.inf if self.limit is None else self.limit
        self._births = BirthsInFlight(
            ray, population, width, self.births, self.retries, self._limit
        )
        try:
            actor = ray.remote(Actor).options(
                num_cpus=self.cpus,
                num_gpus=self.gpus,
                resources=dict(self.resources or {}),
                runtime_env=self._environment(),
            )
        except (ValueError, TypeError) as error:  # what Ray knows better than we
            raise UserError(f"workers: {line(str(error))}") from error
        hire = partial(actor.remote, ray.put((population, fitness)), width, self.threads)
        needs = {"CPU": self.cpus, "GPU": self.gpus} | dict(self.resources or {})
        told = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
        self._pool = WorkerPool(
            ray, hire, self._births, self.count, self.retries, self.wait, told, self._between
        )

    def _environment(self) -> dict[str, Any]:
        """The runtime environment of workers: so many threads, and modules from where they are found here, if that is there."""
        everybodys = [
            Path(sysconfig.get_path(name))
            for name in ("stdlib", "platstdlib", "purelib", "platlib")
        ]
        entries = [os.path.abspath(entry) for entry in sys.path]
        own = [
            entry
            for entry in entries
            if not any(Path(entry).is_relative_to(folder) for folder in everybodys)
        ]
        variables = dict.fromkeys(
            ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self.threads)
        )
        variables["PYTHONPATH"] = os.pathsep.join(own)
        given = dict(self.runtime_env or {})
        return given | {"env_vars": variables | dict(given.get("env_vars", {}))}

    def founders(self, seed: int) -> list[Genome]:
        """As `Workers.founders`: made by a worker, which takes the Gram matrices on the way."""
        [(founders, units)] = self._pool.ask("founders", (seed,))
        if units is not None:
            self._births.population.restore_grams(np.array(units))
        return [copy.deepcopy(founder) for founder in founders]  # memory of its own

    def submit(self, job: Job) -> None:
        """As `Workers.submit`; handed out when a result is waited for, so that births of one call are together by then."""
        self._births.add(job)

    def result(self, number: int) -> Outcome:
        """As `Workers.result`."""
        self._pool.turn()
        while number not in self._births.outcomes:
            self._between(0)
            self._pool.turn(TICK)
        outcome = self._births.outcomes.pop(number)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """As `Workers.finish`."""
        [finished] = self._pool.ask(
            "finish", (replace(job, view=None), outcome), seconds=self._limit
        )
        return owned(finished)

    def score(
        self, genomes: Sequence[Genome], tiles: Sequence[np.ndarray], split: str
    ) -> Iterator[np.ndarray]:
        """As `Workers.score`: all genomes at once, the tiles of each divided among as many workers as there are to be."""
        parts = min(self.count, len(tiles))
        shares = [tiles[part::parts] for part in range(parts)]
        arguments = [
            [(self._births.ref(genome), share, split) for share in shares] for genome in genomes
        ]
        asked = [
            self._pool.ask("score", *each, seconds=self._limit * len(shares[0]))
            for each in arguments
        ]
        for answers in asked:
            scores: list[Any] = [None] * len(tiles)
            for part, share in enumerate(answers):
                scores[part::parts] = share
                self._between(sum(map(len, shares[part])))
            yield placed(tiles, scores)

    def explain(
        self, genome: Genome, datapoints: np.ndarray, split: str
    ) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Workers.explain`."""
        [(scores, explained)] = self._pool.ask(
            "explain", (self._births.ref(genome), datapoints, split)
        )
        return scores, explained

    def status(self) -> dict[str, Any]:
        """As `WorkerPool.status`, and how many births are in flight."""
        return {"in_flight": len(self._births.jobs)} | self._pool.status()

    def stop(self) -> None:
        """As `Workers.stop`."""
        self._between = unheeded
        if hasattr(self, "_crew"):
            self._pool.dismiss()
            del self._pool, self._births
        if hasattr(self, "_cluster"):
            self._cluster.close()
            del self._cluster
