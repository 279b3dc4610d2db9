"""What was bred from what: the call that made a run, in a table for people."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from evomerge.page import card
from evomerge.record import Record

NAMES = 12
"""Most founders that are named."""

SETTINGS = ("size", "alpha", "mutation", "immigrants", "splits", "ratio", "angle", "algorithm", "points")
"""Which settings of a strategy are told."""


def table(run: Record) -> str:
    """The card: founders, population, fitness, strategy, births, random seed, versions."""
    names = [run.label(entry["id"]) for entry in run.founders]
    more = f" and {len(names) - NAMES:,} more" if len(names) > NAMES else ""
    births, planned = len(run.births), run.call.get("births")
    rows = {
        "bred from": ", ".join(names[:NAMES]) + more,
        "population": told(run.call.get("population")),
        "fitness": told(run.call.get("fitness")),
        "datapoints": _datapoints(run),
        "strategy": told(run.call.get("strategy"), settings=True),
        "births": f"{births:,} of {planned:,}" if isinstance(planned, int) and planned != births else f"{births:,}",
        "random seed": run.call.get("seed"),
        "made with": next((line[2:] for line in run.config.splitlines() if line.startswith("# python ")), ""),
    }
    body = "".join(
        f"<tr><th>{name}</th><td>{escape(str(value))}</td></tr>" for name, value in rows.items() if value not in (None, "")
    )
    how = "All of it, word for word, is in config.yaml, at the end of this page."
    return card("", f'<table class="facts">{body}</table>', how, wide=True)


def told(part: Any, *, settings: bool = False) -> str:
    """A described call in a few words: its class, with what it is given that is a call, too, and with its settings if asked for."""
    if not isinstance(part, Mapping) or "_target_" not in part:
        return ""
    inner = [value for given in part.values() for value in (given if isinstance(given, list) else [given])]
    words = [f"{name} {value}" for name, value in part.items() if settings and name in SETTINGS and _plain(value)]
    words += [word for value in inner if (word := told(value, settings=settings))]
    return str(part["_target_"]).rpartition(".")[2] + (f" ({', '.join(words)})" if words else "")


def _plain(value: Any) -> bool:
    return value is not None and not isinstance(value, Mapping)


def _datapoints(run: Record) -> str:
    if run.founding is not None:
        sizes = {split: rows.shape[1] for split, rows in run.founding.scores.items()}
        return ", ".join(f"{sizes[split]:,} {split}" for split in ("train", "validation", "test") if split in sizes)
    return f"{run.scores.shape[1]:,} train" if run.scores.size else ""
