"""The diagrams of a report: curves over births, bars, intervals, a confusion matrix, the parameter axis."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.report.page import short
from evomerge.report.svg import INK, LINE, MUTED, WIDTH, as_svg, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from evomerge.genome.groups import Stretch

RAW_BLUE, RAW_ORANGE = (47, 111, 222), (226, 118, 46)
"""What a pixel can be: visible on light and on dark."""

LABELLED = 30
"""Most members, or classes, that are named one by one."""

NAME_LETTERS = 18
"""Longest name of a row."""

LETTER = 6
"""Units that a small letter is wide."""

LEGEND_LETTERS, LEGEND_COLUMN = 44, 26
"""Letters of a legend that go in one line, and in half of one."""


@dataclass(frozen=True)
class Curve:
    """A line in a diagram.

    Attributes:
        label: what it shows.
        births: (n,) where.
        values: (n,) how much.
        colour: one of the page's.
        step: it stays as it is until it changes.
        band: (n,) how far to either side a band about it goes.
        dashed: whether the line is.
    """

    label: str
    births: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray
    colour: str
    step: bool = False
    band: Sequence[float] | np.ndarray | None = None
    dashed: bool = False


@as_svg
def curves(
    figure: Figure,
    lines: Sequence[Curve],
    *,
    form: str = "number",
    top: float | None = None,
    bottom: float = 0.0,
    fill: bool = False,
) -> None:
    """Values over births.

    Args:
        figure: where to draw.
        lines: the curves; the first is drawn over the others.
        form: "number", "percent", or "seconds", which is drawn on a logarithmic scale.
        top: end of the scale.
        bottom: its beginning.
        fill: shade what is below the first curve.
    """
    from matplotlib.ticker import (
        EngFormatter,
        FuncFormatter,
        MaxNLocator,
        NullFormatter,
        PercentFormatter,
    )

    names = [line.label for line in lines]
    columns = (
        len(lines)
        if sum(map(len, names)) < LEGEND_LETTERS
        else 2
        if max(map(len, names)) <= LEGEND_COLUMN
        else 1
    )
    resize(figure, 240 + 17 * (-(-len(lines) // columns) - 1))
    axes = figure.subplots()
    calm(axes)
    for order, line in enumerate(lines):
        style: dict[str, Any] = {
            "color": line.colour,
            "linewidth": 2.2,
            "zorder": 3 - order / 10,
            "solid_capstyle": "round",
        }
        if line.dashed:
            style |= {"linestyle": (0, (4, 3)), "linewidth": 1.6, "dash_capstyle": "butt"}
        if line.band is not None:
            low, high = np.asarray(line.values) - line.band, np.asarray(line.values) + line.band
            axes.fill_between(
                line.births,
                low,
                high,
                color=line.colour,
                alpha=0.16,
                linewidth=0,
                zorder=style["zorder"] - 1,
            )
        draw = functools.partial(axes.step, where="post") if line.step else axes.plot
        alone: dict[str, Any] = {"marker": "o", "markersize": 5} if len(line.births) == 1 else {}
        draw(line.births, line.values, label=line.label, **style, **alone)
    if fill:
        axes.fill_between(
            lines[0].births, lines[0].values, color=lines[0].colour, alpha=0.12, linewidth=0
        )
    last = max((line.births[-1] for line in lines if len(line.births)), default=1)
    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda births, _: f"{births:,.0f}"))
    if form == "seconds":
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
        axes.yaxis.set_minor_formatter(NullFormatter())
        low, high = axes.get_ylim()
        if high < 20 * low:
            axes.set_ylim(low / 3, high * 3)
    else:
        axes.set_ylim(
            bottom,
            top
            if top is not None
            else 1.08 * max((max(line.values, default=0) for line in lines), default=0) or 1,
        )
        if form == "percent":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("births", color=MUTED, fontsize=10, loc="right")
    if len(lines) > 1:
        place: dict[str, Any] = {
            "loc": "lower left",
            "bbox_to_anchor": (-0.02, 1.0),
            "ncols": columns,
        }
        handles = [artist for artist in axes.lines if artist.get_label() in names]
        axes.legend(
            handles,
            names,
            **place,
            frameon=False,
            labelcolor=INK,
            fontsize=10.5,
            handlelength=1.1,
            columnspacing=1.4,
            handletextpad=0.5,
        )


@as_svg
def bars(figure: Figure, labels: Sequence[str], values: np.ndarray, colours: Sequence[str]) -> None:
    """A horizontal bar for each of N members, the first on top.

    Args:
        figure: where to draw.
        labels: N names.
        values: (N,) lengths.
        colours: N colours.
    """
    resize(figure, rows_height(len(labels)) + 60)
    axes = figure.subplots()
    calm(axes, grid="x")
    axes.spines["bottom"].set_visible(False)
    axes.barh(np.arange(len(labels)), values, color=list(colours), height=0.72)
    name_rows(axes, labels)
    axes.set_xlim(0, float(values.max(initial=0)) * 1.02 or 1)


@as_svg
def intervals(
    figure: Figure,
    labels: Sequence[str],
    values: Sequence[float],
    between: Sequence[tuple[float, float]],
    colours: Sequence[str],
) -> None:
    """A dot for each of N members, the first on top, with its interval.

    Args:
        figure: where to draw.
        labels: N names.
        values: N places of dots.
        between: N intervals, each from where to where.
        colours: N colours.
    """
    resize(figure, 24 * len(labels) + 40)
    axes = figure.subplots()
    calm(axes, grid="x")
    axes.spines["bottom"].set_visible(False)
    for row, (value, ends, colour) in enumerate(zip(values, between, colours, strict=True)):
        axes.plot(ends, [row, row], color=colour, linewidth=3, alpha=0.5, solid_capstyle="round")
        axes.plot([value], [row], marker="o", markersize=7, color=colour)
    name_rows(axes, labels)
    low, high = axes.get_xlim()
    axes.set_xlim(max(0, low), min(1.02, high))


@as_svg
def confusion(figure: Figure, labels: Sequence[str], counts: np.ndarray) -> None:
    """How often each label was answered for each expected one.

    Args:
        figure: where to draw.
        labels: C names.
        counts: (C, C), expected by answered.
    """
    longest = max(map(len, labels))
    few = len(labels) <= 12
    resize(figure, 350 + 5 * min(longest, 14))
    axes = figure.subplots()
    calm(axes, grid=None)
    axes.spines["bottom"].set_visible(False)
    share = (
        np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) * 0.75
    )  # the root: rare mistakes should show
    right = np.eye(len(labels), dtype=bool)[..., None]
    axes.imshow(
        np.where(right, pixels_of(share, RAW_BLUE), pixels_of(share, RAW_ORANGE)),
        interpolation="none",
    )
    size = 9.5 if few else 7
    axes.set_xticks(range(len(labels)), labels, rotation=90 if longest > 3 else 0, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.set_xlabel("answered", color=MUTED, fontsize=10)
    axes.set_ylabel("expected", color=MUTED, fontsize=10, labelpad=6)
    for row, column in np.argwhere(counts > 0) if few else ():
        axes.text(
            column, row, f"{counts[row, column]}", ha="center", va="center", color=INK, fontsize=9
        )


def calm(axes: Axes, *, grid: str | None = "y") -> None:
    """A calm diagram: no frame, faint lines."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=10, pad=5)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)  # type: ignore[arg-type]


