"""What is only watched: how the best and the founders score on it, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from evomerge.config.labels import titled
from evomerge.datapoints import WATCHED
from evomerge.intervals import interval
from evomerge.report.means import row_of
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.tables import cells, row
from evomerge.rundir.births import id_of

SHOWN = 12
"""Most founders that are shown."""

CAPTION = (
    "Mean scores on what is only watched: it counts in no mean, and nobody competes or is chosen "
    "by it. Founders are scored on it before the first birth, and each new best when it becomes "
    "the best. Where the best has less than the founders, breeding has cost that."
)


def cards(run: Record) -> list[str]:
    """A table with a row for each member and a column for each part; none without such parts."""
    if not run.bests or not run.bests[-1].get(WATCHED):
        return []
    best = run.bests[-1]
    names = list(best[WATCHED])
    shown = run.founders[:SHOWN]
    if "founder" not in best:
        shown = [best, *shown]
    titles = [titled(name, run.call.get("fitness")) for name in names]
    rows = row(["", *map(escape, titles)], "th")
    for entry in shown:
        colour = "orange" if entry is best else "green"
        label = run.label(id_of(entry))
        if "founder" not in entry:
            label = f"best, birth {id_of(entry):,}"
        texts = cells(_mean_text(run, entry, name) for name in names)
        rows += f'<tr><td class="{colour}">{escape(label)}</td>{texts}</tr>'
    caption = CAPTION + _hidden(run.founders)
    return [card("Only watched", f'<table class="scores">{rows}</table>', caption)]


def _hidden(founders: Sequence[Mapping[str, Any]]) -> str:
    """A sentence on the founders that are not shown, if there are any."""
    hidden = len(founders[SHOWN:])
    if not hidden:
        return ""
    return f" {hidden:,} more founders are not shown."


def _mean_text(run: Record, entry: Mapping[str, Any], name: str) -> str:
    """A member's mean score on one part, with its interval if that is known, for a cell."""
    value = entry.get(WATCHED, {}).get(name)
    if value is None:
        return ""
    known = _scores_and_weights(run, entry, name)
    if known is None:
        return f"{value:.3f}"
    low, high = interval(*known)
    return f"{value:.3f} <small>{low:.3f} to {high:.3f}</small>"


def _scores_and_weights(
    run: Record, entry: Mapping[str, Any], name: str
) -> tuple[np.ndarray, np.ndarray] | None:
    """(n,) a member's scores on one part and (n,) what they weigh, if they are known."""
    founding, scores = run.founding, row_of(run, entry, WATCHED)
    if founding is None or scores is None or name not in founding.names:
        return None
    codes = founding.groups.get(WATCHED)
    # The data may be others since the run began.
    if codes is None or len(codes) != len(scores):
        return None
    weights = founding.weights.get(WATCHED)
    if weights is None:
        weights = np.ones(len(scores))
    is_member = codes == founding.names.index(name)  # (D,)
    return scores[is_member].astype(np.float64), weights[is_member]
