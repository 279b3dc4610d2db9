"""evomerge watch: a run in progress on a terminal, from its files alone, which stay as they are."""

from __future__ import annotations

import json
import math
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import yaml

from evomerge.errors import UserError
from evomerge.rundir import lock
from evomerge.rundir.births import checked
from evomerge.rundir.checks import check_free
from evomerge.rundir.following import GOING, Condition, check_every, condition, find_log
from evomerge.rundir.tail import Tail
from evomerge.watch.terminal import Screen, sparkline, wrap
from evomerge.watch.vitals import Vitals
from evomerge.words import clock, span

LABEL = 10
"""Columns of what stands before each line."""

SHOWN = 8
"""Most workers that are named."""


def watch(path: Path, out: TextIO, *, every: float = 2.0, once: bool = False) -> None:
    """Shows how a run is doing until it has ended.

    Args:
        path: a run directory, or its births.jsonl.
        out: where to.
        every: seconds between two views.
        once: show one view only.

    Raises:
        UserError: if there is no run, its log is damaged, or `every` is no time to wait.
        Stopped: if nobody reads the view any more.
    """
    log = find_log(path)
    check_every(every)
    screen, files, tail, vitals = Screen(out), Files(log.parent), Tail(log), Vitals()
    while True:
        before, cuts = condition(log, vitals.decided), tail.cuts
        try:
            for entry in checked(tail):
                vitals.take(entry)
        except LookupError as error:
            raise UserError(
                f"{log}: line {tail.count} is no birth, it has no {error.args[0]}"
            ) from error
        if (
            tail.cuts > cuts
        ):  # a resume has cut the log back: what comes of births that are gone is taken anew
            tail, vitals = Tail(log), Vitals()
            continue
        now = condition(log, vitals.decided)
        screen.show(list(view(str(log.parent), now, vitals, files, screen.columns)))
        if once or not (before in GOING or now in GOING):
            return
        time.sleep(every)


class Files:
    """What a run's other files say; each is read again only when it has changed."""

    def __init__(self, folder: Path) -> None:
        """Reads nothing yet."""
        self.folder = folder
        self._known: dict[str, tuple[tuple[int, int], Any]] = {}

    @property
    def planned(self) -> int | None:
        """Number of the last birth that is to be; None if that is not known."""
        call = self._read("config.yaml", yaml.safe_load)
        births = call.get("births") if isinstance(call, dict) else None
        return births if isinstance(births, int) and births < 2**63 else None

    @property
    def pace(self) -> float | None:
        """Births a second up to the latest snapshot, over the time in which the run went on; None if that is not known."""
        with suppress(LookupError, TypeError, ArithmeticError):
            counters = self._read("state/latest/state.json", json.loads)["state"]["counters"]
            pace: float = counters["decided"] / counters["seconds"]
            return pace if 0 < pace < math.inf else None
        return None

    def _read(self, name: str, parse: Callable[[bytes], Any]) -> Any:
        """A file's content; what it was if it is not there at the moment, None if it never was."""
        with suppress(OSError, ValueError, yaml.YAMLError):
            status = (self.folder / name).stat()
            state = (status.st_mtime_ns, status.st_size)
            if self._known.get(name, (None,))[0] != state:
                self._known[name] = state, parse((self.folder / name).read_bytes())
        return self._known.get(name, (None, None))[1]


