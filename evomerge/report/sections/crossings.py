"""How the best and those before it were merged: split points, and shares of both parents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from evomerge.genome.groups import Stretch
from evomerge.report.axes import calm, ruler
from evomerge.report.descent import parts
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import BLUE, CARD, INK, MUTED, ORANGE, WIDTH, as_svg, resize
from evomerge.rundir.births import id_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GENERATIONS = 2
"""How many generations before the best are shown."""

ROW = 46
"""Units that a child is high."""

NARROWEST = 0.09
"""The share of the axis from which on a part has its number."""

LETTER = 5.6
"""Units that a letter of a child's name is wide."""

HOW_TO_READ = (
    "The best, its parents and theirs, each along the parameter axis: blue is what it has of the "
    "first parent, grey of the second, and the number is the first one's share; below 0 or above 1 "
    "it goes beyond a parent. A line is a split point, where the parents change places. Below is "
    "what lies where on the axis, to scale."
)


class _Child(NamedTuple):
    """A child that was merged.

    Attributes:
        label: its name.
        parents: names of the first and the second parent.
        parts: (start, stop, w) of each part on the axis, with the share of the second parent.
    """

    label: str
    parents: tuple[str, str]
    parts: list[tuple[int, int, float]]


def cards(run: Record) -> list[str]:
    """The card; none where the best was not merged, or it is not known what lies where."""
    if not run.stretches or not run.bests or not run.bests[-1].get("ratios"):
        return []
    children = []
    for id in _merged(run):
        entry = run.by_id[id]
        # One with ratios has two parents.
        first, second = entry["parents"]
        labels = run.label(first), run.label(second)
        children.append(_Child(run.label(id), labels, parts(entry, run.stretches)))
    return [card("Split points", _draw(children, run.stretches), HOW_TO_READ)]


def _merged(run: Record) -> list[int]:
    """The ids of the best and of its ancestors some generations back, of those that were merged."""
    # Lines of ancestors may come together again: each is shown once, where it comes up first.
    shown: list[int] = []
    generation = [id_of(run.bests[-1])]
    for _ in range(GENERATIONS + 1):
        parents: list[int] = []
        for id in generation:
            if id not in shown and run.by_id.get(id, {}).get("ratios"):
                shown.append(id)
                parents += run.by_id[id]["parents"]
        generation = parents
    return shown


@as_svg
def _draw(figure: Figure, children: Sequence[_Child], stretches: Sequence[Stretch]) -> None:
    """A band for each child, the youngest on top.

    Args:
        figure: where to draw.
        children: who they are.
        stretches: what lies where.
    """
    resize(figure, ROW * len(children) + 46)
    axes = figure.subplots()
    calm(axes, grid=None)
    size = stretches[-1].stop
    for place, child in enumerate(children):
        bottom = len(children) - 1 - place
        for part in child.parts:
            _draw_part(axes, part, bottom, size)
        for _, stop, _ in child.parts[:-1]:
            # A line of the card's colour beside it sets it off from the band.
            for colour, width in ((CARD, 2.5), (INK, 1)):
                ends = [bottom - 0.05, bottom + 0.55]
                axes.plot([stop, stop], ends, color=colour, linewidth=width)
        x = 0.0
        # Words of several colours are texts of their own, set side by side.
        for text, colour in _name(child, is_best=place == 0):
            axes.text(x, bottom + 0.62, text, color=colour, fontsize=9.5, va="bottom")
            x += size * (len(text) + 1.4) * LETTER / WIDTH
    axes.set_yticks([])
    axes.set_ylim(-0.1, len(children))
    ruler(axes, stretches)


def _draw_part(axes: Axes, part: tuple[int, int, float], bottom: float, size: int) -> None:
    """Draws a part of a child: blue as high as the first parent's share, grey behind it."""
    start, stop, w = part
    length = stop - start
    # Beyond a parent, the band is full or empty, and the number says by how much.
    share = min(max(1 - w, 0.0), 1.0)
    for height, colour, alpha in ((0.5, MUTED, 0.35), (0.5 * share, BLUE, 0.8)):
        axes.bar(
            start, height, length, bottom, align="edge", color=colour, alpha=alpha, linewidth=0
        )
    if length > NARROWEST * size:
        axes.text(
            (start + stop) / 2,
            bottom + 0.25,
            f"{1 - w:.2f}",
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
        )


def _name(child: _Child, *, is_best: bool) -> Iterator[tuple[str, str]]:
    """The words of a child's name, each with its colour."""
    first, second = child.parents
    yield child.label, ORANGE if is_best else INK
    yield "of", MUTED
    yield first, BLUE
    yield "and", MUTED
    yield second, MUTED
