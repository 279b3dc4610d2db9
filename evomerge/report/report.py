"""report.html: what happened in a run, in one file that needs nothing else, drawn from the run directory alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.files import saving, write_file
from evomerge.report import figures, page
from evomerge.report.figures import Curve
from evomerge.report.page import LEGEND, card, short
from evomerge.report.record import Record
from evomerge.report.sections import (
    answers,
    changes,
    crossings,
    family,
    gallery,
    origin,
    shares,
    standing,
)
from evomerge.report.sections.niches import niches
from evomerge.report.svg import BLUE, GREEN, MUTED, ORANGE
from evomerge.rundir.births import id_of
from evomerge.words import span
from fitness.competition import competitive_fitness

POINTS = 400
"""Most points of a curve."""

REASONS = 40
"""Most reasons of failure, and most workers, that are shown."""


def write(path: Path) -> Path:
    """Draws report.html of a run directory; gives its path.

    Raises:
        Interrupted: if the system refuses to write.
    """
    run = Record.read(path)
    sections = {
        "What was bred": [origin.table(run)],
        "The best and the founders": standing.cards(run),
        "Progress": [_scores(run), _diversity(run)],
        "The members alive": _members(run),
        "Where the best comes from": [family.tree(run), crossings.splits(run), *shares.cards(run)],
        "From the founders to the best": gallery.cards(run),
        "What breeding won and lost": changes.cards(run),
        "What the best gets wrong": answers.cards(run),
        "What it cost": [_share_scored(run), _seconds(run), _workers(run)],
        "Failed births": [_failures(run)],
        "How it was run": [
            f'<details class="card wide"><summary>config.yaml</summary><pre>{escape(run.config)}</pre></details>'
        ],
    }
    report = path / "report.html"
    text = page.fill(run.name, _head(run), sections)
    with saving(path):
        write_file(report, text)
    return report


def _head(run: Record) -> str:
    """Name, state, and the row of numbers."""
    births, best, last = len(run.births), (run.bests or [{}])[-1], (run.births or [{}])[-1]
    seconds, decided = run.counters.get("seconds"), run.counters.get("decided", 0)
    scored = [entry["scored"] for entry in run.births]
    coverage, entropy = last.get("coverage"), last.get("entropy")
    if not run.births and run.scores.size:
        coverage = float(run.scores.max(axis=0).mean())
    numbers = {
        "best, test": _number(best.get("test")),
        "best, validation": _number(best.get("validation")),
        "best, train": _number(best.get("train")),
        "births": f"{births:,}",
        "births a second": f"{decided / seconds:.3g}" if seconds and decided else None,
        "coverage": _number(coverage),
        "entropy": _number(entropy),
        "datapoints scored": f"{100 * float(np.mean(scored)):.0f} %" if scored else None,
        "failed births": f"{sum('failure' in entry for entry in run.births):,}",
    }
    tiles = "".join(
        f"<div><dd>{value}</dd><dt>{name}</dt></div>"
        for name, value in numbers.items()
        if value is not None
    )
    planned = run.call.get("births")
    of = f" of {planned:,}" if isinstance(planned, int) and planned != births else ""
    state = (
        f"ended after {births:,}{of} births"
        if run.ended == births
        else f"not ended: {births:,}{of} births so far"
    )
    parts = (run.call.get(part) for part in ("population", "fitness"))
    kinds = [
        str(part["_target_"]).rpartition(".")[2]
        for part in parts
        if isinstance(part, dict) and "_target_" in part
    ]
    return f'<h1>{escape(run.name)}</h1><p class="sub">{escape(" bred for ".join(kinds))}{", " * bool(kinds)}{state}</p><dl>{tiles}</dl>'


def _scores(run: Record) -> str:
    last = max(len(run.births), 1)

    def best_so_far(split: str, colour: str) -> Curve:
        entries = [entry for entry in run.bests if entry.get(split) is not None]
        births, values = [entry["birth"] for entry in entries], [entry[split] for entry in entries]
        return Curve(
            f"best, {split}",
            [*births, last] if births else [],
            [*values, *values[-1:]],
            colour,
            step=True,
        )

    lines = [
        best_so_far("test", ORANGE),
        best_so_far("validation", GREEN),
        best_so_far("train", BLUE),
        _mean_alive(run),
    ]
    lines = [line for line in lines if len(line.births)]
    if not lines:
        return ""
    how = (
        "Each step is a child that became the best one; nothing is chosen by the test score, so that line may fall. The grey "
        "line is the mean training score of the members alive."
    )
    return card("Score", figures.curves(lines), how)


def _mean_alive(run: Record) -> Curve:
    """The mean training score of the members alive, as the log tells who came and who left."""
    size = run.strategy.get("size")
    if (
        not run.births or not isinstance(size, int) or len(run.founders) > size
    ):  # the log does not say who found no place
        return Curve("mean alive", [], [], MUTED)
    train = {entry["id"]: entry["train"] for entry in run.founders}
    births, means, total = [0], [sum(train.values()) / len(train)], sum(train.values())
    for entry in run.births:
        if entry["admitted"]:
            train[entry["birth"]] = entry["train"]
            total += entry["train"] - (train.pop(entry["replaced"]) if "replaced" in entry else 0)
        births.append(entry["birth"])
        means.append(total / len(train))
    kept = _thin(len(births))
    return Curve("mean alive", np.array(births)[kept], np.array(means)[kept], MUTED)


def _diversity(run: Record) -> str:
    if not run.births:
        return ""
    kept = _thin(len(run.births))
    births = [run.births[row] for row in kept]
    lines = [
        Curve(name, [entry["birth"] for entry in births], [entry[name] for entry in births], colour)
        for name, colour in (("coverage", BLUE), ("entropy", ORANGE))
    ]
    how = (
        "Coverage is the share of training datapoints that some member solves; entropy is high where members solve "
        "different ones, and falls as they become alike."
    )
    return card("Coverage and entropy", figures.curves(lines, top=1.02), how)


def _members(run: Record) -> list[str]:
    """Who is fit, and who solves what, both sorted by fitness."""
    if not run.scores.size:
        return []
    settings = {
        name: run.strategy[name]
        for name in ("alpha", "capacity", "relative")
        if name in run.strategy
    }
    fitness = competitive_fitness(run.scores, weights=run.weights, **settings)
    order = np.argsort(-fitness, kind="stable")
    best = id_of(run.bests[-1]) if run.bests else None
    ids = [run.alive[row] for row in order]
    labels = [run.label(id) for id in ids]
    colours = [ORANGE if id == best else GREEN if id in run.alone else BLUE for id in ids]
    when = (
        f" after birth {run.counters['decided']:,}"
        if run.counters["decided"] != len(run.births)
        else ""
    )
    leaves = "; who has the shortest is the first to go" if run.competes else ""
    return [
        card(
            "Competitive fitness",
            figures.bars(labels, fitness[order], colours),
            f"The longer the bar, the more a member{when} solves that few others do{leaves}. {LEGEND}",
        ),
        niches(run, fitness),
    ]


def _share_scored(run: Record) -> str:
    if not run.births:
        return ""
    line = _binned(run.births, "scored", "share scored", np.mean, BLUE)
    how = (
        "How much of the training split a child was scored on; a child that is certain to be the least fit is not scored to the "
        "end, so lower is cheaper."
    )
    return card(
        "Datapoints scored", figures.curves([line], form="percent", top=1.02, fill=True), how
    )


def _seconds(run: Record) -> str:
    timed = [entry for entry in run.births if entry.get("seconds", 0) > 0]
    if not timed:
        return ""
    median, slow = np.percentile([entry["seconds"] for entry in timed], (50, 95))
    lines = [
        _binned(timed, "seconds", "median", np.median, BLUE),
        _binned(
            timed, "seconds", "95th percentile", lambda values: np.percentile(values, 95), ORANGE
        ),
    ]
    how = f"Half of the births took less than {span(median)}, 19 of 20 less than {span(slow)}; each step up a marked line is ten times slower."
    return card("Time of a birth", figures.curves(lines, form="seconds"), how)


def _workers(run: Record) -> str:
    """Who raised how many births and how fast, the slowest first, where there were several."""
    seconds: dict[int, list[float]] = {}
    for entry in run.births:
        if "worker" in entry and entry.get("seconds", 0) > 0:
            seconds.setdefault(entry["worker"], []).append(entry["seconds"])
    if len(seconds) < 2:
        return ""
    slowest = sorted(seconds.items(), key=lambda item: -float(np.mean(item[1])))
    rows = "".join(
        f"<tr><td>{worker}</td><td>{len(times):,}</td><td>{span(float(np.median(times)))}</td>"
        f"<td>{span(float(np.percentile(times, 95)))}</td></tr>"
        for worker, times in slowest[:REASONS]
    )
    again = sum(entry.get("attempts", 1) - 1 for entry in run.births)
    how = f"{len(seconds):,} workers, those with the slowest births first; a worker that takes the place of a lost one has a number of its own."
    if run.workers.get("busy") is not None:
        how += f" They were busy {run.workers['busy']:.0%} of their time; {run.workers['restarts']:,} were lost, {again:,} births raised again."
    return card(
        "Workers",
        f"<table><tr><th>worker</th><th>births</th><th>median</th><th>95 %</th></tr>{rows}</table>",
        how,
    )


def _failures(run: Record) -> str:
    reasons = Counter(str(entry["failure"]) for entry in run.births if "failure" in entry)
    if not reasons:
        return ""
    rows = "".join(
        f"<tr><td>{count:,}</td><td>{escape(short(why))}</td></tr>"
        for why, count in reasons.most_common(REASONS)
    )
    more = (
        f" {len(reasons) - REASONS:,} more reasons are in births.jsonl."
        if len(reasons) > REASONS
        else ""
    )
    how = f"How often each reason ended a birth, {sum(reasons.values()):,} in all; such children are never admitted.{more}"
    return card("", f"<table><tr><th>births</th><th>reason</th></tr>{rows}</table>", how, wide=True)


def _binned(
    entries: Sequence[Mapping[str, Any]],
    key: str,
    label: str,
    reduce: Callable[[Any], Any],
    colour: str,
) -> Curve:
    """A value of the log's lines over births, in stretches of births that are each reduced to one number."""
    values = np.array([entry[key] for entry in entries], dtype=np.float64)
    births = np.array([entry["birth"] for entry in entries], dtype=np.float64)
    stretches = np.array_split(
        np.arange(len(values)), min(len(values), max(1, min(120, len(values) // 10)))
    )
    return Curve(
        label,
        [births[s].mean() for s in stretches],
        [float(reduce(values[s])) for s in stretches],
        colour,
    )


def _thin(count: int) -> np.ndarray:
    """Which of `count` points are drawn, the first and the last among them."""
    return np.unique(np.linspace(0, count - 1, min(count, POINTS)).round().astype(int))


def _number(value: float | None) -> str | None:
    return None if value is None else f"{value:.3f}"