def view(name: str, how: Condition, vitals: Vitals, files: Files, columns: int) -> Iterator[str]:
    """The lines of a view.

    Args:
        name: what the run is called.
        how: how it is.
        vitals: what its log says.
        files: what its other files say.
        columns: of each line, at most.
    """

    def row(label: str, text: str, most: int = 3) -> Iterator[str]:
        for number, line in enumerate(wrap(text, columns - LABEL, most)):
            yield f"{'' if number else label:<{LABEL}}{line}"

    going, now = how in GOING, max(time.time(), vitals.last.get("time", 0.0))
    yield from wrap(name, columns, 2)
    yield from row(
        "state", _state(how, vitals.decided, files.folder, now - vitals.last.get("time", now))
    )
    yield from row(
        "births",
        _births(
            vitals, files.planned, (vitals.rate(now) if going else None) or _pace(vitals, files)
        ),
    )
    yield from row("rate", _rates(vitals.rate(now) if going else None, _pace(vitals, files)))
    if vitals.best is not None:
        yield from row("best", _best(vitals, now))
        yield from row("", sparkline(vitals.scores, columns - LABEL))
    if vitals.decided:
        yield from row(
            "coverage",
            f"{vitals.coverage[-1]:.4f}, entropy {vitals.last.get('entropy', 0.0):.4f} bits",
        )
        yield from row("", sparkline(vitals.coverage, columns - LABEL))
        yield from row("scored", f"{vitals.scored / len(vitals.coverage):.0%} of the datapoints")
    if vitals.failure is not None:
        told = f"{vitals.failures:,}, the last at birth {vitals.failure['birth']:,}: {vitals.failure['failure']}"
        yield from row("failures", told, most=4)
    if vitals.workers:
        yield from row(
            "workers", _workers(vitals, now if going else vitals.last.get("time", 0.0)), most=4
        )
    if going and (silent := vitals.silent(now)):
        yield from row(
            "silent",
            _named([f"{number} for {clock(seconds)}" for number, seconds in silent.items()]),
            most=4,
        )


def _state(how: Condition, decided: int, folder: Path, age: float) -> str:
    who = lock.holder(folder)
    if how in GOING:
        where = (
            ""
            if who is None or not who.host
            else f", process {who.pid}" + ("" if who.here else f" on {who.host}")
        )
        return f"{how}{where}, last line {clock(max(age, 0))} ago"
    return how if how == "ended" else f"{how}{_advice(folder, decided)}"


def _advice(folder: Path, decided: int) -> str:
    """What can be done about a run that nobody goes on with."""
    if (folder / "config.yaml").is_file():
        return f"; go on with `evomerge resume {shlex.quote(str(folder))}`"
    with suppress(UserError):
        check_free(folder)
        if not decided:
            return " while it began; begin again with `evomerge run`"
    return "; there is no config.yaml to go on with"


def _births(vitals: Vitals, planned: int | None, rate: float | None) -> str:
    if not planned:
        return f"{vitals.decided:,}"
    left = planned - vitals.decided
    when = f", {clock(left / rate)} left" if left and rate else ""
    return f"{vitals.decided:,} of {planned:,} ({vitals.decided / planned:.1%}){when}"


def _pace(vitals: Vitals, files: Files) -> float | None:
    """Births a second since the run began."""
    if (pace := files.pace) is not None:
        return pace
    seconds = (
        vitals.last.get("time", 0.0) - (vitals.first_time or 0.0) if vitals.first_time else 0.0
    )
    return vitals.decided / seconds if seconds > 0 and vitals.decided else None


def _rates(lately: float | None, pace: float | None) -> str:
    told = {"lately": lately, "since the beginning": pace}
    return (
        ", ".join(f"{_a_time(rate)} {when}" for when, rate in told.items() if rate is not None)
        or "not known yet"
    )


def _a_time(rate: float) -> str:
    """A rate in births, by the shortest unit of time that has at least one."""
    for unit, seconds in (("second", 1), ("minute", 60)):
        if rate * seconds >= 1:
            births = rate * seconds
            return f"{births:,.0f} a {unit}" if births >= 100 else f"{births:.3g} a {unit}"
    return f"{rate * 3600:.3g} an hour"


def _best(vitals: Vitals, now: float) -> str:
    best = vitals.best
    assert best is not None
    scores = ", ".join(
        f"{split} {best[split]:.4f}" for split in ("train", "validation", "test") if split in best
    )
    if "founder" in best:
        return f"{scores}; founder {best['founder']}"
    ago = f", {clock(now - best['time'])} ago" if "time" in best else ""
    return f"{scores}; since birth {best['birth']:,}{ago}"


def _workers(vitals: Vitals, now: float) -> str:
    lately = [f"{span(seconds)} on {number}" for number, seconds in vitals.lately(now).items()]
    return f"{len(lately):,} lately" + (f"; a birth takes {_named(lately)}" if lately else "")


def _named(workers: list[str]) -> str:
    """As many workers as there is room for."""
    more = f" and {len(workers) - SHOWN:,} more" * (len(workers) > SHOWN)
    return ", ".join(workers[:SHOWN]) + more
