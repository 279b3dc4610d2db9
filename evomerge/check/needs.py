"""What a run needs, in words, and what this machine has for it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evomerge import memory
from evomerge.check import forecast
from evomerge.check.batches import batch_line
from evomerge.check.rehearsal import Rehearsal
from evomerge.contracts import Footprint, can
from evomerge.errors import as_user_error
from evomerge.run.parts import Parts
from evomerge.words import size, span
from evomerge.workers.ray import Ray

LOG = 7
"""Bytes in memory for each byte of births.jsonl, all of which a report reads."""

SNAPSHOTS = 3
"""The latest snapshot, the one before, and the one that is being written."""

BESTS = 0.4
"""With which power of births the number of those that were best grows."""


@dataclass(frozen=True)
class Needs:
    """What a run needs.

    Attributes:
        lines: what it needs, in words.
        problems: what there is not enough of, in words.
        doubts: what may be wrong, in words.
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
        gpu_memory: bytes that it may have on GPUs.
    """

    folder: Path
    disk: int
    memory: int
    gpu_memory: int

    @classmethod
    def at(cls, folder: Path) -> Room:
        """What there is now for a run in a folder, which need not be there."""
        folder = folder.absolute()
        while not folder.is_dir():
            folder = folder.parent
        return cls(folder, shutil.disk_usage(folder).free, memory.room(), memory.gpu_room())


def before_loading(parts: Parts, room: Room) -> Needs:
    """What is known before a weight is read: sizes, and whether one model has room at all."""
    datapoints = []
    for split, count in parts.sizes.items():
        if count:
            datapoints.append(f"{count:,} {split}")
    chromosomes = [chromosome.name for chromosome in parts.axis.chromosomes]
    lines: tuple[str, ...] = (
        f"datapoints   {', '.join(datapoints)}",
        f"parameters   {parts.axis.size:,} in {', '.join(chromosomes)}",
    )
    batch = batch_line(parts)
    if batch is not None:
        lines = (*lines, batch)
    population: Any = parts.population
    if not can(population, Footprint):
        return Needs(lines)
    footprint = as_user_error("population", population.footprint)
    model = footprint["model"]
    kind = "memory"
    there = room.memory
    if footprint["gpu"]:
        kind = "GPU memory"
        there = room.gpu_memory
    # One model has to be in memory at a time, and one is written to the disk at the end.
    problems = []
    if model > there:
        problems.append(f"{kind}: the model needs {size(model)}, there are {size(there)}")
    if model > room.disk:
        problems.append(
            f"disk: the best member needs {size(model)}, {room.folder} has {size(room.disk)} free"
        )
    loading = f"to load      seeds {size(footprint['seeds'])}, one model {size(model)}"
    return Needs((*lines, loading), tuple(problems))


def time_needed(parts: Parts, done: Rehearsal, startup: float) -> tuple[Needs, int]:
    """The time of a run, and how many births there will be in it.

    Args:
        parts: the run's parts and settings.
        done: its rehearsal.
        startup: seconds that the command takes before it reaches the run.
    """
    settings = parts.settings
    births = settings.births
    expected, longest = forecast.loop_seconds(done.births, done.loop, births)
    # Founders, the best member and the report cost the same, however many births there are.
    once = startup + done.seconds - done.loop
    # A run that ends by the clock has as many births as there is time for.
    if settings.hours is not None and expected > 3600 * settings.hours:
        births = max(len(done.births), round(births * 3600 * settings.hours / expected))
        line = (
            f"time         {settings.hours:g} hours, in which there are about "
            f"{births:,} of {settings.births:,} births"
        )
        return Needs((line,)), births
    noun = "birth" if births == 1 else "births"
    line = f"time         about {span(once + expected, 2)} for {births:,} {noun}"
    # A difference of a few per cent is noise, and says nothing to whoever reads it.
    if longest > 1.05 * expected:
        line += f"; at most {span(once + longest, 2)}, if no child can be stopped early"
    if settings.patience is not None:
        line += f"; less, where best has not changed for {settings.patience:,} births"
    return Needs((line,)), births


def memory_needed(parts: Parts, done: Rehearsal, room: Room, births: int) -> Needs:
    """The memory of a run of so many births, of this process and of the workers on this machine."""
    workers = done.workers
    # A cluster's workers have memory of their own, elsewhere.
    own_ray = isinstance(parts.workers, Ray) and parts.workers.address is None
    here = workers["count"] if workers and own_ray else 0
    worker = workers.get("memory", 0)
    # The rehearsal has read its own log already; what a longer one adds is read on top.
    longer_log = done.sizes["births.jsonl"] * (births / len(done.births) - 1)
    leader = done.memory + LOG * longer_log
    needed = leader + here * worker

    line = f"memory       {size(needed)} of {size(room.memory)}"
    if workers:
        line += f": {size(worker)} a worker, {size(leader)} the process that leads them"
    lines = [line]
    gpu = max(done.gpu_memory, workers.get("gpu_memory", 0))
    if gpu:
        lines.append(f"GPU memory   {size(gpu)} a worker, {size(room.gpu_memory)} here")
    problems = []
    if needed > room.memory:
        problems.append(f"memory: the run needs {size(needed)} here, there are {size(room.memory)}")
    return Needs(tuple(lines), tuple(problems))


def disk_needed(done: Rehearsal, room: Room, births: int) -> Needs:
    """The disk of a run of so many births."""
    growth = births / len(done.births)
    # The log has a line for each birth, and the gallery a file for each that was best. What lies
    # in state is counted as snapshots below. All else is as large after any number of births.
    grows = {"births.jsonl": growth, "gallery": growth**BESTS, "state": 0.0}
    needed = 0.0
    for name, bytes_left in done.sizes.items():
        needed += bytes_left * grows.get(name, 1.0)
    # A snapshot grows until the archive is full.
    members = min(done.archive.size, len(done.founders) + births)
    needed += SNAPSHOTS * done.snapshot * max(1.0, members / len(done.archive.members))

    line = f"disk         {size(needed)} of {size(room.disk)} free in {room.folder}"
    problems = []
    if needed > room.disk:
        problems.append(
            f"disk: the run needs {size(needed)}, {room.folder} has {size(room.disk)} free"
        )
    return Needs((line,), tuple(problems))
