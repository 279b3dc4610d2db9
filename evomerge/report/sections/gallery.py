"""The same datapoints, member by member.

Founders and members that were best show what they make of a few of them, side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any, NamedTuple

import numpy as np

from evomerge.report.page import card, short
from evomerge.report.record import Record
from evomerge.report.tables import row
from evomerge.report.thumbnails import picture
from evomerge.rundir.births import id_of

ON_THE_WAY = 6
"""Most members that were best on the way, and are shown beside the founders and the best."""

PROMPT_LETTERS = 80
"""Longest text of a prompt."""

WHO_IS_AHEAD = (
    "Who of the members shown has the highest score, beside the highest of the founders and that "
    "of the best."
)


class _Strip(NamedTuple):
    """What a member makes of n datapoints.

    Attributes:
        id: the member's.
        name: its name.
        entries: n entries of its file.
        pictures: n pictures, as data URIs.
        scores: n scores.
    """

    id: int
    name: str
    entries: Sequence[dict[str, Any]]
    pictures: Sequence[str]
    scores: Sequence[float]


def cards(run: Record) -> list[str]:
    """Pictures of founders, of members that were best on the way, and of the best.

    And a table of who is ahead where. There are none where fewer than two have pictures.
    """
    strips = _strips(run)
    if len(strips) < 2:
        return []
    return [_side_by_side(strips), _ahead(run, strips)]


def _side_by_side(strips: Sequence[_Strip]) -> str:
    scores = _scores(strips)
    ahead = scores.argmax(axis=0)  # (n,)
    rows = ""
    for place, strip in enumerate(strips):
        images = ""
        for column, (uri, score) in enumerate(zip(strip.pictures, strip.scores, strict=True)):
            outline = " class=won" if ahead[column] == place else ""
            images += f'<img src="{uri}" alt="{score:.2f}" title="{score:.2f}"{outline}>'
        title = f"<p><b>{escape(strip.name)}</b> {scores[place].mean():.3f}</p>"
        rows += f"{title}<div>{images}</div>"
    kind = "prompt" if "prompt" in strips[0].entries[0] else "datapoint"
    caption = (
        f"Every column is the same {kind} with the same noise; the number is the mean score of a "
        "row, an outline marks the highest score of a column."
    )
    style = f'style="--columns:{scores.shape[1]}"'
    return card("Side by side", f'<div class="strips" {style}>{rows}</div>', caption, wide=True)


def _ahead(run: Record, strips: Sequence[_Strip]) -> str:
    """The table of who has the highest score at each datapoint; the best is the last strip."""
    scores = _scores(strips)
    ahead = scores.argmax(axis=0)  # (n,)
    are_alone = [strip.id in run.alone for strip in strips]
    rows = row(("prompt", "ahead", "score", "founders", "best"), "th")
    for column, entry in enumerate(strips[-1].entries):
        of_founders = scores[are_alone, column]
        # A founder may have failed to draw, and all of them may.
        highest = ""
        if len(of_founders):
            highest = f"{max(of_founders):.3f}"
        rows += row(
            (
                escape(short(entry.get("prompt", column), PROMPT_LETTERS)),
                escape(strips[ahead[column]].name),
                f"{scores[ahead[column], column]:.3f}",
                highest,
                f"{scores[-1, column]:.3f}",
            )
        )
    return card("Who is ahead", f'<table class="ahead">{rows}</table>', WHO_IS_AHEAD, wide=True)


def _strips(run: Record) -> list[_Strip]:
    """Founders, some who were best, and the best last, of those who have all pictures."""
    strips = []
    for id in _ids(run):
        entries = run.gallery.get(id, [])
        pictures = []
        for entry in entries:
            uri = picture(entry.get("picture"))
            if uri is not None:
                pictures.append(uri)
        if entries and len(pictures) == len(entries):
            scores = [entry["score"] for entry in entries]
            strips.append(_Strip(id, _name(run, id), entries, pictures, scores))
    # Of another fitness, a file may have another number of datapoints.
    most = max((len(strip.entries) for strip in strips), default=0)
    return [strip for strip in strips if len(strip.entries) == most]


def _scores(strips: Sequence[_Strip]) -> np.ndarray:
    """(members, n) the scores in all strips."""
    return np.array([strip.scores for strip in strips])


def _ids(run: Record) -> list[int]:
    """Who is shown, if there is something of them to show."""
    founders = [entry["id"] for entry in run.founders]
    bests = []
    for entry in run.bests:
        id = id_of(entry)
        if id not in founders and id in run.gallery:
            bests.append(id)
    if not bests:
        return founders
    # Evenly from the first to the last, which is the best.
    places = np.linspace(0, len(bests) - 1, min(len(bests), ON_THE_WAY))
    chosen = np.unique(places.round().astype(int))
    return [*founders, *(bests[place] for place in chosen)]


def _name(run: Record, id: int) -> str:
    if id in run.alone:
        return run.label(id)
    return f"birth {id}"
