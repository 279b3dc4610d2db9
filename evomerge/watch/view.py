"""The lines of a view: how a run is doing, in words."""

from __future__ import annotations

import shlex
import time
from contextlib import suppress
from pathlib import Path

from evomerge.errors import UserError
from evomerge.rundir import lock
from evomerge.rundir.checks import check_free
from evomerge.rundir.following import GOING, Condition
from evomerge.watch.files import Files
from evomerge.watch.terminal import sparkline, wrap
from evomerge.watch.vitals import Vitals
from evomerge.words import clock, span

LABEL = 10
"""Columns of what stands before each line."""

SHOWN = 8
"""Most workers that are named."""


class _Rows:
    """Lines that begin with a label, or with as much space."""

    def __init__(self, columns: int) -> None:
        """No lines yet, of at most so many columns."""
        self.columns = columns - LABEL
        self.lines: list[str] = []

    def add(self, label: str, text: str, most: int = 3) -> None:
        """Adds a text in at most so many lines, the first of which has the label."""
        for line in wrap(text, self.columns, most):
            self.lines.append(f"{label:<{LABEL}}{line}")
            label = ""


def view(name: str, condition: Condition, vitals: Vitals, files: Files, columns: int) -> list[str]:
    """The lines of a view.

    Args:
        name: what the run is called.
        condition: whether it goes on, and how it ended if not.
        vitals: what its log says.
        files: what its other files say.
        columns: of each line, at most.
    """
    going = condition in GOING
    # The clock of another machine may be ahead of ours.
    now = max(time.time(), vitals.last_time)
    age = now - vitals.last_time if vitals.last_time else 0.0
    # What happened lately says nothing of a run that has ended.
    rate = vitals.rate(now) if going else None
    pace = _pace(vitals, files)

    rows = _Rows(columns)
    rows.add("state", _state(condition, vitals.decided, files.folder, age))
    rows.add("births", _births(vitals, files.planned, rate or pace))
    rows.add("rate", _rates(rate, pace))
    if vitals.best is not None:
        rows.add("best", _best(vitals, now))
        rows.add("", sparkline(vitals.scores, rows.columns))
    if vitals.decided:
        entropy = vitals.last.get("entropy", 0.0)
        rows.add("coverage", f"{vitals.coverage[-1]:.4f}, entropy {entropy:.4f} bits")
        rows.add("", sparkline(vitals.coverage, rows.columns))
        rows.add("scored", f"{vitals.scored / len(vitals.coverage):.0%} of the datapoints")
    # Failures have more room than the rest: they are what a user looks for here.
    if vitals.failure is not None:
        last = f"the last at birth {vitals.failure['birth']:,}: {vitals.failure['failure']}"
        rows.add("failures", f"{vitals.failures:,}, {last}", most=4)
    if vitals.workers:
        rows.add("workers", _workers(vitals, now if going else vitals.last_time), most=4)
    if going:
        silent = [f"{number} for {clock(ago)}" for number, ago in vitals.silent(now).items()]
        if silent:
            rows.add("silent", _named(silent), most=4)
    return [*wrap(name, columns, 2), *rows.lines]


def _state(condition: Condition, decided: int, folder: Path, age: float) -> str:
    """Whether the run goes on, and where; or what can be done about it."""
    if condition == "ended":
        return condition
    if condition not in GOING:
        return f"{condition}{_advice(folder, decided)}"
    where = ""
    holder = lock.holder(folder)
    # A lock that names no machine was cut off while it was written.
    if holder is not None and holder.host:
        where = f", process {holder.pid}"
        if not holder.here:
            where += f" on {holder.host}"
    return f"{condition}{where}, last line {clock(max(age, 0))} ago"


def _advice(folder: Path, decided: int) -> str:
    """What can be done about a run that nobody goes on with."""
    if (folder / "config.yaml").is_file():
        return f"; go on with `evomerge resume {shlex.quote(str(folder))}`"
    # A run that was killed before config.yaml was there may be begun again in its place.
    with suppress(UserError):
        check_free(folder)
        if not decided:
            return " while it began; begin again with `evomerge run`"
    return "; there is no config.yaml to go on with"


def _births(vitals: Vitals, planned: int | None, rate: float | None) -> str:
    """How many births were decided, of how many, and when the last one will be."""
    if not planned:
        return f"{vitals.decided:,}"
    left = planned - vitals.decided
    text = f"{vitals.decided:,} of {planned:,} ({vitals.decided / planned:.1%})"
    if left and rate:
        text += f", {clock(left / rate)} left"
    return text


def _pace(vitals: Vitals, files: Files) -> float | None:
    """Births a second since the run began; None if that is not known."""
    pace = files.pace
    if pace is not None:
        return pace
    # There is no snapshot yet, so the log's own times have to do.
    if not vitals.first_time or not vitals.decided:
        return None
    seconds = vitals.last_time - vitals.first_time
    return vitals.decided / seconds if seconds > 0 else None


def _rates(lately: float | None, pace: float | None) -> str:
    """Births by time, lately and in all."""
    texts = []
    if lately is not None:
        texts.append(f"{_by_time(lately)} lately")
    if pace is not None:
        texts.append(f"{_by_time(pace)} since the beginning")
    return ", ".join(texts) or "not known yet"


def _by_time(rate: float) -> str:
    """A rate in births, by the shortest unit of time that has at least one."""
    # A large model has few births an hour, a small one hundreds a second.
    for unit, seconds in (("second", 1), ("minute", 60)):
        births = rate * seconds
        if births >= 100:
            return f"{births:,.0f} a {unit}"
        if births >= 1:
            return f"{births:.3g} a {unit}"
    return f"{rate * 3600:.3g} an hour"


def _best(vitals: Vitals, now: float) -> str:
    """The best member's scores, and since when it is best."""
    best = vitals.best
    assert best is not None
    splits = ("train", "validation", "test")
    scores = ", ".join(f"{split} {best[split]:.4f}" for split in splits if split in best)
    if "founder" in best:
        return f"{scores}; founder {best['founder']}"
    text = f"{scores}; since birth {best['birth']:,}"
    if "time" in best:
        text += f", {clock(now - best['time'])} ago"
    return text


def _workers(vitals: Vitals, now: float) -> str:
    """How many workers raise births, and how long each takes."""
    lately = [f"{span(seconds)} on {number}" for number, seconds in vitals.lately(now).items()]
    text = f"{len(lately):,} lately"
    if lately:
        text += f"; a birth takes {_named(lately)}"
    return text


def _named(workers: list[str]) -> str:
    """As many workers as there is room for."""
    text = ", ".join(workers[:SHOWN])
    if len(workers) > SHOWN:
        text += f" and {len(workers) - SHOWN:,} more"
    return text
