"""What was bred from what: the call that made a run, in a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from evomerge.config.config import versions_in
from evomerge.config.labels import label
from evomerge.config.targets import TARGET
from evomerge.export.measured import SPLITS
from evomerge.report.page import card
from evomerge.report.record import Record

NAMES = 12
"""Most founders that are named."""

SETTINGS = (
    "size",
    "alpha",
    "mutation",
    "immigrants",
    "splits",
    "ratio",
    "angle",
    "algorithm",
    "points",
)
"""Which settings of a strategy are told."""


def table(run: Record) -> str:
    """The card: founders, population, fitness, strategy, births, random seed, versions."""
    names = [run.label(entry["id"]) for entry in run.founders]
    more = f" and {len(names) - NAMES:,} more" if len(names) > NAMES else ""
    births, planned = len(run.births), run.call.get("births")
    rows = {
        "bred from": ", ".join(names[:NAMES]) + more,
        "population": label(run.call.get("population")),
        "fitness": label(run.call.get("fitness")),
        "datapoints": _datapoints(run),
        "strategy": settled(run.call.get("strategy")),
        "births": f"{births:,} of {planned:,}"
        if isinstance(planned, int) and planned != births
        else f"{births:,}",
        "random seed": run.call.get("seed"),
        "made with": versions_in(run.config).removeprefix("# "),
    }
    body = "".join(
        f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>"
        for name, value in rows.items()
        if value not in (None, "")
    )
    how = "All of it, word for word, is in config.yaml, at the end of this page."
    return card("", f'<table class="facts">{body}</table>', how, wide=True)


def settled(part: Any) -> str:
    """A described strategy in a few words: its class and its settings, with those of what it is given that is a call, too."""
    if not isinstance(part, Mapping) or TARGET not in part:
        return ""
    words = [
        f"{name} {value}" for name, value in part.items() if name in SETTINGS and value is not None
    ]
    words += [word for value in part.values() if (word := settled(value))]
    return str(part[TARGET]).rpartition(".")[2] + (f" ({', '.join(words)})" if words else "")


def _datapoints(run: Record) -> str:
    if run.founding is not None:
        sizes = {split: rows.shape[1] for split, rows in run.founding.scores.items()}
        return ", ".join(f"{sizes[split]:,} {split}" for split in SPLITS if split in sizes)
    return f"{run.scores.shape[1]:,} train" if run.scores.size else ""
