"""Which founder gives what to which layer of the best: a recipe's coefficients, or the shares that the mixing ratios of all ancestors give."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.genome.groups import Stretch
from evomerge.report.figures import LEGEND_LETTERS, calm, ruler
from evomerge.report.page import card, heat
from evomerge.report.record import Record
from evomerge.report.sections.crossings import parts
from evomerge.report.svg import INK, MUTED, PALETTE, as_svg, resize
from evomerge.rundir.births import id_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure

POINTS, FEWEST = 600, 8
"""Positions along the axis at which shares are taken, and the fewest in each stretch."""

SHOWN = len(PALETTE)
"""Most founders that are shown, those that give most."""


def cards(run: Record) -> list[str]:
    """A curve for each founder along the axis, and a table for each chromosome, layer by layer."""
    stretches = run.founding.stretches if run.founding is not None else ()
    if not stretches or not run.bests or "founder" in run.bests[-1]:
        return []
    at = positions(stretches)
    labels = [run.label(entry["id"]) for entry in run.founders]
    if run.recipe is not None and run.answers_are_of_the_best:
        bounds, coefficients = (
            np.array(run.recipe["bounds"]),
            np.array(run.recipe["coefficients"], dtype=np.float64),
        )
        shares = coefficients[np.searchsorted(bounds, at, side="right") - 1]
        what = "The coefficient of each seed: the best's weights are the sum of the seeds' weights, each times its own."
    else:
        found = descent(run, at)
        if found is None:
            return []
        shares, ancestors = found
        labels += ["immigrants"] * (shares.shape[1] - len(labels))
        what = (
            f"How much of each place comes from which founder, by the mixing ratios and split points of {ancestors:,} births. "
            "What the angle of a merge and mutation change is not in it."
        )
    most = np.sort(np.argsort(-np.abs(shares).mean(axis=0), kind="stable")[:SHOWN])
    hidden = (
        f" {shares.shape[1] - SHOWN:,} others give less and are not shown."
        if shares.shape[1] > SHOWN
        else ""
    )
    labels, shares = [labels[column] for column in most], shares[:, most]
    how = f"{what} Below is what lies where on the parameter axis, to scale.{hidden}"
    found_by_layer = by_layer(stretches, at, shares)
    tables = "".join(
        f"<div>{f'<p>{escape(chromosome)}</p>' * (len(found_by_layer) > 1)}{heat('layer', labels, rows)}</div>"
        for chromosome, rows in found_by_layer.items()
    )
    several = ", for each chromosome by itself" * (len(found_by_layer) > 1)
    layers = f"The mean over what lies in each layer{several}; the stronger the colour, the more, and orange is below 0."
    return [
        card("Along the axis", draw(labels, at, shares, stretches), how),
        card("Layer by layer", f'<div class="chromosomes">{tables}</div>', layers, wide=True),
    ]


def positions(stretches: Iterable[Stretch]) -> np.ndarray:
    """Positions spread evenly along the axis, (n,) int64, some in every stretch that has as many."""
    stretches = list(stretches)
    size = stretches[-1].stop
    return np.concatenate(
        [
            start + ((stop - start) * (np.arange(count) + 0.5) / count).astype(np.int64)
            for *_, start, stop in stretches
            for count in [min(stop - start, max(FEWEST, round(POINTS * (stop - start) / size)))]
        ]
    )


def descent(run: Record, at: np.ndarray) -> tuple[np.ndarray, int] | None:
    """How much of the best comes from which founder, as if every merge were linear.

    Going back from child to parents, each passes on what is said of it: 1 - w to the first, w to the second parent.

    Args:
        run: the run.
        at: (n,) positions on the axis.

    Returns:
        (n, K) shares, with one more column for all immigrants if there are any, and the number of births among the ancestors; None
        where a search made one of them.
    """
    assert run.founding is not None
    by_id = {id_of(entry): entry for entry in (*run.founders, *run.births)}
    waiting = {id_of(run.bests[-1]): np.ones(len(at))}
    shares, immigrants, births = np.zeros((len(at), len(run.founders))), np.zeros(len(at)), 0
    while waiting:
        id = max(waiting)  # nobody is older than its parents
        share, entry = waiting.pop(id), by_id[id]
        if "founder" in entry:
            shares[:, entry["founder"]] = share
            continue
        if entry.get("made"):
            return None
        births += 1
        parents = entry["parents"]
        if not parents:
            immigrants += share
            continue
        second = (
            second_share(entry, run.founding.stretches, at)
            if len(parents) > 1
            else np.zeros(len(at))
        )
        for parent, given in zip(parents, (1 - second, second), strict=False):
            waiting[parent] = waiting.get(parent, 0.0) + share * given
    return (np.column_stack([shares, immigrants]) if immigrants.any() else shares), births


def second_share(
    entry: Mapping[str, Any], stretches: Sequence[Stretch], at: np.ndarray
) -> np.ndarray:
    """(n,) the share w of the second parent at positions on the axis, as a line of the log tells it."""
    share = np.empty(len(at))
    for start, stop, w in parts(entry, stretches):
        share[(at >= start) & (at < stop)] = w
    return share


def by_layer(
    stretches: Iterable[Stretch], at: np.ndarray, shares: np.ndarray
) -> dict[str, list[tuple[str, list[float]]]]:
    """For each chromosome its layers, each with the mean of (n, K) shares at (n,) positions, by how long its stretches are."""
    total: dict[tuple[str, str], tuple[int, np.ndarray]] = {}
    for chromosome, layer, start, stop in stretches:
        here = shares[(at >= start) & (at < stop)].mean(axis=0)
        length, sum_so_far = total.get((chromosome, layer), (0, np.zeros(shares.shape[1])))
        total[chromosome, layer] = length + stop - start, sum_so_far + (stop - start) * here
    tables: dict[str, list[tuple[str, list[float]]]] = {}
    for (chromosome, layer), (length, summed) in total.items():
        tables.setdefault(chromosome, []).append((layer, (summed / length).tolist()))
    return tables


@as_svg
def draw(
    figure: Figure,
    labels: Sequence[str],
    at: np.ndarray,
    shares: np.ndarray,
    stretches: Sequence[Stretch],
) -> None:
    """A line for each of K founders along the axis.

    Args:
        figure: where to draw.
        labels: K names.
        at: (n,) positions on the axis.
        shares: (n, K) what each gives there.
        stretches: what lies where.
    """
    resize(figure, 260)
    axes = figure.subplots()
    calm(axes)
    for column, colour in zip(range(len(labels)), PALETTE, strict=False):
        axes.plot(
            at,
            shares[:, column],
            color=colour,
            linewidth=1.8,
            label=labels[column],
            drawstyle="steps-mid",
        )
    axes.axhline(0, color=MUTED, linewidth=0.8)
    ruler(axes, stretches)
    columns = len(labels) if sum(map(len, labels)) < LEGEND_LETTERS else 2
    place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (-0.02, 1.06), "ncols": columns}
    axes.legend(
        **place,
        frameon=False,
        labelcolor=INK,
        fontsize=10.5,
        handlelength=1.1,
        columnspacing=1.4,
        handletextpad=0.5,
    )
