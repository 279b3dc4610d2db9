"""Who solves what: members by datapoints, sorted so that those lie together that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evomerge.report.axes import LABELLED, calm, name_rows, pixels_of, rows_height
from evomerge.report.page import short
from evomerge.report.svg import MUTED, ORANGE, RAW_BLUE, as_svg, resize
from evomerge.rundir.founders import SOLVED

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 400
"""Pixels across a picture of all datapoints."""

GROUP_LETTERS = 44
"""Most letters of the names of groups that go side by side."""

NAME_LETTERS = 12
"""Longest name of a group."""

TURNED = 1000
"""Most members among which branches are turned until neighbours are as alike as can be.

That takes long for more.
"""


def alike(scores: np.ndarray, fitness: np.ndarray) -> np.ndarray:
    """The members in an order in which those that solve the same are near each other.

    It is that of the leaves of a tree of likeness.

    Args:
        scores: (N, D).
        fitness: (N,); the fittest is in the first half.

    Returns:
        (N,) rows.
    """
    # Late, since a run needs it only at its end.
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    # Of two, there is no tree to speak of.
    if len(scores) < 3:
        return np.argsort(-fitness, kind="stable")
    products = scores @ scores.T  # (N, N)
    squares = np.diag(products)  # (N,)
    # Rounded, so that the order of equals does not hang on the last bits of a product.
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0)).round(9)  # (N, N)
    np.fill_diagonal(apart, 0)
    condensed = squareform(apart, checks=False)  # (N * (N - 1) / 2,)
    tree = linkage(condensed, "average", optimal_ordering=len(scores) <= TURNED)
    rows = leaves_list(tree)  # (N,)
    place_of_the_fittest = np.flatnonzero(rows == fitness.argmax())[0]
    if 2 * place_of_the_fittest < len(rows):
        return rows
    return rows[::-1]


def in_blocks(scores: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
    """The datapoints, side by side what the same members solve, and first what many solve.

    Args:
        scores: (N, D).
        codes: (D,) the group of each, if there are groups; then group by group.

    Returns:
        (D,) columns.
    """
    solved = scores >= SOLVED  # (N, D)
    # lexsort sorts by the last key first.
    keys = (*(~solved[::-1]), -solved.sum(axis=0))
    if codes is not None:
        keys = (*keys, codes)
    return np.lexsort(keys)


@as_svg
def draw(
    figure: Figure,
    labels: Sequence[str],
    scores: np.ndarray,
    codes: np.ndarray | None,
    names: Sequence[str],
) -> None:
    """Members by datapoints, over how many members solve each datapoint.

    Args:
        figure: where to draw.
        labels: N names, the first on top.
        scores: (N, D) in [0, 1].
        codes: (D,) the group of each datapoint, if there are groups.
        names: of the groups.
    """
    order = in_blocks(scores, codes)  # (D,)
    columns = min(COLUMNS, len(order))
    edges = np.linspace(0, len(order), columns + 1).round().astype(int)  # (columns + 1,)
    # A column is a few datapoints, where there are more of these than columns.
    shades = []
    counts = []
    for chunk in np.split(order, edges[1:-1]):
        shades.append(scores[:, chunk].mean(axis=1))
        counts.append((scores[:, chunk] >= SOLVED).sum(axis=0).mean())
    image = np.stack(shades, axis=1)  # (N, columns)

    resize(figure, rows_height(len(labels)) + 60)
    heights = (46, rows_height(len(labels)) - 30)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=heights)
    calm(above, grid=None, baseline=False)
    calm(below, grid=None, baseline=False)
    _draw_counts(above, edges, np.array(counts), len(labels))
    _draw_members(below, labels, image, scores.shape[1])
    above.tick_params(labelbottom=False)
    if codes is not None:
        ends = np.searchsorted(codes[order], np.arange(len(names) + 1)).astype(float)
        _mark_groups(above, below, ends, names)


def _draw_counts(axes: Axes, edges: np.ndarray, counts: np.ndarray, members: int) -> None:
    """Draws how many members solve each datapoint, over the columns between (n + 1,) edges."""
    from matplotlib.ticker import MaxNLocator

    axes.stairs(counts, edges, fill=True, color=ORANGE, alpha=0.75)
    axes.set_ylim(0, members)
    axes.yaxis.set_major_locator(MaxNLocator(2, integer=True))


def _draw_members(axes: Axes, labels: Sequence[str], image: np.ndarray, datapoints: int) -> None:
    """Draws a row for each member, from (N, columns) opacities."""
    from matplotlib.ticker import MaxNLocator

    extent = (0, datapoints, len(labels) - 0.5, -0.5)
    axes.imshow(pixels_of(image, RAW_BLUE), extent=extent, aspect="auto", interpolation="none")
    name_rows(axes, labels)
    if len(labels) > LABELLED:
        # They are sorted by what they solve here, not by fitness.
        axes.set_ylabel(f"{len(labels)} members", color=MUTED, fontsize=10)
    axes.set_xlabel("training datapoints", color=MUTED, fontsize=10, loc="right")
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))


def _mark_groups(above: Axes, below: Axes, ends: np.ndarray, names: Sequence[str]) -> None:
    """Draws a line between one group and the next, and names them below where there is room.

    Args:
        above: the diagram of counts.
        below: the diagram of members.
        ends: (groups + 1,) where each group begins, and where the last one ends.
        names: of the groups.
    """
    for axes in (above, below):
        for end in ends[(ends > 0) & (ends < ends[-1])]:
            axes.axvline(end, color=MUTED, linewidth=0.8)
    shown = [short(name, NAME_LETTERS) for name in names]
    letters = sum(map(len, shown)) + len(shown)
    if letters > GROUP_LETTERS:
        shown = [""] * len(shown)
    below.set_xticks((ends[:-1] + ends[1:]) / 2, shown)
