"""A family tree: who stands where in it, and how it is drawn.

The old are on the left, each child is to the right of its parents, and nobody stands there twice.
Where a line passes a generation, it has a waypoint there, so that lines and members make room for
each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, TypeAlias

from evomerge.report.page import short
from evomerge.report.svg import CARD, GREEN, INK, LINE, MUTED, ORANGE, WIDTH, as_svg, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LETTERS = 10
"""Longest name in a family tree."""

COLUMN_WIDTH = 81
"""Units of a generation; a tree of many is wider than other figures."""

ROW_HEIGHT, MARGIN = 33, 22
"""Units from member to member in a generation, and above the first and below the last."""

HALF = 24
"""Units that half a member is wide."""

SWEEPS = 16
"""How often all generations are put in order."""

Waypoint: TypeAlias = tuple[int, int, int]
"""Parent, child, and how many generations back from the best their line passes."""

Node: TypeAlias = int | Waypoint
"""What has a place in the tree: a member, by its id, or a waypoint."""


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


@as_svg
def draw(figure: Figure, relatives: Mapping[int, Relative], best: int) -> None:
    """The family tree of the best member.

    Args:
        figure: where to draw.
        relatives: who is drawn, by id, which grows with birth; parents that are not among them are
            left out.
        best: id of the last child.
    """
    layout = _Layout.arranged(relatives, best)
    resize(figure, layout.height, layout.width)
    # Nodes stand at units of the figure: no margin may be added to it.
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, layout.width), ylim=(layout.height, 0))
    # Lines first, so that members and numbers lie on them.
    for (parent, child), chain in layout.chains.items():
        middle = _draw_line(axes, [layout.place(node) for node in chain])
        relative = relatives[child]
        if relative.shares:
            share = relative.shares[relative.parents.index(parent)]
            # The line would run through the number.
            halo = {"boxstyle": "square,pad=0.12", "facecolor": CARD, "edgecolor": "none"}
            _write(axes, *middle, share, fontsize=8, color=MUTED, bbox=halo)
    for id, relative in relatives.items():
        colour = LINE
        if id == best:
            colour = ORANGE
        elif relative.founder:
            colour = GREEN
        _draw_member(axes, relative, layout.place(id), colour)


def generations_back(relatives: Mapping[int, Relative], best: int) -> dict[int, int]:
    """For each relative the longest way down to the best, in generations."""
    back = {best: 0}
    # Ids grow with birth: from young to old, all children of a member come before it.
    for id in sorted(relatives, reverse=True):
        for parent in relatives[id].parents:
            if parent in relatives:
                back[parent] = max(back.get(parent, 0), back[id] + 1)
    return back


@dataclass(frozen=True)
class _Layout:
    """Where everything stands in a tree.

    Attributes:
        columns: generations back from the best, of each member.
        chains: by parent and child, the nodes that the line between them passes.
        heights: rows from above, of each node.
        lowest: the least of these.
        width: units across the tree.
        height: units from top to bottom.
    """

    columns: Mapping[int, int]
    chains: Mapping[tuple[int, int], list[Node]]
    heights: Mapping[Node, float]
    lowest: float
    width: float
    height: float

    @classmethod
    def arranged(cls, relatives: Mapping[int, Relative], best: int) -> _Layout:
        """The layout of a tree."""
        columns = generations_back(relatives, best)
        chains: dict[tuple[int, int], list[Node]] = {}
        for child, relative in relatives.items():
            for parent in relative.parents:
                if parent in relatives:
                    # A parent may be much older than the generation before its child.
                    passed = range(columns[parent] - 1, columns[child], -1)
                    waypoints = [(parent, child, column) for column in passed]
                    chains[parent, child] = [parent, *waypoints, child]
        heights = _heights(columns, list(chains.values()))
        lowest, highest = min(heights.values()), max(heights.values())
        width = max(WIDTH, (max(columns.values()) + 1) * COLUMN_WIDTH)
        height = (highest - lowest) * ROW_HEIGHT + 2 * MARGIN
        return cls(columns, chains, heights, lowest, width, height)

    def place(self, node: Node) -> tuple[float, float]:
        """The middle of a node, in units from the left and from the top."""
        # Two units are left free, so that no frame is cut off at the edge.
        room = self.width - 2 * HALF - 4
        back = _column(self.columns, node)
        x = self.width - HALF - 2 - back * room / max(*self.columns.values(), 1)
        y = (self.heights[node] - self.lowest) * ROW_HEIGHT + MARGIN
        return x, y


def _column(columns: Mapping[int, int], node: Node) -> int:
    """Generations back from the best."""
    if isinstance(node, tuple):
        return node[2]
    return columns[node]


def _heights(columns: Mapping[int, int], chains: Sequence[Sequence[Node]]) -> dict[Node, float]:
    """Where each node stands in its column, so that lines are short and few of them cross.

    Column by column, to and fro, each node moves near the mean of its neighbours.
    """
    near: dict[Node, list[Node]] = {member: [] for member in columns}
    for chain in chains:
        for one, other in pairwise(chain):
            near.setdefault(one, []).append(other)
            near.setdefault(other, []).append(one)
    in_column: dict[int, list[Node]] = {}
    for node in near:
        in_column.setdefault(_column(columns, node), []).append(node)
    heights: dict[Node, float] = {}
    for nodes in in_column.values():
        for rank, node in enumerate(nodes):
            heights[node] = float(rank)
    # The neighbours of a column have moved when it is its turn again; after some sweeps nothing
    # moves any more. To and fro, so that the young follow the old as the old follow the young.
    for sweep in range(SWEEPS):
        for column in sorted(in_column, reverse=bool(sweep % 2)):
            _put_in_order(in_column[column], near, heights)
    return heights


def _room(node: Node) -> float:
    """Rows from a node to the one above it: a line needs less than a member."""
    if isinstance(node, tuple):
        return 0.75
    return 1


def _put_in_order(
    nodes: list[Node], near: Mapping[Node, Sequence[Node]], heights: dict[Node, float]
) -> None:
    """Moves the nodes of a column near their neighbours, as far as there is room.

    Args:
        nodes: the column's, which are sorted by this.
        near: the neighbours of each node.
        heights: where each node stands, which is changed for those of the column.
    """
    wanted = {}
    for node in nodes:
        neighbours = [heights[other] for other in near[node]]
        wanted[node] = fmean(neighbours or [0.0])
    # Of those that want to be at one height, the upper one stays above.
    nodes.sort(key=lambda node: (wanted[node], heights[node]))
    placed: list[float] = []
    for node in nodes:
        height = wanted[node]
        if placed:
            height = max(height, placed[-1] + _room(node))
        placed.append(height)
    # Who had to make room was moved down: the column as a whole goes back to where it belongs.
    shift = fmean(wanted[node] for node in nodes) - fmean(placed)
    for node, height in zip(nodes, placed, strict=True):
        heights[node] = height + shift


def _draw_line(axes: Axes, places: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Draws the line from a parent to a child; gives the middle of its last curve.

    Args:
        axes: where to draw.
        places: the middles of the parent, of all waypoints, and of the child.
    """
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    points: list[tuple[float, float]] = []
    codes = []
    middle = places[0]
    for (left, y), (right, to_y) in pairwise(places):
        # From edge to edge; straight through the columns that it passes.
        x, to_x = left + HALF, right - HALF
        # It leaves and arrives level, so that many lines at one member can be told apart.
        middle = (x + to_x) / 2, (y + to_y) / 2
        points += [(x, y), (middle[0], y), (middle[0], to_y), (to_x, to_y)]
        codes += [Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    # Every other piece goes on where the one before it ends.
    codes[0] = Path.MOVETO
    line = Path(points, codes)
    axes.add_patch(PathPatch(line, fill=False, edgecolor=MUTED, linewidth=1, alpha=0.65))
    return middle


def _draw_member(axes: Axes, relative: Relative, place: tuple[float, float], colour: str) -> None:
    """Draws a member: a frame of a colour, its name, and its score below."""
    from matplotlib.patches import FancyBboxPatch

    x, y = place
    frame: dict[str, Any] = {
        "boxstyle": "round,pad=0,rounding_size=5",
        "facecolor": CARD,
        "edgecolor": colour,
        "linewidth": 1.5,
    }
    axes.add_patch(FancyBboxPatch((x - HALF, y - 13), 2 * HALF, 26, zorder=3, **frame))
    _write(axes, x, y - 5, short(relative.label, LETTERS), fontsize=9, color=INK)
    score = ""
    if relative.score is not None:
        score = f"{relative.score:.3f}"
    _write(axes, x, y + 6, score, fontsize=8.5, color=MUTED)


def _write(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    axes.text(x, y, text, ha="center", va="center", zorder=4, **style)
