"""Ray actors at work: who is free gets the next call; who is lost is replaced, and the call made again."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import count as counting
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from evomerge.errors import Interrupted, Lost
from evomerge.workers.job import unheeded

log = logging.getLogger(__name__)

TICK = 0.5
"""Seconds after which a wait looks up for time limits, and for workers that do not come."""

SILENT = 10.0
"""Seconds without a worker before it is said."""

PAUSE = 60.0
"""Most seconds before a worker that did not come to life is tried again."""

REMEMBERED = 1000
"""Births of which the time is kept for the median."""

NODE_DIED = "node has died"
"""What Ray says where a worker's end was not its own doing."""


@dataclass(eq=False)
class Call:
    """What one worker is asked for.

    Attributes:
        method: of `evomerge.workers.actor.Actor`.
        arguments: its arguments.
        births: the births that it raises, if any.
        seconds: how long it may take.
        losses: how many workers it has cost, or how often it failed on its surroundings.
        answer: what it gave.
        error: what it raised, if it is not made again.
        done: whether there is one of these.
    """

    method: str
    arguments: tuple[Any, ...]
    births: tuple[int, ...] = ()
    seconds: float = math.inf
    losses: int = 0
    answer: Any = None
    error: Exception | None = None
    done: bool = False


@dataclass(eq=False)
class Worker:
    """One actor, and what it has done.

    Attributes:
        id: a number that no other worker of the run had.
        actor: its handle.
        node: where it lives.
        born: when it came to life; None before.
        call: what it does now.
        sent: since when.
        prepared: whether it has all that a birth needs.
        busy: seconds in which it had something to do.
        raised: births.
        seconds: what they took.
        memory: most bytes that its process has had.
        gpu_memory: likewise on GPUs.
    """

    id: int
    actor: Any
    node: str = ""
    born: float | None = None
    call: Call | None = None
    sent: float = 0.0
    prepared: bool = False
    busy: float = 0.0
    raised: int = 0
    seconds: float = 0.0
    memory: int = 0
    gpu_memory: int = 0


class Births(Protocol):
    """Where births come from, and where what becomes of them goes."""

    def preparation(self) -> Call | None:
        """What a worker needs before its first birth; None if no birth waits."""

    def next(self) -> Call | None:
        """The oldest births that wait, as many as go in one call; None if none waits."""

    def answered(self, call: Call, worker: int) -> None:
        """Births were raised, by the worker of this number."""

    def failed(self, call: Call, error: Exception) -> None:
        """They were not, and the worker lives: an error of the surroundings, or a bug."""

    def lost(self, call: Call, why: str, *, blameless: bool) -> None:
        """Their worker is gone."""


