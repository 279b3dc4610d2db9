"""What diagrams of a report have in common: a calm frame, a legend, named rows, a ruler."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.report.page import short
from evomerge.report.svg import INK, LINE, MUTED, WIDTH

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from evomerge.genome.groups import Stretch

LABELLED = 30
"""Most members, or classes, that are named one by one."""

NAME_LETTERS = 18
"""Longest name of a row."""

ROOMY = 22
"""Most rows whose names are written in letters of full size."""

LETTER = 6
"""Units that a small letter is wide."""

LEGEND_LETTERS = 44
"""Letters of a legend that go in one line."""


def calm(axes: Axes, *, grid: str | None = "y", baseline: bool = True) -> None:
    """Makes a diagram calm: no frame, faint lines.

    Args:
        axes: the diagram.
        grid: the axis across which faint lines go, "x" or "y"; None for no lines.
        baseline: whether there is a line at the bottom.
    """
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom" and baseline)
        spine.set_color(LINE)
    # The faint lines say where the numbers belong: ticks would say it twice.
    axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=10, pad=5)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)  # type: ignore[arg-type]


def legend(axes: Axes, *entries: Any, columns: int, height: float = 1.0) -> None:
    """Writes the legend above a diagram.

    Args:
        axes: the diagram.
        entries: lines and their names; all lines with a name if there are none.
        columns: how many names stand side by side.
        height: where its lower edge is, as a share of the diagram's height.
    """
    axes.legend(
        *entries,
        loc="lower left",
        bbox_to_anchor=(-0.02, height),
        ncols=columns,
        frameon=False,
        labelcolor=INK,
        fontsize=10.5,
        handlelength=1.1,
        columnspacing=1.4,
        handletextpad=0.5,
    )


def ruler(axes: Axes, stretches: Sequence[Stretch]) -> None:
    """Says below a diagram what lies where on the parameter axis.

    Layers are named where there is room; chromosomes are named above, if there are several.

    Args:
        axes: the diagram.
        stretches: the whole axis, in order.
    """
    size = stretches[-1].stop
    axes.set_xlim(0, size)
    # A layer may be several stretches, and counts once among those that end in the same part.
    last_parts = {}
    for stretch in stretches:
        last_parts[stretch.layer] = _parts(stretch.layer)[-1]
    ends = list(last_parts.values())
    ticks: list[float] = []
    names: list[str] = []
    for stretch in stretches:
        room = WIDTH / LETTER * (stretch.stop - stretch.start) / size
        ticks.append((stretch.start + stretch.stop) / 2)
        is_alone = ends.count(last_parts[stretch.layer]) == 1
        names.append(_layer_name(stretch.layer, is_alone, room))
        # The frame is where the first one begins.
        if stretch.start:
            axes.axvline(stretch.start, color=LINE, linewidth=0.8, zorder=0)
    axes.set_xticks(ticks, names, fontsize=8.5)
    _name_chromosomes(axes, stretches)


def rows_height(members: int) -> float:
    """Units that a diagram with a row for each member is high."""
    return float(np.clip(13 * members + 40, 150, 340))


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Names the members on the vertical axis, or says how they are sorted where they are many."""
    # The first row is on top, so the axis runs downwards.
    axes.set_ylim(len(labels) - 0.5, -0.5)
    if len(labels) > LABELLED:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(labels)} members, fittest on top", color=MUTED, fontsize=10)
        return
    names = [short(label, NAME_LETTERS) for label in labels]
    size = 9.0
    if len(labels) > ROOMY:
        size = 7.5
    axes.set_yticks(range(len(labels)), names, fontsize=size)


def pixels_of(opacity: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) opacities in [0, 1] as (H, W, 4) uint8 pixels of one colour."""
    pixels = np.empty((*opacity.shape, 4), dtype=np.uint8)  # (H, W, 4)
    pixels[..., :3] = colour
    # A mean over no datapoint is not a number, and is not drawn.
    pixels[..., 3] = np.rint(255 * np.clip(np.nan_to_num(opacity), 0, 1))
    return pixels


def _parts(layer: str) -> list[str]:
    return layer.removesuffix(".weight").split(".")


def _layer_name(layer: str, is_alone: bool, room: float) -> str:
    """The last two parts of a layer's name, or the last, or nothing, as there is room.

    Args:
        layer: its whole name.
        is_alone: whether no other layer ends in the same part, which then is enough.
        room: letters that fit.
    """
    # What a reader knows a layer by is its end: the beginning is the same for all of a model.
    parts = _parts(layer)
    name = ".".join(parts[-2:])
    if len(name) < room:
        return name
    if is_alone and len(parts[-1]) < room:
        return parts[-1]
    return ""


def _name_chromosomes(axes: Axes, stretches: Sequence[Stretch]) -> None:
    """Marks where each chromosome begins, if there are several."""
    starts: dict[str, int] = {}
    for stretch in stretches:
        starts.setdefault(stretch.chromosome, stretch.start)
    # Where there is but one, its name says nothing.
    if len(starts) < 2:
        return
    for name, start in starts.items():
        axes.axvline(start, color=MUTED, linewidth=1.2)
        axes.annotate(
            name,
            (start, 1),
            (3, 2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=9,
            color=MUTED,
        )
