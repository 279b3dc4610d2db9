"""The pictures of a report as SVG text that can stand inside a page: its colours and its font are the page's.

A figure is 400 units wide, so that its text can be read where it is shown on a telephone, or as half of a wide page.
matplotlib is imported late, since a run needs it only at its end.
"""

from __future__ import annotations

import base64
import functools
import io
import re
import warnings
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH = 400
"""Units of a figure; a font size of 11 is 11 of them."""

COLOURS = ("ink", "muted", "line", "card", "blue", "orange", "green")
"""The page's colours, which differ between light and dark; what matplotlib takes for them are numbers in this tuple."""

INK, MUTED, LINE, CARD, BLUE, ORANGE, GREEN = (f"#10000{number}" for number in range(len(COLOURS)))

RAW_BLUE, RAW_ORANGE = (47, 111, 222), (226, 118, 46)
"""What a pixel can be: visible on light and on dark."""

COLUMNS = 400
"""Pixels across a picture of all datapoints."""

LABELLED = 30
"""Most members, or classes, that are named one by one."""

COLUMN_WIDTH = 81
"""Units of a generation in a family tree; a tree of many is wider than other figures."""

PICTURE_SIZE = 96
"""Most pixels across a datapoint's picture."""


@dataclass(frozen=True)
class Curve:
    """A line in a diagram.

    Attributes:
        label: what it shows.
        births: (n,) where.
        values: (n,) how much.
        colour: one of this module's.
        step: it stays as it is until it changes.
    """

    label: str
    births: Sequence[float] | np.ndarray
    values: Sequence[float] | np.ndarray
    colour: str
    step: bool = False


@dataclass(frozen=True)
class Relative:
    """One member of a family tree.

    Attributes:
        parents: ids of its parents.
        label: its name.
        score: its mean training score, if it is known.
        shares: a text for each parent: how much the child has of it.
        founder: whether it was there at the start.
    """

    parents: tuple[int, ...]
    label: str
    score: float | None
    shares: tuple[str, ...]
    founder: bool


def _svg(draw: Callable[Concatenate[Figure, P], None]) -> Callable[P, str]:
    """Makes a function that draws into a figure one that returns the figure as SVG."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        style: Any = {"svg.fonttype": "none", "svg.hashsalt": "evomerge", "text.parse_math": False, "font.size": 11}
        file = io.StringIO()
        with rc_context(style), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that matplotlib's font lacks: the reader's has them
            figure = Figure(figsize=(WIDTH / 72, WIDTH / 72), layout="constrained")
            draw(figure, *args, **kwargs)
            no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
        return _inline(file.getvalue())

    return drawn


def _inline(svg: str) -> str:
    """An SVG file as a part of a page: ids that no other figure has, the page's colours, font and width."""
    prefix = f"f{zlib.crc32(svg.encode()):08x}-"
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(
        r'<svg .*?viewBox="0 0 (\S+) (\S+)".*?>',
        r'<svg width="\1" viewBox="0 0 \1 \2" aria-hidden="true">',
        svg,
        count=1,
        flags=re.DOTALL,
    )

    def rewrite(tag: re.Match[str]) -> str:
        text = tag[0].replace("xlink:href", "href")
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}", text)
        text = re.sub(r"(px) '[^;\"]*", r"\1 sans-serif", text)
        return re.sub(r"#10000(\d)", lambda colour: f"var(--{COLOURS[int(colour[1])]})", text)

    return re.sub(r"<[^>]+>", rewrite, svg)


def _axes(axes: Axes, *, grid: str | None = "y") -> None:
    """A calm diagram: no frame, faint lines."""
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(LINE)
    axes.tick_params(which="both", length=0, labelcolor=MUTED, labelsize=10, pad=5)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)  # type: ignore[arg-type]


def _resize(figure: Figure, height: float, width: float = WIDTH) -> None:
    figure.set_size_inches(width / 72, height / 72)