@dataclass(eq=False)
class WorkerPool:
    """So many actors of one kind.

    Attributes:
        ray: the module, connected.
        hire: makes an actor.
        births: what they have to do when nothing else is asked of them.
        count: how many.
        retries: lost workers after which a call is given up.
        wait: seconds without any worker after which everything is.
        needs: what a worker needs, in words.
        between: is called again and again while an answer is waited for; what it raises ends the wait.
    """

    ray: Any
    hire: Callable[[], Any]
    births: Births
    count: int
    retries: int
    wait: float
    needs: str
    between: Callable[[int], None] = unheeded
    _workers: list[Worker] = field(default_factory=list)
    _urgent: deque[Call] = field(default_factory=deque)
    _times: deque[float] = field(default_factory=lambda: deque(maxlen=REMEMBERED))

    def __post_init__(self) -> None:
        self._ids = counting()
        self._events: SimpleQueue[tuple[Worker, Call, Any]] = SimpleQueue()
        self._restarts = self._stillborn = 0
        self._alive_before = self._busy_before = 0.0
        self._alone_since, self._told = time.monotonic(), False
        self._vacant = [0.0] * self.count

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
        asked = [Call(method, arguments, seconds=seconds) for arguments in calls]
        self._urgent.extend(asked)
        self.turn()
        return map(self._answer, asked)

    def turn(self, seconds: float = 0.0) -> None:
        """Takes what has happened, after waiting so long for it, and gives everybody who is free something to do.

        Raises:
            Interrupted: if workers do not come to life, or there has been none for too long.
        """
        while self._vacant and self._vacant[0] <= time.monotonic():
            heappop(self._vacant)
            self._hire()
        self._assign()
        try:
            happened = self._events.get(timeout=seconds) if seconds else self._events.get_nowait()
            while True:
                self._take(*happened)
                happened = self._events.get_nowait()
        except Empty:
            pass
        self._assign()
        if seconds:
            self._watch()

    def status(self) -> dict[str, Any]:
        """How the workers are.

        Returns:
            alive and count; busy, the share of the workers' time in which they had something to do; median and p95 of the newest
            births' seconds; slowest, the worker whose births take longest on average, with that average; restarts.
        """
        now, alive = (
            time.monotonic(),
            [worker for worker in self._workers if worker.born is not None],
        )
        lived = self._alive_before + sum(now - (worker.born or now) for worker in alive)
        busy = self._busy_before + sum(
            worker.busy + (now - worker.sent if worker.call else 0.0) for worker in alive
        )
        slowest = max(
            (worker for worker in alive if worker.raised),
            key=lambda worker: worker.seconds / worker.raised,
            default=None,
        )
        times = sorted(self._times)
        return {
            "alive": len(alive),
            "count": self.count,
            "busy": round(busy / lived, 4) if lived else None,
            "median": times[len(times) // 2] if times else None,
            "p95": times[int(0.95 * len(times))] if times else None,
            "slowest": slowest
            and {
                "worker": slowest.id,
                "node": slowest.node,
                "seconds": slowest.seconds / slowest.raised,
            },
            "restarts": self._restarts,
            "memory": max((worker.memory for worker in alive), default=0),
            "gpu_memory": max((worker.gpu_memory for worker in alive), default=0),
        }

    def _answer(self, call: Call) -> Any:
        while not call.done:
            self.between(0)
            self.turn(TICK)
        if call.error is not None:
            raise call.error
        return call.answer

    def dismiss(self) -> None:
        """Ends all of them."""
        for worker in self._workers:
            self.ray.kill(worker.actor)
        self._workers.clear()

    def _hire(self) -> None:
        worker = Worker(next(self._ids), self.hire())
        self._workers.append(worker)
        self._send(worker, Call("ready", ()))

    def _assign(self) -> None:
        for worker in self._workers:
            if worker.born is None or worker.call is not None:
                continue
            if self._urgent:
                self._send(worker, self._urgent.popleft())
                continue
            call = self.births.next() if worker.prepared else self.births.preparation()
            if call is None:
                return
            self._send(worker, call)

    def _send(self, worker: Worker, call: Call) -> None:
        worker.call, worker.sent = call, time.monotonic()
        future = getattr(worker.actor, call.method).remote(*call.arguments).future()
        future.add_done_callback(lambda done: self._events.put((worker, call, done)))

    def _take(self, worker: Worker, call: Call, done: Any) -> None:
        """Enters what has become of a call."""
        if worker.call is not call:
            return  # it was given up
        worker.call, error = None, done.exception()
        if worker.born is not None:
            worker.busy += time.monotonic() - worker.sent
        cause = getattr(error, "cause", None)
        if error is None:
            call.answer, call.done = done.result(), True
            self._answered(worker, call)
        elif not isinstance(cause, Exception) or isinstance(cause, self.ray.exceptions.RayError):
            self._lost(worker, call, str(error))
        elif call.method == "prepare":  # it lives, and is of no use
            self._lost(worker, call, f"{type(cause).__name__}: {cause}")
        else:
            self._raised(call, cause)

    def _answered(self, worker: Worker, call: Call) -> None:
        if call.method == "ready":
            worker.born, worker.node = time.monotonic(), call.answer
        elif call.method == "prepare":
            worker.prepared, self._stillborn = True, 0
        elif call.births:
            times = [outcome.seconds for outcome in call.answer]
            self._times.extend(times)
            worker.raised += len(times)
            worker.seconds += sum(times)
            worker.memory, worker.gpu_memory = call.answer[-1].memory, call.answer[-1].gpu_memory
            self.births.answered(call, worker.id)

    def _raised(self, call: Call, error: Exception) -> None:
        """What the surroundings did is tried again, by whoever is free; anything else is the answer."""
        if call.births:
            self.births.failed(call, error)
            return
        call.losses += 1
        if isinstance(error, Interrupted) and call.losses < self.retries:
            self._urgent.appendleft(call)
            return
        call.error, call.done = error, True

    def _lost(self, worker: Worker, call: Call, why: str) -> None:
        """A worker is gone: its call is made again, unless it has cost too many, and another worker takes its place."""
        now, blameless = time.monotonic(), NODE_DIED in why
        self._workers.remove(worker)
        self.ray.kill(worker.actor)  # it may only be out of reach
        if worker.born is not None:
            self._alone_since = now
            self._alive_before += now - worker.born
            self._busy_before += worker.busy
        log.warning("worker %d is lost (%s); another takes its place", worker.id, line(why))
        if call.method in ("ready", "prepare"):
            self._stillborn += 1
            useful = any(
                other.prepared if call.method == "prepare" else other.born is not None
                for other in self._workers
            )
            if self._stillborn > self.retries and not useful:
                raise Interrupted(f"workers do not come to life: {line(why)}")
            heappush(self._vacant, now + min(0.5 * 2**self._stillborn, PAUSE))
            return
        self._restarts += 1
        heappush(self._vacant, now)
        if call.births:
            self.births.lost(call, line(why), blameless=blameless)
            return
        call.losses += not blameless
        if call.losses < self.retries:
            self._urgent.appendleft(call)
        else:
            call.error, call.done = (
                Lost(f"{call.method} lost its worker {call.losses} times, at last: {line(why)}"),
                True,
            )

    def _watch(self) -> None:
        """Stops what takes too long, and ends a wait for workers that do not come."""
        now = time.monotonic()
        for worker in list(self._workers):
            call = worker.call
            if call is not None and now - worker.sent > call.seconds:
                worker.call = None
                worker.busy += now - worker.sent
                self._lost(worker, call, f"it took longer than {call.seconds:g} s")
        if any(worker.born for worker in self._workers):
            self._alone_since, self._told = now, False
        elif now - self._alone_since > self.wait:
            has = {
                name: amount
                for name, amount in self.ray.cluster_resources().items()
                if ":" not in name
            }
            raise Interrupted(
                f"there was no worker for {self.wait:g} s: one needs {self.needs}, the cluster has {has}"
            )
        elif not self._told and now - self._alone_since > SILENT:
            self._told = True
            log.warning(
                "there is no worker; waiting up to %g s (one needs %s)", self.wait, self.needs
            )


def line(text: str) -> str:
    """What Ray says in many lines, in one: the first and the last, which says why."""
    lines = [" ".join(part.split()) for part in text.splitlines() if part.strip()]
    return " ... ".join(dict.fromkeys([*lines[:1], *lines[-1:]]))[:300]
