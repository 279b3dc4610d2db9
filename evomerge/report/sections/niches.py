"""Who solves what: members by datapoints, sorted so that those lie together that are alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from evomerge.report.figures import LABELLED, RAW_BLUE, calm, name_rows, pixels_of, rows_height
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import MUTED, ORANGE, as_svg, resize
from evomerge.rundir.founders import SOLVED

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 400
"""Pixels across a picture of all datapoints."""

GROUPS, GROUP_LETTERS = 30, 44
"""Most groups that the datapoints are sorted by; most letters of their names that go side by side."""

TURNED = 1000
"""Most members among which branches are turned until neighbours are as alike as can be, which takes long for more."""


def niches(run: Record, fitness: np.ndarray) -> str:
    """The card of the members alive.

    Args:
        run: the run.
        fitness: (N,) theirs, in the order of `run.alive`.
    """
    codes, names = None, list[str]()
    if (
        run.founding is not None
        and "train" in run.founding.groups
        and 1 < len(run.founding.names) <= GROUPS
    ):
        codes, names = run.founding.groups["train"], list(run.founding.names)
    rows = alike(run.scores, fitness)
    how = (
        "Each row is a member, those that solve alike side by side; each column is a datapoint, coloured where it is solved. "
        "The shape above counts the members that solve it. "
    )
    if codes is None:
        how += "What is far to the right is somebody's niche, or nobody's."
    else:
        how += "The datapoints stand group by group, as the fitness names them below; in each, what is far to the right is somebody's niche, or nobody's."
    labels = [run.label(run.alive[row]) for row in rows]
    return card("Who solves what", draw(labels, run.scores[rows], codes, names), how)


def alike(scores: np.ndarray, fitness: np.ndarray) -> np.ndarray:
    """The members in an order in which those that solve the same are near each other: the leaves of a tree of likeness.

    Args:
        scores: (N, D).
        fitness: (N,); the fittest is in the first half.

    Returns:
        (N,) rows.
    """
    from scipy.cluster.hierarchy import (
        leaves_list,
        linkage,
    )  # late, since a run needs it only at its end
    from scipy.spatial.distance import squareform

    if len(scores) < 3:
        return np.argsort(-fitness, kind="stable")
    products = scores @ scores.T
    squares = np.diag(products)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * products, 0)).round(9)
    np.fill_diagonal(apart, 0)
    rows = leaves_list(
        linkage(squareform(apart, checks=False), "average", optimal_ordering=len(scores) <= TURNED)
    )
    return rows if 2 * np.flatnonzero(rows == fitness.argmax())[0] < len(rows) else rows[::-1]


def in_blocks(scores: np.ndarray, codes: np.ndarray | None = None) -> np.ndarray:
    """The datapoints group by group, in each what many solve first, and side by side what the same members solve.

    Args:
        scores: (N, D).
        codes: (D,) the group of each, if there are groups.

    Returns:
        (D,) columns.
    """
    solved = scores >= SOLVED
    keys = (*(~solved[::-1]), -solved.sum(axis=0))
    return np.lexsort(keys if codes is None else (*keys, codes))


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
    from matplotlib.ticker import MaxNLocator

    order = in_blocks(scores, codes)
    edges = np.linspace(0, len(order), min(COLUMNS, len(order)) + 1).round().astype(int)
    chunks = np.split(order, edges[1:-1])
    image = np.stack([scores[:, chunk].mean(axis=1) for chunk in chunks], axis=1)
    by_chunk = np.array([(scores[:, chunk] >= SOLVED).sum(axis=0).mean() for chunk in chunks])

    resize(figure, rows_height(len(labels)) + 60)
    above, below = figure.subplots(
        2, 1, sharex=True, height_ratios=(46, rows_height(len(labels)) - 30)
    )
    for axes in (above, below):
        calm(axes, grid=None)
        axes.spines["bottom"].set_visible(False)
    above.stairs(by_chunk, edges, fill=True, color=ORANGE, alpha=0.75)
    above.set_ylim(0, len(labels))
    above.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    extent = (0, scores.shape[1], len(labels) - 0.5, -0.5)
    below.imshow(pixels_of(image, RAW_BLUE), extent=extent, aspect="auto", interpolation="none")
    name_rows(below, labels)
    if len(labels) > LABELLED:
        below.set_ylabel(f"{len(labels)} members", color=MUTED, fontsize=10)
    below.set_xlabel("training datapoints", color=MUTED, fontsize=10, loc="right")
    below.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    above.tick_params(labelbottom=False)
    if codes is not None:
        ends = np.searchsorted(codes[order], np.arange(len(names) + 1)).astype(float)
        for axes in (above, below):
            for end in ends[(ends > 0) & (ends < len(order))]:
                axes.axvline(end, color=MUTED, linewidth=0.8)
        shown = [name if len(name) <= 12 else name[:11] + "…" for name in names]
        fits = sum(map(len, shown)) + len(shown) <= GROUP_LETTERS
        below.set_xticks((ends[:-1] + ends[1:]) / 2, shown if fits else [""] * len(shown))
