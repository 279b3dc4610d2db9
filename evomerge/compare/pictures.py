"""The pictures of a comparison: a curve with a band for each search."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from evomerge.compare.rows import SWEEP
from evomerge.compare.tally import Row
from evomerge.report import figures
from evomerge.report.figures import Curve
from evomerge.report.svg import INK, MUTED, PALETTE


def pictures(rows: Sequence[Row], births: int) -> dict[str, str]:
    """The pictures as SVG by name, of which each is empty where no search has a run."""
    return {
        "score": _scores(rows, births),
        "coverage": _shares(rows, "coverage"),
        "entropy": _shares(rows, "entropy"),
    }


def _scores(rows: Sequence[Row], births: int) -> str:
    """Test score over births; what is no search is a level line."""
    searches = _curves(rows, "scores")
    if not searches:
        return ""
    # A run from scratch begins so low that its first twentieth would take up most of the picture's
    # height, so the curves may begin below it.
    lows = [curve.values[len(curve.values) // 20] for curve in searches]
    highs = [_top(curve) for curve in searches]
    levels = [row for row in rows if row.runs and (row.seed or row.name == SWEEP)]
    lines = []
    for row, colour in zip(levels, (MUTED, INK), strict=False):
        level = row.test.value
        lines.append(Curve(row.name, [0, births], [level, level], colour, dashed=True))
        lows.append(level)
        highs.append(level)
    low = float(np.min(lows))
    high = max(highs)
    # No score is above 1, so what a band has there says nothing.
    margin = 0.04 * (high - low)
    bottom = max(low - margin, 0.0)
    top = min(high + margin, 1.005)
    return figures.curves([*searches, *lines], bottom=bottom, top=top)


def _top(curve: Curve) -> float:
    """The highest point of a curve and its band."""
    assert curve.band is not None
    return float(np.max(np.asarray(curve.values) + np.asarray(curve.band)))


def _shares(rows: Sequence[Row], name: str) -> str:
    """Coverage or entropy over births."""
    curves = _curves(rows, name)
    return figures.curves(curves, top=1.02) if curves else ""


def _curves(rows: Sequence[Row], name: str) -> list[Curve]:
    """A curve for each search."""
    curves: list[Curve] = []
    for row in rows:
        if not row.runs or row.seed or row.name == SWEEP:
            continue
        births, mean, half = row.curve(name)
        place = len(curves)
        colour = PALETTE[place % len(PALETTE)]
        # Where there are more searches than colours, a colour comes again with a dashed line.
        again = place >= len(PALETTE)
        curves.append(Curve(row.name, births, mean, colour, band=half, dashed=again))
    return curves