@_svg
def curves(figure: Figure, lines: Sequence[Curve], *, form: str = "number", top: float | None = None, fill: bool = False) -> None:
    """Values over births.

    Args:
        figure: where to draw.
        lines: the curves; the first is drawn over the others.
        form: "number", "percent", or "seconds", which is drawn on a logarithmic scale.
        top: end of the scale.
        fill: shade what is below the first curve.
    """
    from matplotlib.ticker import EngFormatter, FuncFormatter, MaxNLocator, NullFormatter, PercentFormatter

    _resize(figure, 240)
    axes = figure.subplots()
    _axes(axes)
    for order, line in enumerate(lines):
        style: dict[str, Any] = {"color": line.colour, "linewidth": 2.2, "zorder": 3 - order / 10, "solid_capstyle": "round"}
        draw = functools.partial(axes.step, where="post") if line.step else axes.plot
        alone: dict[str, Any] = {"marker": "o", "markersize": 5} if len(line.births) == 1 else {}
        draw(line.births, line.values, label=line.label, **style, **alone)
    if fill:
        axes.fill_between(lines[0].births, lines[0].values, color=lines[0].colour, alpha=0.12, linewidth=0)
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
        axes.set_ylim(0, top if top is not None else 1.08 * max((max(line.values, default=0) for line in lines), default=0) or 1)
        if form == "percent":
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    axes.set_xlabel("births", color=MUTED, fontsize=10, loc="right")
    if len(lines) > 1:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.0), "ncols": len(lines)}
        axes.legend(**place, frameon=False, labelcolor=INK, fontsize=10.5, handlelength=1.1, columnspacing=1.4, handletextpad=0.5)


@_svg
def bars(figure: Figure, labels: Sequence[str], values: np.ndarray, colours: Sequence[str]) -> None:
    """A horizontal bar for each of N members, the first on top.

    Args:
        figure: where to draw.
        labels: N names.
        values: (N,) lengths.
        colours: N colours.
    """
    _resize(figure, _rows_height(len(labels)) + 60)
    axes = figure.subplots()
    _axes(axes, grid="x")
    axes.spines["bottom"].set_visible(False)
    axes.barh(np.arange(len(labels)), values, color=list(colours), height=0.72)
    _name_rows(axes, labels)
    axes.set_xlim(0, float(values.max(initial=0)) * 1.02 or 1)


@_svg
def niches(figure: Figure, labels: Sequence[str], scores: np.ndarray) -> None:
    """Who solves what: members by datapoints, over how many members solve each datapoint.

    Args:
        figure: where to draw.
        labels: N names, the first on top.
        scores: (N, D) in [0, 1].
    """
    from matplotlib.ticker import MaxNLocator

    solved = scores >= 0.5
    count = solved.sum(axis=0)
    order = np.lexsort((*(~solved[::-1]), -count))  # by count; where that is equal, by who is fit
    chunks = np.array_split(order, min(COLUMNS, len(order)))
    image = np.stack([scores[:, chunk].mean(axis=1) for chunk in chunks], axis=1)
    by_chunk = np.array([count[chunk].mean() for chunk in chunks])

    _resize(figure, _rows_height(len(labels)) + 60)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(46, _rows_height(len(labels)) - 30))
    for axes in (above, below):
        _axes(axes, grid=None)
        axes.spines["bottom"].set_visible(False)
    edges = np.linspace(0, scores.shape[1], len(chunks) + 1)
    above.stairs(by_chunk, edges, fill=True, color=ORANGE, alpha=0.75)
    above.set_ylim(0, len(labels))
    above.yaxis.set_major_locator(MaxNLocator(2, integer=True))
    extent = (0, scores.shape[1], len(labels) - 0.5, -0.5)
    below.imshow(_pixels(image, RAW_BLUE), extent=extent, aspect="auto", interpolation="none")
    _name_rows(below, labels)
    below.set_xlabel("training datapoints", color=MUTED, fontsize=10, loc="right")
    below.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    above.tick_params(labelbottom=False)


@_svg
def confusion(figure: Figure, labels: Sequence[str], counts: np.ndarray) -> None:
    """How often each label was answered for each expected one.

    Args:
        figure: where to draw.
        labels: C names.
        counts: (C, C), expected by answered.
    """
    longest = max(map(len, labels))
    few = len(labels) <= 12
    _resize(figure, 350 + 5 * min(longest, 14))
    axes = figure.subplots()
    _axes(axes, grid=None)
    axes.spines["bottom"].set_visible(False)
    share = np.sqrt(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)) * 0.75  # the root: rare mistakes should show
    right = np.eye(len(labels), dtype=bool)[..., None]
    axes.imshow(np.where(right, _pixels(share, RAW_BLUE), _pixels(share, RAW_ORANGE)), interpolation="none")
    size = 9.5 if few else 7
    axes.set_xticks(range(len(labels)), labels, rotation=90 if longest > 3 else 0, fontsize=size)
    axes.set_yticks(range(len(labels)), labels, fontsize=size)
    axes.set_xlabel("answered", color=MUTED, fontsize=10)
    axes.set_ylabel("expected", color=MUTED, fontsize=10, labelpad=6)
    for row, column in np.argwhere(counts > 0) if few else ():
        axes.text(column, row, f"{counts[row, column]}", ha="center", va="center", color=INK, fontsize=9)


