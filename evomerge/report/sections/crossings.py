"""How the best and those before it were merged: split points and shares of both parents along the parameter axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

from evomerge.genome.groups import Stretch
from evomerge.report.figures import calm, ruler
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import BLUE, CARD, INK, MUTED, ORANGE, WIDTH, as_svg, resize
from evomerge.rundir.births import id_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERATIONS = 2
"""How many generations before the best are shown."""

ROW = 46
"""Units that a child is high."""

NARROWEST = 0.09
"""The share of the axis from which on a part has its number."""


class Row(NamedTuple):
    """One child.

    Attributes:
        label: its name.
        parents: names of the first and the second parent.
        parts: (start, stop, w) of each part on the axis, with the share of the second parent.
    """

    label: str
    parents: tuple[str, str]
    parts: list[tuple[int, int, float]]


def splits(run: Record) -> str:
    """The card; nothing where the best was not merged, or it is not known what lies where."""
    stretches = run.founding.stretches if run.founding is not None else ()
    if not stretches or not run.bests or not run.bests[-1].get("ratios"):
        return ""
    by_id = {id_of(entry): entry for entry in run.births}
    shown, youngest = [], [id_of(run.bests[-1])]
    for _ in range(GENERATIONS + 1):
        merged = [
            id for id in youngest if id in by_id and by_id[id].get("ratios") and id not in shown
        ]
        shown += merged
        youngest = list(dict.fromkeys(parent for id in merged for parent in by_id[id]["parents"]))
    rows = [
        Row(
            run.label(id),
            (run.label(entry["parents"][0]), run.label(entry["parents"][1])),
            parts(entry, stretches),
        )
        for id in shown
        for entry in [by_id[id]]
    ]
    how = (
        "The best, its parents and theirs, each along the parameter axis: blue is what it has of the first parent, grey of the second, "
        "and the number is the first one's share; below 0 or above 1 it goes beyond a parent. A line is a split point, where the "
        "parents change places. Below is what lies where on the axis, to scale."
    )
    return card("Split points", draw(rows, stretches), how)


def parts(entry: Mapping[str, Any], stretches: Sequence[Stretch]) -> list[tuple[int, int, float]]:
    """(start, stop, w) of each part that a line of the log tells of."""
    found = []
    for name, ratio, points in zip(
        dict.fromkeys(one.chromosome for one in stretches),
        entry["ratios"],
        entry["splits"],
        strict=True,
    ):
        own = [one for one in stretches if one.chromosome == name]
        edges = [own[0].start, *points, own[-1].stop]
        found += [
            (start, stop, ratio if turn % 2 == 0 else 1 - ratio)
            for turn, (start, stop) in enumerate(pairwise(edges))
            if start < stop
        ]
    return found


@as_svg
def draw(figure: Figure, rows: Sequence[Row], stretches: Sequence[Stretch]) -> None:
    """A band for each child, the youngest on top.

    Args:
        figure: where to draw.
        rows: the children.
        stretches: what lies where.
    """
    resize(figure, ROW * len(rows) + 46)
    axes = figure.subplots()
    calm(axes, grid=None)
    size = stretches[-1].stop
    for place, row in enumerate(rows):
        bottom = len(rows) - 1 - place
        for start, stop, w in row.parts:
            first = min(max(1 - w, 0.0), 1.0)
            axes.bar(
                start, 0.5, stop - start, bottom, align="edge", color=MUTED, alpha=0.35, linewidth=0
            )
            axes.bar(
                start,
                0.5 * first,
                stop - start,
                bottom,
                align="edge",
                color=BLUE,
                alpha=0.8,
                linewidth=0,
            )
            if stop - start > NARROWEST * size:
                axes.text(
                    (start + stop) / 2,
                    bottom + 0.25,
                    f"{1 - w:.2f}",
                    ha="center",
                    va="center",
                    fontsize=8.5,
                    color=INK,
                )
        for _, stop, _ in row.parts[:-1]:
            axes.plot([stop, stop], [bottom - 0.05, bottom + 0.55], color=CARD, linewidth=2.5)
            axes.plot([stop, stop], [bottom - 0.05, bottom + 0.55], color=INK, linewidth=1)
        of, x = (row.label, "of", row.parents[0], "and", row.parents[1]), 0.0
        for text, colour in zip(
            of, (INK if place else ORANGE, MUTED, BLUE, MUTED, MUTED), strict=True
        ):
            axes.text(x, bottom + 0.62, text, color=colour, fontsize=9.5, va="bottom")
            x += size * (len(text) + 1.4) * 5.6 / WIDTH
    axes.set_yticks([])
    axes.set_ylim(-0.1, len(rows))
    ruler(axes, stretches)
