"""The same datapoints, member by member: founders and every member that was best show what they make of a few, side by side."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from html import escape

import numpy as np

from evomerge.report.page import card, short
from evomerge.report.record import Record
from evomerge.report.thumbnails import picture
from evomerge.rundir.births import id_of

log = logging.getLogger(__name__)

ROWS = 6
"""Most members that were best on the way, and are shown beside the founders and the best."""


def cards(run: Record) -> list[str]:
    """Pictures of the founders, of members that were best on the way, and of the best, and a table of who is ahead where."""
    found = {id: run.gallery.get(id, []) for id in _shown(run)}
    pictures = {
        id: [picture(entry.get("picture")) for entry in entries] for id, entries in found.items()
    }
    kept = {id: entries for id, entries in found.items() if entries and all(pictures[id])}
    ids = [id for id in kept if len(kept[id]) == max(map(len, kept.values()))]
    if len(ids) < 2:
        return []
    scores = np.array([[entry["score"] for entry in kept[id]] for id in ids])
    ahead = scores.argmax(axis=0)
    rows = []
    for row, id in enumerate(ids):
        cells = "".join(
            f'<img src="{pictures[id][column]}" alt="{entry["score"]:.2f}" title="{entry["score"]:.2f}"'
            f"{' class=won' if ahead[column] == row else ''}>"
            for column, entry in enumerate(kept[id])
        )
        rows.append(
            f"<p><b>{escape(_name(run, id))}</b> {scores[row].mean():.3f}</p><div>{cells}</div>"
        )
    style = f'style="--columns:{scores.shape[1]}"'
    how = (
        f"Every column is the same {'prompt' if 'prompt' in kept[ids[0]][0] else 'datapoint'} with the same noise; "
        "the number is the mean score of a row, an outline marks the highest score of a column."
    )
    shown = [
        card("Side by side", f'<div class="strips" {style}>{"".join(rows)}</div>', how, wide=True)
    ]
    founders = [row for row, id in enumerate(ids) if id in run.alone]
    last = len(ids) - 1
    table = "".join(
        f"<tr><td>{escape(short(entry.get('prompt', column), 80))}</td><td>{escape(_name(run, ids[ahead[column]]))}</td>"
        f"<td>{scores[ahead[column], column]:.3f}</td><td>{_most(scores[founders, column])}</td><td>{scores[last, column]:.3f}</td></tr>"
        for column, entry in enumerate(kept[ids[last]])
    )
    how = "Who of the members shown has the highest score, beside the highest of the founders and that of the best."
    head = "<tr><th>prompt</th><th>ahead</th><th>score</th><th>founders</th><th>best</th></tr>"
    shown.append(
        card("Who is ahead", f'<table class="ahead">{head}{table}</table>', how, wide=True)
    )
    return shown


def _shown(run: Record) -> list[int]:
    """The ids of those who are shown: founders, some who were best, the best last."""
    founders = [entry["id"] for entry in run.founders]
    bests = [
        id for entry in run.bests if (id := id_of(entry)) not in founders and id in run.gallery
    ]
    some = (
        np.unique(np.linspace(0, len(bests) - 1, min(len(bests), ROWS)).round().astype(int))
        if bests
        else ()
    )
    return [*founders, *(bests[place] for place in some)]


def _name(run: Record, id: int) -> str:
    return run.label(id) if id in run.alone else f"birth {id}"


def _most(scores: Sequence[float] | np.ndarray) -> str:
    return f"{max(scores):.3f}" if len(scores) else ""
