"""Births on Ray actors, on one machine or many, with the same answer as in one process.

Each actor holds a population and a fitness of its own, its seeds memory-mapped. What travels is small: plans, recipes or small networks'
weights, a row of scores. An archive to stop by, a parent or a tiling travels once to a machine, as an object in Ray's store.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from heapq import heappop, heappush
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from evomerge.actor import Actor, Plan, owned
from evomerge.archive import View
from evomerge.contracts import Fitness, Genome, Population
from evomerge.crew import TICK, Call, Crew, Worker, line
from evomerge.errors import UserError
from evomerge.scoring import Job, Outcome, placed

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Where it is 0, Ray's servers listen on the loopback interface only, as they do on Windows and macOS by default."""


class Ray:
    """Raises births on Ray actors, on one machine or many. The run is the same as in one process."""

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
            limit: seconds a birth; the worker of one that takes longer is stopped. None: no limit.
            retries: lost workers, or births over the limit, after which a birth has failed.
            wait: seconds without any worker after which the run is saved and ends.
            address: of a cluster; "auto": the one that runs on this machine. None: what RAY_ADDRESS names, as `ray job submit` sets
                it; otherwise a Ray of its own, on this machine, that listens on the loopback interface only.
            runtime_env: Ray's runtime environment of the workers.

        Raises:
            ValueError: if a setting is out of its range.
        """
        for name, whole in (("count", count), ("threads", threads), ("births", births), ("retries", retries)):
            if isinstance(whole, bool) or not isinstance(whole, int) or whole < 1:
                raise ValueError(f"{name}: expected a whole number of at least 1, got {whole!r}")
        for name, number in (("cpus", cpus), ("gpus", gpus), *(dict(resources or {}).items())):
            if not (math.isfinite(number) and number >= 0):
                raise ValueError(f"{name}: expected a number of at least 0, got {number!r}")
        for name, seconds in (("limit", limit), ("wait", wait)):
            if seconds is not None and not seconds > 0:
                raise ValueError(f"{name}: expected a number of seconds above 0, got {seconds!r}")
        self.count, self.cpus, self.gpus, self.resources = count, cpus, gpus, resources
        self.threads, self.births, self.limit, self.retries, self.wait = threads, births, limit, retries, wait
        self.address, self.runtime_env = address, runtime_env

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, the pool does not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def start(self, population: Population, fitness: Fitness, width: int) -> None:
        """As `Workers.start`; workers come to life as the cluster has room for them.

        Raises:
            UserError: if Ray is not installed, or there is no cluster at the address.
        """
        ray, self._ours = connected(self.address, math.ceil(self.count * self.cpus))
        self._ray = ray
        self._births = _Births(ray, population, width, self.births, self.retries)
        actor = ray.remote(Actor).options(
            num_cpus=self.cpus, num_gpus=self.gpus, resources=dict(self.resources or {}), runtime_env=self._environment()
        )
        hire = partial(actor.remote, ray.put((population, fitness)), width, self.threads)
        needs = {"CPU": self.cpus, "GPU": self.gpus} | dict(self.resources or {})
        told = ", ".join(f"{amount:g} {name}" for name, amount in needs.items() if amount)
        self._crew = Crew(ray, hire, self._births, self.count, self.limit, self.retries, self.wait, told)
        self._births.note = self._crew.note

    def _environment(self) -> dict[str, Any]:
        """The runtime environment of workers: so many threads, and modules from where they are found here, if that is there."""
        own = [entry for entry in map(os.path.abspath, sys.path) if not entry.startswith((sys.prefix, sys.base_prefix))]
        variables = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(self.threads))
        variables["PYTHONPATH"] = os.pathsep.join(own)
        given = dict(self.runtime_env or {})
        return given | {"env_vars": variables | dict(given.get("env_vars", {}))}

    def founders(self, seed: int) -> list[Genome]:
        """As `Workers.founders`: made by a worker, which takes the Gram matrices on the way."""
        [(founders, units)] = self._crew.ask("founders", (seed,))
        if units is not None:
            self._births.population.restore_grams(np.array(units))
        return [copy.deepcopy(founder) for founder in founders]  # memory of its own

    def submit(self, job: Job) -> None:
        """As `Workers.submit`."""
        self._births.add(job)
        self._crew.turn()

    def result(self, number: int) -> Outcome:
        """As `Workers.result`."""
        self._crew.turn()
        while number not in self._births.outcomes:
            self._crew.turn(TICK)
        outcome = self._births.outcomes.pop(number)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def finish(self, job: Job, outcome: Outcome) -> Outcome:
        """As `Workers.finish`."""
        [finished] = self._crew.ask("finish", (replace(job, view=None), outcome))
        return owned(finished)

    def score(self, genome: Genome, tiles: Sequence[np.ndarray], split: str) -> np.ndarray:
        """As `Workers.score`, the tiles divided among as many workers as there are to be."""
        parts = min(self.count, len(tiles))
        shares = [(self._births.ref(genome), tiles[part::parts], split) for part in range(parts)]
        scores: list[Any] = [None] * len(tiles)
        for part, share in enumerate(self._crew.ask("score", *shares)):
            scores[part::parts] = share
        return placed(tiles, scores)

    def explain(self, genome: Genome, datapoints: np.ndarray, split: str) -> tuple[np.ndarray, list[dict[str, Any]]]:
        """As `Workers.explain`."""
        [(scores, explained)] = self._crew.ask("explain", (self._births.ref(genome), datapoints, split))
        return scores, explained

    def status(self) -> dict[str, Any]:
        """As `Crew.status`, and how many births are in flight."""
        return {"in_flight": len(self._births.jobs)} | self._crew.status()

    def stop(self) -> None:
        """As `Workers.stop`."""
        if not hasattr(self, "_crew"):
            return
        self._crew.dismiss()
        if self._ours:
            self._ray.shutdown()
        del self._crew, self._births, self._ray


class _Births:
    """The births in flight: those that wait, what becomes of each, and whether one has cost too many workers."""

    def __init__(self, ray: Any, population: Any, width: int, together: int, retries: int) -> None:
        self.ray, self.population, self.width, self.retries = ray, population, width, retries
        self.most = together if width == 1 else width
        self.jobs: dict[int, Job] = {}
        self.outcomes: dict[int, Outcome | Exception] = {}
        self.note: Any = None
        self._waiting: list[int] = []
        self._losses: Counter[int] = Counter()
        self._suspects: set[int] = set()
        self._refs: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def add(self, job: Job) -> None:
        """One more."""
        self.jobs[job.birth.number] = job
        heappush(self._waiting, job.birth.number)

    def preparation(self) -> Call | None:
        """As `Births.preparation`: what takes long the first time does not count as a birth's."""
        if not self._waiting:
            return None
        genomes = self.jobs[self._waiting[0]].birth.genomes
        units = self.population.grams.units if hasattr(self.population, "restore_grams") else None
        return Call("prepare", (units, self.ref(genomes[0]) if genomes else None))

    def next(self) -> Call | None:
        """As `Births.next`: births of one tiling, and of one stack; one alone that may be a worker's end."""
        if not self._waiting:
            return None
        numbers = [heappop(self._waiting)]
        first, stack = self.jobs[numbers[0]], (numbers[0] - 1) // self.width
        while len(numbers) < self.most and self._waiting and not self._suspects & {numbers[0], self._waiting[0]}:
            number = self._waiting[0]
            if self.jobs[number].tiling is not first.tiling or (self.width > 1 and (number - 1) // self.width != stack):
                break
            numbers.append(heappop(self._waiting))
        refs: dict[Any, int] = {self.ref(first.tiling): 0}

        def place(value: Any) -> int:
            return refs.setdefault(self.ref(value), len(refs))

        plans = [
            Plan(
                replace(job.birth, genomes=()),
                tuple(map(place, job.birth.genomes)),
                None if job.view is None else (place(job.view), self.ref(job.view).hex()),
                job.best,
            )
            for job in map(self.jobs.__getitem__, numbers)
        ]
        return Call("raise_births", (plans, *refs), tuple(numbers))

    def answered(self, call: Call, worker: Worker) -> None:
        """As `Births.answered`."""
        for number, outcome in zip(call.births, call.answer, strict=True):
            attempts = 1 + self._losses[number]
            self._settle(number, replace(owned(outcome), worker=worker.id, attempts=attempts))
            self.note(worker, outcome.seconds)

    def failed(self, call: Call, error: Exception) -> None:
        """As `Births.failed`."""
        for number in call.births:
            self._settle(number, error)

    def lost(self, call: Call, why: str, *, blameless: bool) -> None:
        """As `Births.lost`: each is raised again, alone, and is a failure after too many."""
        for number in call.births:
            self._suspects.add(number)
            self._losses[number] += len(call.births) == 1 and not blameless
            losses = self._losses[number]
            if losses < self.retries:
                heappush(self._waiting, number)
                continue
            scores = np.full(sum(map(len, self.jobs[number].tiling.tiles)), np.nan, dtype=np.float32)
            failure = f"it lost its worker {losses} times, at last: {why}"
            self._settle(number, Outcome(None, scores, 0, failure, attempts=losses, lost=True))

    def ref(self, value: Any) -> Any:
        """A value in Ray's store, put there once; an archive without its members."""
        if value not in self._refs:
            self._refs[value] = self.ray.put(replace(value, members=()) if isinstance(value, View) else value)
        return self._refs[value]

    def _settle(self, number: int, outcome: Outcome | Exception) -> None:
        del self.jobs[number]
        self._losses.pop(number, None)
        self._suspects.discard(number)
        self.outcomes[number] = outcome


def connected(address: str | None, cpus: int) -> tuple[Any, bool]:
    """Ray, connected to a cluster.

    Args:
        address: as for `Ray`.
        cpus: what a cluster of our own has at least.

    Returns:
        The module; whether the cluster is our own, to be shut down.

    Raises:
        UserError: if Ray is not installed, or there is no cluster at the address.
    """
    address = address or os.environ.get("RAY_ADDRESS") or None
    if address is None and "ray" not in sys.modules:
        os.environ.setdefault(LOOPBACK, "0")
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("workers: Ray is not installed: pip install 'evomerge[ray]', or use evomerge.workers.Local") from error
    if ray.is_initialized():
        return ray, False
    _check_address(address)
    handler = signal.getsignal(signal.SIGTERM)
    settings: dict[str, Any] = {"address": address}
    if address is None:
        settings = {"address": "local", "include_dashboard": False, "num_cpus": max(cpus, os.cpu_count() or 1)}
    try:
        ray.init(**settings, logging_level=logging.WARNING)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UserError(f"workers.address: cannot connect to {address or 'a Ray of our own'}: {line(str(error))}") from error
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, handler)  # Ray has taken it
    return ray, address is None


def _check_address(address: str | None) -> None:
    """Whether somebody answers there; Ray itself would try for a minute, and then end the process.

    Raises:
        UserError: if nobody does, or it is no address.
    """
    if address in (None, "auto", "local"):
        return
    host, _, port = str(address).rpartition(":")
    if not host or "//" in host or not port.isdigit():
        raise UserError(f"workers.address: expected auto, or host:port of a cluster, got {address!r}")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
    except OSError as error:
        raise UserError(f"workers.address: there is no cluster at {address} ({error})") from error
