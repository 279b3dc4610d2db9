"""evomerge check: what a run will need, first from headers and configs, then from a rehearsal."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil

from evomerge.check.needs import (
    Needs,
    Room,
    before_loading,
    disk_needed,
    memory_needed,
    time_needed,
)
from evomerge.check.rehearsal import Rehearsal, rehearse
from evomerge.evolution import with_defaults
from evomerge.run.parts import Parts
from evomerge.watch.terminal import plain
from evomerge.words import span

SHARE = 0.2
"""The share of the births that is rehearsed at most."""


def check(call: Mapping[str, Any], folder: Path, seconds: float) -> Iterator[Needs]:
    """Says what a run needs, as soon as it is known.

    Args:
        call: the arguments of `evolve`.
        folder: where the run directory will be.
        seconds: for how long births are rehearsed; at least one is.

    Yields:
        What is known before a weight is read. Then, unless there is not enough of something, what
        the rehearsal tells.

    Raises:
        UserError: if something is wrong.
        Interrupted: if the environment fails.
    """
    room = Room.at(folder)
    given, settings = with_defaults(call)
    parts = Parts.fitted(
        given["population"], given["fitness"], given["strategy"], given["workers"], settings
    )
    first = before_loading(parts, room)
    yield first
    # A model that has no room would end the rehearsal in a way that says less.
    if first.problems:
        return
    # The run will take as long as this process has taken to get here.
    startup = time.time() - psutil.Process().create_time()
    # A rehearsal that is a fifth of the run at most is worth its time.
    births = max(1, math.ceil(SHARE * settings.births))
    done = rehearse(call, room.folder, births, seconds)
    yield _rehearsed(done)
    needs, births = time_needed(parts, done, startup)
    yield needs
    yield memory_needed(parts, done, room, births)
    yield disk_needed(done, room, births)


def _rehearsed(done: Rehearsal) -> Needs:
    """What the rehearsal was like, in words."""
    scores = [f"{founder['train']:.4f}" for founder in done.founders]
    each = span(done.seconds_a_birth, 2)
    lines = [
        f"founders     {len(done.founders)}, mean training scores {', '.join(scores)}",
        f"rehearsal    {len(done.births):,} births, {each} each, "
        f"{done.scored:.0%} of the datapoints scored",
    ]
    doubts = []
    if done.failures:
        count = len(done.failures)
        reason = plain(done.failures[0])
        lines.append(f"failures     {count} of these births, the first by {reason}")
        doubts.append(f"{count} of {len(done.births)} births failed")
    return Needs(tuple(lines), doubts=tuple(doubts))
