"""Births that wait for a worker of Ray, and those that are at one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any
from weakref import finalize

from evomerge.archives.archive import View
from evomerge.contracts import Recipes
from evomerge.errors import Interrupted
from evomerge.workers.actor import Plan, owned
from evomerge.workers.job import Job, Outcome, unscored
from evomerge.workers.pool import Call, line


class BirthsInFlight:
    """The births in flight: those that wait, what becomes of each, and whether one has cost too many workers."""

    def __init__(
        self, ray: Any, population: Any, width: int, together: int, retries: int, limit: float
    ) -> None:
        self.ray, self.population, self.width, self.retries, self.limit = (
            ray,
            population,
            width,
            retries,
            limit,
        )
        self.most = together if width == 1 else width
        self.jobs: dict[int, Job] = {}
        self.outcomes: dict[int, Outcome | Exception] = {}
        self._waiting: list[int] = []
        self._raised: Counter[int] = Counter()
        self._strikes: Counter[int] = Counter()
        self._suspects: set[int] = set()
        self._refs: dict[int, Any] = {}

    def add(self, job: Job) -> None:
        """One more."""
        self.jobs[job.birth.number] = job
        heappush(self._waiting, job.birth.number)

    def preparation(self) -> Call | None:
        """As `Births.preparation`: what takes long the first time does not count as a birth's."""
        if not self._waiting:
            return None
        birth = self.jobs[self._waiting[0]].birth
        genome = birth.made if birth.made is not None else next(iter(birth.genomes), None)
        units = (
            self.ref(self.population.grams.units) if isinstance(self.population, Recipes) else None
        )
        return Call("prepare", (units, None if genome is None else self.ref(genome)))

    def next(self) -> Call | None:
        """As `Births.next`: births of one tiling, and of one stack; one alone that may be a worker's end."""
        if not self._waiting:
            return None
        numbers = [heappop(self._waiting)]
        first, stack = self.jobs[numbers[0]], (numbers[0] - 1) // self.width
        while (
            len(numbers) < self.most
            and self._waiting
            and not self._suspects & {numbers[0], self._waiting[0]}
        ):
            number = self._waiting[0]
            if self.jobs[number].tiling is not first.tiling or (
                self.width > 1 and (number - 1) // self.width != stack
            ):
                break
            numbers.append(heappop(self._waiting))
        self._raised.update(numbers)
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
        return Call("raise_births", (plans, *refs), tuple(numbers), self.limit * len(numbers))

    def answered(self, call: Call, worker: int) -> None:
        """As `Births.answered`."""
        for number, outcome in zip(call.births, call.answer, strict=True):
            self._settle(
                number, replace(owned(outcome), worker=worker, attempts=self._raised[number])
            )

    def failed(self, call: Call, error: Exception) -> None:
        """As `Births.failed`: what the surroundings did is tried again, as often as workers may be lost."""
        for number in call.births:
            self._strikes[number] += 1
            if isinstance(error, Interrupted) and self._strikes[number] < self.retries:
                heappush(self._waiting, number)
            else:
                self._settle(number, error)

    def lost(self, call: Call, why: str, *, blameless: bool) -> None:
        """As `Births.lost`: each is raised again, alone, and is a failure after too many."""
        for number in call.births:
            self._suspects.add(number)
            self._strikes[number] += len(call.births) == 1 and not blameless
            strikes = self._strikes[number]
            if strikes < self.retries:
                heappush(self._waiting, number)
                continue
            scores = unscored(self.jobs[number].tiling.tiles)
            failure = f"it lost its worker {strikes} times, at last: {why}"
            self._settle(
                number, Outcome(None, scores, 0, failure, attempts=self._raised[number], lost=True)
            )

    def ref(self, value: Any) -> Any:
        """A value in Ray's store, put there once; an archive without its members."""
        key = id(value)
        if key not in self._refs:
            try:
                self._refs[key] = self.ray.put(
                    replace(value, members=()) if isinstance(value, View) else value
                )
            except self.ray.exceptions.RayError as error:
                raise Interrupted(f"Ray's store takes no more: {line(str(error))}") from error
            finalize(value, self._refs.pop, key, None)
        return self._refs[key]

    def _settle(self, number: int, outcome: Outcome | Exception) -> None:
        del self.jobs[number]
        self._raised.pop(number, None)
        self._strikes.pop(number, None)
        self._suspects.discard(number)
        self.outcomes[number] = outcome
