"""matplotlib's drawings as SVG text that can stand inside a page, in the page's colours and font.

A figure is 400 units wide. So its text can be read on a telephone, and as half of a wide page.
matplotlib is imported late, since a run needs it only at its end.
"""

from __future__ import annotations

import functools
import io
import re
import warnings
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")

WIDTH = 400
"""Units of a figure; a font size of 11 is 11 of them."""

COLOURS = {
    "ink": ("#1c2430", "#e8ebf0"),
    "muted": ("#667085", "#9aa4b2"),
    "line": ("#e4e7ec", "#303742"),
    "card": ("#ffffff", "#1b2027"),
    "blue": ("#2f6fde", "#5b93f5"),
    "orange": ("#e2762e", "#f0924f"),
    "green": ("#1f9d72", "#3fbf92"),
    "purple": ("#8a4fd0", "#b084ee"),
    "red": ("#cf3f57", "#f06c82"),
    "teal": ("#1592a6", "#46b9cc"),
}
"""The page's colours, light and dark; what matplotlib takes for them are their places here."""

NAMES = tuple(COLOURS)
"""Their names, by place."""

INK, MUTED, LINE, CARD, BLUE, ORANGE, GREEN, PURPLE, RED, TEAL = (
    f"#10000{place}" for place in range(len(COLOURS))
)

RAW_BLUE, RAW_ORANGE = (47, 111, 222), (226, 118, 46)
"""What a pixel of a picture can be, red, green, blue: visible on light and on dark."""

PALETTE = (BLUE, ORANGE, GREEN, PURPLE, RED, TEAL)
"""Colours of lines that are to be told apart."""

FONT = 'system-ui,-apple-system,"Segoe UI",Roboto,sans-serif'


def as_svg(draw: Callable[Concatenate[Figure, P], None]) -> Callable[P, str]:
    """Makes a function that draws into a figure one that returns the figure as SVG."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> str:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        # Text stays text, so that it can be searched. Nothing in it is a formula: it may be
        # somebody else's. The salt makes the ids the same each time that a report is drawn.
        style: Any = {
            "svg.fonttype": "none",
            "svg.hashsalt": "evomerge",
            "text.parse_math": False,
            "font.size": 11,
        }
        file = io.StringIO()
        with rc_context(style), warnings.catch_warnings():
            # Letters that matplotlib's font lacks are no fault: the reader's has them.
            warnings.simplefilter("ignore")
            figure = Figure(figsize=(WIDTH / 72, WIDTH / 72), layout="constrained")
            draw(figure, *args, **kwargs)
            # Its date would make each drawing another one.
            no_metadata = dict.fromkeys(("Creator", "Date", "Format", "Type"))
            figure.savefig(file, format="svg", transparent=True, metadata=no_metadata)
        return _inline(file.getvalue())

    return drawn


def _inline(svg: str) -> str:
    """An SVG file as a part of a page: with ids, colours, font and width that fit there."""
    # Two figures of one page would have ids in common without a prefix that is their own.
    prefix = f"f{zlib.crc32(svg.encode()):08x}-"
    svg = svg[svg.index("<svg") :]
    # matplotlib's style sheet would hold for all of the page.
    svg = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", svg, flags=re.DOTALL)
    svg = re.sub(
        r'<svg .*?viewBox="0 0 (\S+) (\S+)".*?>',
        r'<svg width="\1" viewBox="0 0 \1 \2" aria-hidden="true">',
        svg,
        count=1,
        flags=re.DOTALL,
    )

    def rewrite(tag: re.Match[str]) -> str:
        # Inside HTML, a reference needs no namespace of its own.
        text = tag[0].replace("xlink:href", "href")
        text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}", text)
        # matplotlib names fonts that are here; the reader's browser has others.
        text = re.sub(r"(px) '[^;\"]*", r"\1 sans-serif", text)
        return re.sub(r"#10000(\d)", lambda colour: f"var(--{NAMES[int(colour[1])]})", text)

    # Inside tags only: a text may say anything.
    return re.sub(r"<[^>]+>", rewrite, svg)


def standalone(svg: str) -> str:
    """A drawing for a page as a file of its own, in the light colours on a white ground."""
    svg = re.sub(r"var\(--(\w+)\)", lambda name: COLOURS[name[1]][0], svg)
    style = f"<style>text{{font-family:{FONT}!important}}</style>"
    ground = f"<rect width='100%' height='100%' fill='{COLOURS['card'][0]}'/>"
    opening = rf'<svg xmlns="http://www.w3.org/2000/svg" \1>{style}{ground}'
    return re.sub(r"<svg ([^>]*)>", opening, svg, count=1)


def resize(figure: Figure, height: float, width: float = WIDTH) -> None:
    """Makes a figure as high, and as wide, as so many units."""
    figure.set_size_inches(width / 72, height / 72)
