"""Workers on Ray: who is free gets the next call; who is lost is replaced, and its call made again.

How far a worker has come is its `WorkerState`, whose docstring draws the way.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count as counting
from queue import Empty, SimpleQueue
from typing import Any

from evomerge.errors import Interrupted, Lost
from evomerge.workers.absence import Absence
from evomerge.workers.call import Births, Call, one_line
from evomerge.workers.figures import Figures
from evomerge.workers.job import ignore_progress
from evomerge.workers.vacancies import Vacancies
from evomerge.workers.worker import Worker, WorkerState

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds after which a wait looks up for time limits, and for workers that do not come."""

NODE_DIED = "node has died"
"""What Ray says where a worker's end was not its own doing."""


@dataclass(eq=False)
class WorkerPool:
    """A pool of so many actors of one kind.

    Attributes:
        ray: the module, connected.
        start_actor: makes an actor.
        births: what the workers have to do when nothing else is asked of them.
        count: how many workers there are to be.
        retries: lost workers after which a call is given up.
        wait: seconds without any worker after which everything is given up.
        needs: what a worker needs, in words.
        between: is called again and again while an answer is waited for; what it raises ends the
            wait.
    """

    ray: Any
    start_actor: Callable[[], Any]
    births: Births
    count: int
    retries: int
    wait: float
    needs: str
    between: Callable[[int], None] = ignore_progress
    _workers: list[Worker] = field(default_factory=list)
    _urgent: deque[Call] = field(default_factory=deque)
    _figures: Figures = field(default_factory=Figures)

    def __post_init__(self) -> None:
        self._ids = counting()
        # What Ray's threads report, for this one to take when it looks.
        self._events: SimpleQueue[tuple[Worker, Call, Any]] = SimpleQueue()
        self._vacancies = Vacancies(self.count)
        self._absence = Absence(self.wait, self.needs)

    def ask(self, method: str, *calls: tuple[Any, ...], seconds: float = math.inf) -> Iterator[Any]:
        """What workers answer to these calls of a method, which go before any birth that waits.

        Args:
            method: of `evomerge.workers.actor.Actor`.
            calls: the arguments of each; all are made at once.
            seconds: how long each may take.

        Returns:
            The answers, in the order of the calls, each when it is there.

        Raises:
            Lost: if one costs too many workers, or takes longer than so many seconds as often.
            Interrupted: if the surroundings fail too often.
            Exception: whatever a call raised.
        """
        asked = []
        for arguments in calls:
            asked.append(Call(method, arguments, seconds=seconds))
        self._urgent.extend(asked)
        self.turn()
        return map(self._wait_for, asked)

    def turn(self, seconds: float = 0.0) -> None:
        """Takes what has happened, and gives everybody who is free something to do.

        Args:
            seconds: how long to wait for something to happen.

        Raises:
            Interrupted: if workers do not come to life, or there has been none for too long.
        """
        while self._vacancies.take():
            self._start_worker()
        # Whoever is free works while this thread waits.
        self._assign()
        self._take_events(seconds)
        self._assign()
        # A turn that does not wait is made for every birth; time limits can wait for one that does.
        if seconds:
            self._stop_overdue()
            self._check_for_workers()

    def status(self) -> dict[str, Any]:
        """How the workers are.

        Returns:
            alive and count; busy, the share of the workers' time in which they had something to do;
            median and p95 of the newest births' seconds; slowest, the worker whose births take
            longest on average, with that average; restarts; memory and gpu_memory, the most bytes
            that one of them has had.
        """
        return self._figures.status(self._workers, self.count)

    def dismiss(self) -> None:
        """Ends all workers."""
        for worker in self._workers:
            self.ray.kill(worker.actor)
        self._workers.clear()

    def _wait_for(self, call: Call) -> Any:
        """The answer to a call; raises what the call has raised."""
        while not call.done:
            self.between(0)
            self.turn(TICK)
        if call.error is not None:
            raise call.error
        return call.answer

    def _start_worker(self) -> None:
        """Starts a worker, which says that it is ready as soon as the cluster has room for it."""
        worker = Worker(next(self._ids), self.start_actor())
        self._workers.append(worker)
        self._send(worker, Call("ready", ()))

    def _assign(self) -> None:
        """Gives every worker that is free the next call, as far as there are any."""
        for worker in self._workers:
            if not worker.free:
                continue
            call = self._next_call(worker)
            if call is None:
                return
            self._send(worker, call)

    def _next_call(self, worker: Worker) -> Call | None:
        """What a worker that is free is to do, if there is anything."""
        # What the run itself waits for, such as the scores of a founder, goes first.
        if self._urgent:
            return self._urgent.popleft()
        # A worker loads its seeds and its model in a call of their own, so that a birth's time
        # limit does not count that.
        if not worker.prepared:
            return self.births.preparation()
        return self.births.next()

    def _send(self, worker: Worker, call: Call) -> None:
        """Makes a call; what becomes of it is put among the events by a thread of Ray."""
        worker.begin(call)
        future = getattr(worker.actor, call.method).remote(*call.arguments).future()
        future.add_done_callback(lambda done: self._events.put((worker, call, done)))

    def _take_events(self, seconds: float) -> None:
        """Enters everything that has happened; waits so long for the first event."""
        try:
            event = self._events.get(block=seconds > 0, timeout=seconds)
            while True:
                self._take(*event)
                event = self._events.get_nowait()
        except Empty:
            pass

    def _take(self, worker: Worker, call: Call, done: Any) -> None:
        """Enters what has become of a call."""
        # The call took too long, and has been given up with its worker.
        if worker.state is WorkerState.LOST:
            return
        worker.end_call()
        error = done.exception()
        if error is None:
            call.succeed(done.result())
            self._take_answer(worker, call)
            return

        # Ray wraps what the actor's code has raised. Where it wraps nothing, or an error of its
        # own, the process is gone.
        cause = getattr(error, "cause", None)
        if not isinstance(cause, Exception) or isinstance(cause, self.ray.exceptions.RayError):
            self._replace(worker, call, str(error))
        # A worker that cannot load lives, but is of no use. Another may land where the seeds are.
        elif call.method == "prepare":
            self._replace(worker, call, f"{type(cause).__name__}: {cause}")
        else:
            self._take_error(call, cause)

    def _take_answer(self, worker: Worker, call: Call) -> None:
        """Enters what a worker has answered."""
        if call.method == "ready":
            worker.came_to_life(call.answer)
        elif call.method == "prepare":
            # It can load, so that whatever kept others from it has not happened to all in a row.
            worker.state = WorkerState.PREPARED
            self._vacancies.failed_starts = 0
        elif call.births:
            self._figures.add_births(call.answer)
            worker.add_births(call.answer)
            self.births.answered(call, worker.id)

    def _take_error(self, call: Call, error: Exception) -> None:
        """Enters what a call has raised in a worker that lives."""
        if call.births:
            self.births.failed(call, error)
            return
        # What the surroundings did is tried again, by whoever is free. Anything else is the answer.
        call.losses += 1
        if isinstance(error, Interrupted) and call.losses < self.retries:
            self._urgent.appendleft(call)
        else:
            call.fail(error)

    def _replace(self, worker: Worker, call: Call, why: str) -> None:
        """Gives up a worker; another takes its place, and its call is made again."""
        self._remove(worker, why)
        if call.method in ("ready", "prepare"):
            self._restart_later(call, why)
            return
        self._figures.restarts += 1
        self._vacancies.add()

        # The end of a whole node is not held against what its workers were doing.
        blameless = NODE_DIED in why
        if call.births:
            self.births.lost(call, one_line(why), blameless=blameless)
            return
        if not blameless:
            call.losses += 1
        if call.losses < self.retries:
            self._urgent.appendleft(call)
            return
        failure = f"{call.method} lost its worker {call.losses} times, at last: {one_line(why)}"
        call.fail(Lost(failure))

    def _remove(self, worker: Worker, why: str) -> None:
        """Takes a worker out of the pool."""
        self._workers.remove(worker)
        # It may only be out of reach, and would go on with a birth that somebody else has by then.
        self.ray.kill(worker.actor)
        if worker.alive:
            self._absence.begin()
            self._figures.add_lost(worker)
        worker.state = WorkerState.LOST
        log.warning("worker %d is lost (%s); another takes its place", worker.id, one_line(why))

    def _restart_later(self, call: Call, why: str) -> None:
        """Starts another worker, after a pause, for one that was lost before its first birth.

        Raises:
            Interrupted: if that has happened too often, and no other worker has come further.
        """
        self._vacancies.add_failed_start()
        failures = self._vacancies.failed_starts
        if failures > self.retries and not self._others_passed(call.method):
            raise Interrupted(f"workers do not come to life: {one_line(why)}")

    def _others_passed(self, method: str) -> bool:
        """Whether a worker of the pool has come through this call, "ready" or "prepare"."""
        if method == "prepare":
            return any(worker.prepared for worker in self._workers)
        return any(worker.alive for worker in self._workers)

    def _stop_overdue(self) -> None:
        """Ends the workers whose call takes too long."""
        now = time.monotonic()
        # The loop goes over a copy, since workers leave the pool on the way.
        for worker in list(self._workers):
            call = worker.call
            if call is not None and now - worker.sent > call.seconds:
                worker.end_call()
                self._replace(worker, call, f"it took longer than {call.seconds:g} s")

    def _check_for_workers(self) -> None:
        """Ends a wait for workers that do not come.

        Raises:
            Interrupted: if there has been none for `wait` seconds.
        """
        if any(worker.alive for worker in self._workers):
            self._absence.end()
        else:
            self._absence.check(self.ray.cluster_resources)