def ruler(axes: Axes, stretches: Sequence[Stretch]) -> None:
    """Says below a diagram what lies where on the parameter axis: layers by name where there is room, chromosomes above."""
    size, room = stretches[-1].stop, WIDTH / LETTER
    axes.set_xlim(0, size)
    ticks, names = [], []
    shortest = {
        layer: layer.removesuffix(".weight").rpartition(".")[2]
        for layer in {stretch.layer for stretch in stretches}
    }
    for stretch in stretches:
        last = shortest[stretch.layer]
        known = [".".join(stretch.layer.removesuffix(".weight").split(".")[-2:]), last]
        if list(shortest.values()).count(last) > 1:  # of several layers
            known.pop()
        fits = [name for name in known if len(name) < room * (stretch.stop - stretch.start) / size]
        ticks.append((stretch.start + stretch.stop) / 2)
        names.append(fits[0] if fits else "")
        if stretch.start:
            axes.axvline(stretch.start, color=LINE, linewidth=0.8, zorder=0)
    axes.set_xticks(ticks, names, fontsize=8.5)
    own: dict[str, list[Stretch]] = {}
    for stretch in stretches:
        own.setdefault(stretch.chromosome, []).append(stretch)
    for name, of in own.items() if len(own) > 1 else ():
        axes.axvline(of[0].start, color=MUTED, linewidth=1.2)
        axes.annotate(
            name,
            (of[0].start, 1),
            (3, 2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            fontsize=9,
            color=MUTED,
        )


def rows_height(members: int) -> float:
    """Units that a diagram with a row for each member is high."""
    return float(np.clip(13 * members + 40, 150, 340))


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Names the members on the vertical axis, or says how they are sorted where there are too many to name."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    if len(labels) <= LABELLED:
        axes.set_yticks(
            range(len(labels)),
            [short(label, NAME_LETTERS) for label in labels],
            fontsize=9 if len(labels) <= 22 else 7.5,
        )
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(labels)} members, fittest on top", color=MUTED, fontsize=10)


def pixels_of(opacity: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) opacities in [0, 1] as (H, W, 4) pixels of one colour."""
    pixels = np.empty((*opacity.shape, 4), dtype=np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(255 * np.clip(np.nan_to_num(opacity), 0, 1))
    return pixels
