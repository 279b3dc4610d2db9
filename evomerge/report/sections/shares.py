"""Which founder gives what to which layer of the best.

For a recipe these are its coefficients. For other genomes they are the shares that the mixing
ratios of all ancestors give.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from evomerge.genome.groups import Stretch
from evomerge.report.axes import LEGEND_LETTERS, calm, legend, ruler
from evomerge.report.descent import by_layer, founder_shares, positions_along
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import MUTED, PALETTE, as_svg, resize
from evomerge.report.tables import heat

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = len(PALETTE)
"""Most founders that are shown, those that give most."""


class _Shares(NamedTuple):
    """What each of K founders gives along the axis.

    Attributes:
        labels: K names.
        values: (n, K) what each gives at n positions.
        meaning: a sentence that says what the values are.
    """

    labels: list[str]
    values: np.ndarray
    meaning: str


def cards(run: Record) -> list[str]:
    """A curve for each founder along the axis, and a table for each chromosome, layer by layer."""
    if not run.stretches or not run.bests or "founder" in run.bests[-1]:
        return []
    positions = positions_along(run.stretches)  # (n,)
    # What a recipe says is exact; a lineage leaves out angles and mutation.
    if run.recipe is not None and run.answers_are_of_the_best:
        shares = _by_recipe(run, run.recipe, positions)
    else:
        by_descent = _by_descent(run, positions)
        if by_descent is None:
            return []
        shares = by_descent
    labels, values, hidden = _those_who_give_most(shares)
    curves = _draw(labels, positions, values, run.stretches)
    tables = by_layer(run.stretches, positions, values)
    along = f"{shares.meaning} Below is what lies where on the parameter axis, to scale.{hidden}"
    several = ""
    if len(tables) > 1:
        several = ", for each chromosome by itself"
    layers = (
        f"The mean over what lies in each layer{several}; the stronger the colour, the more, and "
        "orange is below 0."
    )
    return [
        card("Along the axis", curves, along),
        card("Layer by layer", _tables(labels, tables), layers, wide=True),
    ]


def _by_recipe(run: Record, recipe: Mapping[str, Any], positions: np.ndarray) -> _Shares:
    """The coefficients of a recipe at (n,) positions."""
    # A stretch has the same coefficients from its bound to the next one.
    bounds = np.array(recipe["bounds"])  # (stretches + 1,)
    coefficients = np.array(recipe["coefficients"], dtype=np.float64)  # (stretches, K)
    values = coefficients[np.searchsorted(bounds, positions, side="right") - 1]
    meaning = (
        "The coefficient of each seed: the best's weights are the sum of the seeds' weights, each "
        "times its own."
    )
    return _Shares(_founder_labels(run), values, meaning)


def _by_descent(run: Record, positions: np.ndarray) -> _Shares | None:
    """The shares that the log gives at (n,) positions; None where a search made an ancestor."""
    descent = founder_shares(run, positions)
    if descent is None:
        return None
    values, ancestors = descent
    labels = _founder_labels(run)
    if values.shape[1] > len(labels):
        labels.append("immigrants")
    meaning = (
        "How much of each place comes from which founder, by the mixing ratios and split points "
        f"of {ancestors:,} births. What the angle of a merge and mutation change is not in it."
    )
    return _Shares(labels, values, meaning)


def _founder_labels(run: Record) -> list[str]:
    return [run.label(entry["id"]) for entry in run.founders]


def _those_who_give_most(shares: _Shares) -> tuple[list[str], np.ndarray, str]:
    """As many founders as there are colours: names, (n, k) values, a sentence on the others."""
    count = shares.values.shape[1]
    by_share = np.argsort(-np.abs(shares.values).mean(axis=0), kind="stable")  # (K,)
    # Those who are shown stay in the founders' order, as everywhere on the page.
    most = np.sort(by_share[:SHOWN])  # (k,)
    labels = [shares.labels[column] for column in most]
    hidden = ""
    if count > SHOWN:
        hidden = f" {count - SHOWN:,} others give less and are not shown."
    return labels, shares.values[:, most], hidden


def _tables(
    labels: Sequence[str], by_chromosome: Mapping[str, list[tuple[str, list[float]]]]
) -> str:
    """The tables of all chromosomes, each under its name if there are several."""
    tables = ""
    for chromosome, rows in by_chromosome.items():
        name = ""
        if len(by_chromosome) > 1:
            name = f"<p>{escape(chromosome)}</p>"
        tables += f"<div>{name}{heat('layer', labels, rows)}</div>"
    return f'<div class="chromosomes">{tables}</div>'


@as_svg
def _draw(
    figure: Figure,
    labels: Sequence[str],
    positions: np.ndarray,
    shares: np.ndarray,
    stretches: Sequence[Stretch],
) -> None:
    """A line for each of K founders along the axis.

    Args:
        figure: where to draw.
        labels: K names.
        positions: (n,) on the axis.
        shares: (n, K) what each gives there.
        stretches: what lies where.
    """
    resize(figure, 260)
    axes = figure.subplots()
    calm(axes)
    for column, (label, colour) in enumerate(zip(labels, PALETTE, strict=False)):
        axes.plot(
            positions,
            shares[:, column],
            color=colour,
            linewidth=1.8,
            label=label,
            drawstyle="steps-mid",
        )
    axes.axhline(0, color=MUTED, linewidth=0.8)
    ruler(axes, stretches)
    columns = 2
    if sum(map(len, labels)) < LEGEND_LETTERS:
        columns = len(labels)
    # It stands above the names of the chromosomes.
    legend(axes, columns=columns, height=1.06)
