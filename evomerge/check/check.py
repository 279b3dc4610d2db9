"""evomerge check: what a run will need, first from headers and configs, then from a rehearsal."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from evomerge import memory
from evomerge.check import forecast
from evomerge.check.rehearsal import Rehearsal, rehearse
from evomerge.contracts import Footprint
from evomerge.errors import as_user_error
from evomerge.evolution import with_defaults
from evomerge.run.parts import Parts
from evomerge.strategies.search import Search
from evomerge.watch.terminal import plain
from evomerge.words import size, span
from evomerge.workers.ray import Ray

SHARE = 0.2
"""The share of the births that is rehearsed at most: from a fifth, the time of all is told within some 8 %."""

LOG = 7
"""Bytes in memory for each byte of births.jsonl, all of which a report reads."""

SNAPSHOTS = 3
"""The latest, the one before, and the one that is being written."""


@dataclass(frozen=True)
class Needs:
    """What a run needs.

    Attributes:
        lines: that in words.
        problems: what there is not enough of, in words.
        doubts: what may be wrong, likewise.
    """

    lines: tuple[str, ...]
    problems: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Room:
    """What there is for a run.

    Attributes:
        folder: where its directory will be, or the nearest folder above that which is there.
        disk: bytes free there.
        memory: bytes that this process may have.
        gpu_memory: likewise on GPUs.
    """

    folder: Path
    disk: int
    memory: int
    gpu_memory: int

    @classmethod
    def of(cls, folder: Path) -> Room:
        """What there is now for a run in a folder, which need not be there."""
        near = next(
            parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir()
        )
        return cls(near, shutil.disk_usage(near).free, memory.room(), memory.gpu_room())


def check(call: Mapping[str, Any], folder: Path, seconds: float) -> Iterator[Needs]:
    """Says what a run needs, as soon as it is known.

    Args:
        call: the arguments of `evolve`.
        folder: where the run directory will be.
        seconds: for how long births are rehearsed; at least one is.

    Yields:
        What is known before a weight is read; then, unless there is not enough of something, what the rehearsal tells.

    Raises:
        UserError: if something is wrong.
        Interrupted: if the environment fails.
    """
    room = Room.of(folder)
    given, settings = with_defaults(call)
    parts = Parts.fitted(
        given["population"], given["fitness"], given["strategy"], given["workers"], settings
    )
    at_hand = _at_hand(parts, room)
    yield at_hand
    if at_hand.problems:
        return
    imports = (
        time.time() - psutil.Process().create_time()
    )  # what it has taken to get here, as it will take the run
    done = rehearse(call, room.folder, max(1, math.ceil(SHARE * settings.births)), seconds)
    yield Needs(
        (
            f"founders     {len(done.founders)}, mean training scores {', '.join(_score(row) for row in done.founders)}",
            f"rehearsal    {len(done.births):,} births, {span(done.seconds_a_birth, 2)} each, {done.scored:.0%} of the datapoints scored",
            *(
                f"failures     {len(done.failures)} of these births, the first by {plain(why)}"
                for why in done.failures[:1]
            ),
        ),
        doubts=(f"{len(done.failures)} of {len(done.births)} births failed",)
        if done.failures
        else (),
    )
    told, births = _time(parts, done, imports)
    yield told
    yield _memory(parts, done, room, births)
    yield _disk(done, room, births)


def _at_hand(parts: Parts, room: Room) -> Needs:
    """Sizes, and whether one model has room at all."""
    datapoints = ", ".join(f"{count:,} {split}" for split, count in parts.sizes.items() if count)
    chromosomes = ", ".join(chromosome.name for chromosome in parts.axis.chromosomes)
    lines = (f"datapoints   {datapoints}", f"parameters   {parts.axis.size:,} in {chromosomes}")
    population: Any = parts.population
    if not isinstance(population, Footprint):
        return Needs(lines)
    needs = as_user_error("population", population.footprint)
    model, (kind, there) = (
        needs["model"],
        ("GPU memory", room.gpu_memory) if needs["gpu"] else ("memory", room.memory),
    )
    problems = []
    if model > there:
        problems.append(f"{kind}: the model needs {size(model)}, there are {size(there)}")
    if model > room.disk:
        problems.append(
            f"disk: the best member needs {size(model)}, {room.folder} has {size(room.disk)} free"
        )
    return Needs(
        (*lines, f"to load      seeds {size(needs['seeds'])}, one model {size(model)}"),
        tuple(problems),
    )


def _time(parts: Parts, done: Rehearsal, imports: float) -> tuple[Needs, int]:
    """The time, and how many births there will be in it."""
    settings = parts.settings
    stops = (
        settings.foresee
        and done.archive.competition.bounded
        and not isinstance(parts.strategy, Search)
    )
    test = parts.sizes["test"] / parts.sizes["train"]
    members = done.archive.size
    loop, most = forecast.loop_seconds(
        done.births, done.loop, settings.births, members=members, stops=stops, test=test
    )
    once = imports + done.seconds - done.loop
    births = settings.births
    if settings.hours is not None and loop > 3600 * settings.hours:
        births = max(len(done.births), round(births * 3600 * settings.hours / loop))
        return Needs(
            (
                f"time         {settings.hours:g} hours, in which there are about {births:,} of {settings.births:,} births",
            )
        ), births
    line = f"time         about {span(once + loop, 2)} for {births:,} birth{'s' * (births != 1)}"
    if most > 1.05 * loop:
        line += f"; at most {span(once + most, 2)}, if no child can be stopped early"
    if settings.patience is not None:
        line += f"; less, where best has not changed for {settings.patience:,} births"
    return Needs((line,)), births


def _memory(parts: Parts, done: Rehearsal, room: Room, births: int) -> Needs:
    workers = done.workers
    here = (
        workers["count"]
        if workers and isinstance(parts.workers, Ray) and parts.workers.address is None
        else 0
    )
    log = done.sizes["births.jsonl"] * (births / len(done.births) - 1)
    leader, worker = done.memory + LOG * log, workers.get("memory", 0)
    needed = leader + here * worker
    lines = [f"memory       {size(needed)} of {size(room.memory)}"]
    if workers:
        lines[0] += f": {size(worker)} a worker, {size(leader)} the process that leads them"
    if gpu := max(done.gpu_memory, workers.get("gpu_memory", 0)):
        lines.append(f"GPU memory   {size(gpu)} a worker, {size(room.gpu_memory)} here")
    problem = f"memory: the run needs {size(needed)} here, there are {size(room.memory)}"
    return Needs(tuple(lines), (problem,) if needed > room.memory else ())


def _disk(done: Rehearsal, room: Room, births: int) -> Needs:
    growth = births / len(done.births)
    grows = {"births.jsonl": growth, "gallery": growth**forecast.BESTS, "state": 0.0}
    needed = sum(left * grows.get(name, 1.0) for name, left in done.sizes.items())
    members = min(done.archive.size, len(done.founders) + births)
    needed += SNAPSHOTS * done.snapshot * max(1.0, members / len(done.archive.members))
    problem = f"disk: the run needs {size(needed)}, {room.folder} has {size(room.disk)} free"
    line = f"disk         {size(needed)} of {size(room.disk)} free in {room.folder}"
    return Needs((line,), (problem,) if needed > room.disk else ())


def _score(founder: Mapping[str, Any]) -> str:
    return f"{founder['train']:.4f}"
