"""What was bred from what: the call that made a run, in a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from evomerge.config.config import versions_in
from evomerge.config.labels import label
from evomerge.config.targets import TARGET
from evomerge.datapoints import SPLITS
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
"""Which settings of a strategy are shown."""

HOW_TO_READ = "All of it, word for word, is in config.yaml, at the end of this page."


def cards(run: Record) -> list[str]:
    """The table: founders, population, fitness, strategy, births, random seed, versions."""
    facts = {
        "bred from": _founders(run),
        "population": label(run.call.get("population")),
        "fitness": label(run.call.get("fitness")),
        "datapoints": _datapoints(run),
        "strategy": _settings_of(run.call.get("strategy")),
        "births": _births(run),
        "random seed": run.call.get("seed"),
        "made with": versions_in(run.config).removeprefix("# "),
    }
    # A run that goes without something has no row for it.
    rows = ""
    for name, value in facts.items():
        if value not in (None, ""):
            rows += f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>"
    return [card("", f'<table class="facts">{rows}</table>', HOW_TO_READ, wide=True)]


def _founders(run: Record) -> str:
    # A run from many random founders would fill the card with their numbers.
    names = [run.label(entry["id"]) for entry in run.founders]
    text = ", ".join(names[:NAMES])
    if len(names) > NAMES:
        text += f" and {len(names) - NAMES:,} more"
    return text


def _datapoints(run: Record) -> str:
    """How many there are of each split; of a run that did not keep that, of the training split."""
    if run.founding is not None:
        scores = run.founding.scores
        sizes = [f"{scores[split].shape[1]:,} {split}" for split in SPLITS if split in scores]
        return ", ".join(sizes)
    if run.scores.size:
        return f"{run.scores.shape[1]:,} train"
    return ""


def _births(run: Record) -> str:
    births, planned = len(run.births), run.call.get("births")
    # The run may not have ended, or a resume may ask for more.
    if isinstance(planned, int) and planned != births:
        return f"{births:,} of {planned:,}"
    return f"{births:,}"


def _settings_of(part: Any) -> str:
    """A described strategy in a few words: its class, its settings, and those of its own parts."""
    if not isinstance(part, Mapping) or TARGET not in part:
        return ""
    words = []
    for name, value in part.items():
        if name in SETTINGS and value is not None:
            words.append(f"{name} {value}")
    # A crossover, or an algorithm of EvoTorch, is a call within the strategy's.
    for value in part.values():
        inner = _settings_of(value)
        if inner:
            words.append(inner)
    text = str(part[TARGET]).rpartition(".")[2]
    if words:
        text += f" ({', '.join(words)})"
    return text
