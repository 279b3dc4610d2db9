"""The family tree of the best member: who belongs to it, and how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any

from evomerge.report.page import LEGEND, card, short
from evomerge.report.record import Record
from evomerge.report.svg import CARD, GREEN, INK, LINE, MUTED, ORANGE, WIDTH, as_svg, resize
from evomerge.rundir.births import id_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GENERATIONS, COLUMNS = 4, 11
"""How far back a family tree goes; fewer where relatives so often had children together that it would need more columns."""

LETTERS = 10
"""Longest name in a family tree."""

COLUMN_WIDTH = 81
"""Units of a generation in a family tree; a tree of many is wider than other figures."""


@dataclass(frozen=True)
class Relative:
    """One member of a family tree.

    Attributes:
        parents: ids of its parents.
        label: its name.
        score: its mean training score, if it is known.
        shares: a text for each parent: how much the child has of it.
        founder: whether it has no parents: it was there at the start, or came as an immigrant.
    """

    parents: tuple[int, ...]
    label: str
    score: float | None
    shares: tuple[str, ...]
    founder: bool


def tree(run: Record) -> str:
    """The card of a family tree; nothing where nobody is best yet."""
    if not run.bests:
        return ""
    best = id_of(run.bests[-1])
    by_id = {id_of(entry): entry for entry in (*run.founders, *run.births)}
    if by_id[best].get("made") and not by_id[best].get("parents"):
        return ""
    if best in run.alone:
        return card(
            "Family tree", "", f"The best is {run.label(best)}: no child has beaten it yet."
        )
    for generations in range(GENERATIONS, 0, -1):
        found = youngest = {best}
        for _ in range(generations):
            youngest = {parent for id in youngest for parent in by_id[id].get("parents", ())}
            found = found | youngest
        relatives = {id: _relative(run, by_id[id]) for id in found}
        if max(generations_back(relatives, best).values()) < COLUMNS:
            break
    how = f"Children stand to the right of their parents, each with its training score; {LEGEND}"
    if any(relative.shares for relative in relatives.values()):
        split = any(any(by_id[id].get("splits", ())) for id in found)
        how += " A number on a line is the share that a parent gives" + (
            ", up to the first split point." if split else "."
        )
    return card("Family tree", f'<div class="scroll">{draw(relatives, best)}</div>', how, wide=True)


def _relative(run: Record, entry: Mapping[str, Any]) -> Relative:
    ratios = entry.get("ratios", ())
    shares = [
        sorted({f"{share:.2f}" for share in of}, key=float)
        for of in ([1 - w for w in ratios], ratios)
    ]
    texts = (
        tuple("\N{EN DASH}".join(dict.fromkeys((of[0], of[-1]))) for of in shares) if ratios else ()
    )
    label = run.label(id_of(entry))
    return Relative(
        tuple(entry.get("parents", ())), label, entry.get("train"), texts, id_of(entry) in run.alone
    )


@as_svg
def draw(figure: Figure, relatives: Mapping[int, Relative], best: int) -> None:
    """The family tree of the best member: the old on the left, each child to the right of its parents, nobody twice.

    Args:
        figure: where to draw.
        relatives: who is drawn, by id, which grows with birth; parents that are not among them are left out.
        best: id of the last child.
    """
    from matplotlib.patches import FancyBboxPatch, PathPatch
    from matplotlib.path import Path

    column = generations_back(relatives, best)
    last = max(column.values())
    chains = {
        (parent, child): [
            parent,
            *((parent, child, step) for step in range(column[parent] - 1, column[child], -1)),
            child,
        ]
        for child, relative in relatives.items()
        for parent in relative.parents
        if parent in relatives
    }
    height = _heights(column, list(chains.values()))
    low, high = min(height.values()), max(height.values())

    half, row, margin = 24, 33, 22
    size, width = (high - low) * row + 2 * margin, max(WIDTH, (last + 1) * COLUMN_WIDTH)
    resize(figure, size, width)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(size, 0))

    def place(node: Any) -> tuple[float, float]:
        back = column[node] if node in column else node[2]
        return width - half - 2 - back * (width - 2 * half - 4) / max(last, 1), (
            height[node] - low
        ) * row + margin

    def write(x: float, y: float, text: str, **style: Any) -> None:
        axes.text(x, y, text, ha="center", va="center", zorder=4, **style)

    for (parent, child), chain in chains.items():
        line, codes = [], []
        for (x, y), (to_x, to_y) in pairwise(map(place, chain)):
            x, to_x = x + half, to_x - half
            middle = (x + to_x) / 2, (y + to_y) / 2
            line += [
                (x, y),
                (middle[0], y),
                (middle[0], to_y),
                (to_x, to_y),
            ]  # straight through the columns it passes
            codes += [Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        codes[0] = Path.MOVETO
        axes.add_patch(
            PathPatch(Path(line, codes), fill=False, edgecolor=MUTED, linewidth=1, alpha=0.65)
        )
        if relatives[child].shares:
            share = relatives[child].shares[relatives[child].parents.index(parent)]
            halo = {"boxstyle": "square,pad=0.12", "facecolor": CARD, "edgecolor": "none"}
            write(*middle, share, fontsize=8, color=MUTED, bbox=halo)
    for id, relative in relatives.items():
        x, y = place(id)
        colour = ORANGE if id == best else GREEN if relative.founder else LINE
        frame: dict[str, Any] = {
            "boxstyle": "round,pad=0,rounding_size=5",
            "facecolor": CARD,
            "edgecolor": colour,
            "linewidth": 1.5,
        }
        axes.add_patch(FancyBboxPatch((x - half, y - 13), 2 * half, 26, zorder=3, **frame))
        write(x, y - 5, short(relative.label, LETTERS), fontsize=9, color=INK)
        write(
            x,
            y + 6,
            "" if relative.score is None else f"{relative.score:.3f}",
            fontsize=8.5,
            color=MUTED,
        )


def generations_back(relatives: Mapping[int, Relative], best: int) -> dict[int, int]:
    """For each relative the longest way down to the best, in generations."""
    back = {best: 0}
    for id in sorted(relatives, reverse=True):
        for parent in relatives[id].parents:
            if parent in relatives:
                back[parent] = max(back.get(parent, 0), back[id] + 1)
    return back


def _heights(column: Mapping[int, int], chains: Sequence[Sequence[Any]]) -> dict[Any, float]:
    """Where each node stands in its column, so that lines are short and few cross: each near the mean of its neighbours."""
    nodes: dict[int, list[Any]] = {}
    near: dict[Any, list[Any]] = {node: [] for node in column}
    for chain in chains:
        for one, other in pairwise(chain):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    for node in near:
        nodes.setdefault(column[node] if node in column else node[2], []).append(node)
    height = {node: float(rank) for members in nodes.values() for rank, node in enumerate(members)}
    for sweep in range(16):
        for index in sorted(nodes, reverse=bool(sweep % 2)):
            wanted = {
                node: fmean([height[other] for other in near[node]] or [0.0])
                for node in nodes[index]
            }
            nodes[index].sort(key=lambda node: (wanted[node], height[node]))
            placed: list[float] = []
            for node in nodes[index]:
                placed.append(
                    max(wanted[node], placed[-1] + (1 if node in column else 0.75))
                    if placed
                    else wanted[node]
                )
            shift = fmean(wanted[node] for node in nodes[index]) - fmean(placed)
            height.update({node: y + shift for node, y in zip(nodes[index], placed, strict=True)})
    return height
