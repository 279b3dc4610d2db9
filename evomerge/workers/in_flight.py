"""Births that wait for a worker of Ray, and those that are at one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from heapq import heappop, heappush
from typing import Any
from weakref import finalize

from evomerge.archives.archive import View
from evomerge.contracts import Genome, Recipes, can
from evomerge.errors import Interrupted
from evomerge.strategies.strategy import Birth
from evomerge.workers.actor import Plan, owned
from evomerge.workers.call import Call, one_line
from evomerge.workers.job import Job, Outcome, unscored_row


class BirthsInFlight:
    """The births in flight: which wait, which are at a worker, and what became of each.

    Attributes:
        population: how a genome becomes a model; it may hold the seeds' Gram matrices.
        jobs: births that are not settled yet, by their numbers.
        outcomes: what became of births, by their numbers, until somebody takes it.
    """

    def __init__(
        self, ray: Any, population: Any, width: int, together: int, retries: int, limit: float
    ) -> None:
        """Begins without births.

        Args:
            ray: the module, connected.
            population: as above.
            width: births of a stack.
            together: most births of a call, where there are no stacks.
            retries: lost workers after which a birth has failed.
            limit: seconds that a birth may take.
        """
        self.population = population
        self.jobs: dict[int, Job] = {}
        self.outcomes: dict[int, Outcome | Exception] = {}
        self._ray = ray
        self._width = width
        self._most = together
        # A stack is one call: its births are scored together.
        if width > 1:
            self._most = width
        self._retries = retries
        self._limit = limit
        # A heap of the numbers of births that wait. A run waits for the oldest, which goes first.
        self._waiting: list[int] = []
        # How often a birth was sent to a worker, and how often it may have been a worker's end.
        self._attempts: Counter[int] = Counter()
        self._strikes: Counter[int] = Counter()
        # Births that were with a worker when it was lost.
        self._suspects: set[int] = set()
        # What lies in Ray's store, by the id of the value.
        self._refs: dict[int, Any] = {}

    def add(self, job: Job) -> None:
        """Adds a birth."""
        self.jobs[job.birth.number] = job
        heappush(self._waiting, job.birth.number)

    def preparation(self) -> Call | None:
        """As `Births.preparation`: what takes long the first time does not count as a birth's."""
        if not self._waiting:
            return None
        units = None
        if can(self.population, Recipes):
            units = self.ref(self.population.grams.units)
        genome = _any_genome(self.jobs[self._waiting[0]].birth)
        if genome is None:
            return Call("prepare", (units, None))
        return Call("prepare", (units, self.ref(genome)))

    def next(self) -> Call | None:
        """As `Births.next`: births of one tiling, and of one stack."""
        if not self._waiting:
            return None
        numbers = [heappop(self._waiting)]
        while len(numbers) < self._most and self._waiting and self._fits(numbers[0]):
            numbers.append(heappop(self._waiting))
        self._attempts.update(numbers)

        # Births of a call share parents, archive and tiling. Each of them travels once.
        places: dict[Any, int] = {self.ref(self.jobs[numbers[0]].tiling): 0}
        plans = []
        for number in numbers:
            plans.append(self._plan(self.jobs[number], places))
        return Call("raise_births", (plans, *places), tuple(numbers), self._limit * len(numbers))

    def answered(self, call: Call, worker: int) -> None:
        """As `Births.answered`."""
        for number, outcome in zip(call.births, call.answer, strict=True):
            # A worker does not know its number, nor how often the birth was tried before.
            attempts = self._attempts[number]
            self._settle(number, replace(owned(outcome), worker=worker, attempts=attempts))

    def failed(self, call: Call, error: Exception) -> None:
        """As `Births.failed`.

        What the surroundings did is tried again, as often as workers may be lost.
        """
        for number in call.births:
            self._strikes[number] += 1
            if isinstance(error, Interrupted) and self._strikes[number] < self._retries:
                heappush(self._waiting, number)
            else:
                self._settle(number, error)

    def lost(self, call: Call, why: str, *, blameless: bool) -> None:
        """As `Births.lost`: each is raised again, alone, and is a failure after too many."""
        alone = len(call.births) == 1
        for number in call.births:
            self._suspects.add(number)
            # Of several births any may be at fault, so that this counts for none of them.
            if alone and not blameless:
                self._strikes[number] += 1
            strikes = self._strikes[number]
            if strikes < self._retries:
                heappush(self._waiting, number)
                continue
            failure = f"it lost its worker {strikes} times, at last: {why}"
            scores = unscored_row(self.jobs[number].tiling.tiles)
            attempts = self._attempts[number]
            self._settle(number, Outcome(None, scores, 0, failure, attempts=attempts, lost=True))

    def ref(self, value: Any) -> Any:
        """A value in Ray's store, put there once; an archive without its members."""
        key = id(value)
        if key not in self._refs:
            # A worker stops by an archive's scores; the members' genomes would travel for nothing.
            stored = value
            if isinstance(value, View):
                stored = replace(value, members=())
            try:
                self._refs[key] = self._ray.put(stored)
            except self._ray.exceptions.RayError as error:
                raise Interrupted(f"Ray's store takes no more: {one_line(str(error))}") from error
            # Another value may get this id once this one is gone.
            finalize(value, self._refs.pop, key, None)
        return self._refs[key]

    def _fits(self, first: int) -> bool:
        """Whether the next birth that waits may go in one call with the first one."""
        number = self._waiting[0]
        # A birth that may have been a worker's end goes alone, to prove itself or be found out.
        if first in self._suspects or number in self._suspects:
            return False
        # The tiling travels once for all, and a stack is scored tile by tile.
        if self.jobs[number].tiling is not self.jobs[first].tiling:
            return False
        return self._width == 1 or (number - 1) // self._width == (first - 1) // self._width

    def _plan(self, job: Job, places: dict[Any, int]) -> Plan:
        """A birth as it travels.

        Args:
            job: the birth.
            places: where each reference lies among the objects of the call; new ones are added.
        """
        genomes = []
        for genome in job.birth.genomes:
            genomes.append(places.setdefault(self.ref(genome), len(places)))
        view = None
        if job.view is not None:
            reference = self.ref(job.view)
            view = (places.setdefault(reference, len(places)), reference.hex())
        return Plan(replace(job.birth, genomes=()), tuple(genomes), view, job.best)

    def _settle(self, number: int, outcome: Outcome | Exception) -> None:
        """Enters what became of a birth, and forgets what led there."""
        del self.jobs[number]
        self._attempts.pop(number, None)
        self._strikes.pop(number, None)
        self._suspects.discard(number)
        self.outcomes[number] = outcome


def _any_genome(birth: Birth) -> Genome | None:
    """A genome that can be expressed: the child's where it is there already, or a parent's."""
    if birth.made is not None:
        return birth.made
    return next(iter(birth.genomes), None)
