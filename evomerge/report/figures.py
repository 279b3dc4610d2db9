"""The diagrams of a report: curves over births, bars, intervals."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.report.axes import LEGEND_LETTERS, calm, legend, name_rows, rows_height
from evomerge.report.svg import MUTED, as_svg, resize

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGEND_COLUMN = 26
"""Letters of a legend that go in half of a line."""

LEGEND_LINE = 17
"""Units that a line of a legend is high."""


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
    names = [line.label for line in lines]
    columns = _legend_columns(names)
    # -(-a // b) is a / b, rounded up.
    more_lines = -(-len(lines) // columns) - 1
    resize(figure, 240 + LEGEND_LINE * more_lines)
    axes = figure.subplots()
    calm(axes)
    # What is named first is what the card is about: it lies on top.
    for order, line in enumerate(lines):
        _draw_curve(axes, line, zorder=3 - order / 10)
    if fill:
        first = lines[0]
        axes.fill_between(first.births, first.values, color=first.colour, alpha=0.12, linewidth=0)
    _scale_births(axes, lines)
    if form == "seconds":
        _scale_seconds(axes)
    else:
        _scale_values(axes, lines, bottom, top, percent=form == "percent")
    axes.set_xlabel("births", color=MUTED, fontsize=10, loc="right")
    if len(lines) > 1:
        # Bands and shades have no name of their own.
        handles = [artist for artist in axes.lines if artist.get_label() in names]
        legend(axes, handles, names, columns=columns)


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
    calm(axes, grid="x", baseline=False)
    axes.barh(np.arange(len(labels)), values, color=list(colours), height=0.72)
    name_rows(axes, labels)
    # Where all bars have no length, a scale of none would be an error.
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
    calm(axes, grid="x", baseline=False)
    for row, (value, ends, colour) in enumerate(zip(values, between, colours, strict=True)):
        axes.plot(ends, [row, row], color=colour, linewidth=3, alpha=0.5, solid_capstyle="round")
        axes.plot([value], [row], marker="o", markersize=7, color=colour)
    name_rows(axes, labels)
    # Scores are from 0 to 1, and so is what is worth its room.
    low, high = axes.get_xlim()
    axes.set_xlim(max(0, low), min(1.02, high))


def _legend_columns(names: Sequence[str]) -> int:
    """How many names of a legend stand side by side."""
    if sum(map(len, names)) < LEGEND_LETTERS:
        return len(names)
    if max(map(len, names)) <= LEGEND_COLUMN:
        return 2
    return 1


def _draw_curve(axes: Axes, line: Curve, zorder: float) -> None:
    """Draws one curve, over all whose zorder is lower."""
    style: dict[str, Any] = {
        "color": line.colour,
        "linewidth": 2.2,
        "zorder": zorder,
        "solid_capstyle": "round",
    }
    if line.dashed:
        style |= {"linestyle": (0, (4, 3)), "linewidth": 1.6, "dash_capstyle": "butt"}
    if line.band is not None:
        low = np.asarray(line.values) - line.band  # (n,)
        high = np.asarray(line.values) + line.band  # (n,)
        axes.fill_between(
            line.births,
            low,
            high,
            color=line.colour,
            alpha=0.16,
            linewidth=0,
            zorder=zorder - 1,
        )
    # A line of one point would not be seen.
    if len(line.births) == 1:
        style |= {"marker": "o", "markersize": 5}
    draw: Callable[..., Any] = axes.plot
    if line.step:
        draw = functools.partial(axes.step, where="post")
    draw(line.births, line.values, label=line.label, **style)


def _scale_births(axes: Axes, lines: Sequence[Curve]) -> None:
    """Scales the horizontal axis, from the first birth to the last."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    last = max((line.births[-1] for line in lines if len(line.births)), default=1)
    axes.set_xlim(0, max(last, 1))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True, steps=(1, 2, 5, 10)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda births, _: f"{births:,.0f}"))


def _scale_seconds(axes: Axes) -> None:
    """Scales the vertical axis by the logarithm of seconds."""
    from matplotlib.ticker import EngFormatter, NullFormatter

    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(EngFormatter(unit="s"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    # A narrow scale would have no power of ten on it, and so no number.
    if high < 20 * low:
        axes.set_ylim(low / 3, high * 3)


def _scale_values(
    axes: Axes, lines: Sequence[Curve], bottom: float, top: float | None, *, percent: bool
) -> None:
    """Scales the vertical axis of numbers; its end is above all curves where it is not given."""
    from matplotlib.ticker import PercentFormatter

    if top is None:
        highest = max((max(line.values, default=0) for line in lines), default=0)
        # Where all values are 0, a scale of none would be an error.
        top = 1.08 * highest or 1
    axes.set_ylim(bottom, top)
    if percent:
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