def _rows_height(members: int) -> float:
    return float(np.clip(13 * members + 40, 150, 340))


def _name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Names the members on the vertical axis, or says how they are sorted where there are too many to name."""
    axes.set_ylim(len(labels) - 0.5, -0.5)
    if len(labels) <= LABELLED:
        axes.set_yticks(range(len(labels)), labels, fontsize=9 if len(labels) <= 22 else 7.5)
    else:
        axes.set_yticks([])
        axes.set_ylabel(f"{len(labels)} members, fittest on top", color=MUTED, fontsize=10)


def _pixels(opacity: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """(H, W) opacities in [0, 1] as (H, W, 4) pixels of one colour."""
    pixels = np.empty((*opacity.shape, 4), dtype=np.uint8)
    pixels[..., :3] = colour
    pixels[..., 3] = np.rint(255 * np.clip(np.nan_to_num(opacity), 0, 1))
    return pixels


def picture(rows: Any) -> str | None:
    """A datapoint's picture, rows of grey or RGB values from 0 to 255, as a data URI; None if it is no picture."""
    from matplotlib.image import imsave

    try:
        pixels = np.nan_to_num(np.asarray(rows, dtype=np.float64)).clip(0, 255).astype(np.uint8)
    except (TypeError, ValueError):
        return None
    if pixels.size == 0 or pixels.ndim not in (2, 3) or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4)):
        return None
    pixels = pixels[:: -(-pixels.shape[0] // PICTURE_SIZE), :: -(-pixels.shape[1] // PICTURE_SIZE)]
    file = io.BytesIO()
    imsave(file, pixels, format="png", cmap="gray", vmin=0, vmax=255, metadata={"Software": ""})
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


@_svg
def family(figure: Figure, relatives: Mapping[int, Relative], best: int) -> None:
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
        (parent, child): [parent, *((parent, child, step) for step in range(column[parent] - 1, column[child], -1)), child]
        for child, relative in relatives.items()
        for parent in relative.parents
        if parent in relatives
    }
    height = _heights(column, list(chains.values()))
    low, high = min(height.values()), max(height.values())

    half, row, margin = 24, 33, 22
    size, width = (high - low) * row + 2 * margin, max(WIDTH, (last + 1) * COLUMN_WIDTH)
    _resize(figure, size, width)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set(xlim=(0, width), ylim=(size, 0))

    def place(node: Any) -> tuple[float, float]:
        back = column[node] if node in column else node[2]
        return width - half - 2 - back * (width - 2 * half - 4) / max(last, 1), (height[node] - low) * row + margin

    def write(x: float, y: float, text: str, **style: Any) -> None:
        axes.text(x, y, text, ha="center", va="center", zorder=4, **style)

    for (parent, child), chain in chains.items():
        line, codes = [], []
        for (x, y), (to_x, to_y) in pairwise(map(place, chain)):
            x, to_x = x + half, to_x - half
            middle = (x + to_x) / 2, (y + to_y) / 2
            line += [(x, y), (middle[0], y), (middle[0], to_y), (to_x, to_y)]  # straight through the columns it passes
            codes += [Path.LINETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
        codes[0] = Path.MOVETO
        axes.add_patch(PathPatch(Path(line, codes), fill=False, edgecolor=MUTED, linewidth=1, alpha=0.65))
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
        write(x, y - 5, relative.label, fontsize=9, color=INK)
        write(x, y + 6, "" if relative.score is None else f"{relative.score:.3f}", fontsize=8.5, color=MUTED)


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
            wanted = {node: fmean([height[other] for other in near[node]] or [0.0]) for node in nodes[index]}
            nodes[index].sort(key=lambda node: (wanted[node], height[node]))
            placed: list[float] = []
            for node in nodes[index]:
                placed.append(max(wanted[node], placed[-1] + (1 if node in column else 0.75)) if placed else wanted[node])
            shift = fmean(wanted[node] for node in nodes[index]) - fmean(placed)
            height.update({node: y + shift for node, y in zip(nodes[index], placed, strict=True)})
    return height
