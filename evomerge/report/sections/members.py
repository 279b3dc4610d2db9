"""The members alive: who is fit, and who solves what."""

from __future__ import annotations

import numpy as np

from evomerge.report import figures, niches
from evomerge.report.page import LEGEND, card
from evomerge.report.record import Record
from evomerge.report.svg import BLUE, GREEN, ORANGE
from evomerge.rundir.births import id_of
from fitness.competition import competitive_fitness

COMPETITION = ("alpha", "capacity", "relative")
"""Which settings of a strategy say how its members compete."""

GROUPS = 30
"""Most groups that the datapoints are sorted by."""


def cards(run: Record) -> list[str]:
    """A bar for each member, and a picture of what all of them solve; none without a snapshot."""
    if not run.scores.size:
        return []
    # As the run's own archive computes it; a strategy of another kind gets the defaults.
    settings = {name: run.strategy[name] for name in COMPETITION if name in run.strategy}
    fitness = competitive_fitness(run.scores, weights=run.weights, **settings)  # (N,)
    return [_fitness(run, fitness), _niches(run, fitness)]


def _fitness(run: Record, fitness: np.ndarray) -> str:
    """The card of (N,) competitive fitness, the fittest first."""
    order = np.argsort(-fitness, kind="stable")  # (N,)
    best = None
    if run.bests:
        best = id_of(run.bests[-1])
    labels = []
    colours = []
    for row in order:
        id = run.alive[row]
        labels.append(run.label(id))
        colours.append(_colour(run, id, best))
    # The log may have more births than the snapshot that the scores are of.
    when = ""
    if run.counters["decided"] != len(run.births):
        when = f" after birth {run.counters['decided']:,}"
    leaves = "; who has the shortest is the first to go" if run.competes else ""
    caption = (
        f"The longer the bar, the more a member{when} solves that few others do{leaves}. {LEGEND}"
    )
    return card("Competitive fitness", figures.bars(labels, fitness[order], colours), caption)


def _colour(run: Record, id: int, best: int | None) -> str:
    if id == best:
        return ORANGE
    return GREEN if id in run.alone else BLUE


def _niches(run: Record, fitness: np.ndarray) -> str:
    """The card of who solves what, of members of (N,) fitness."""
    rows = niches.alike(run.scores, fitness)  # (N,)
    labels = [run.label(run.alive[row]) for row in rows]
    codes, names = _groups(run)
    drawing = niches.draw(labels, run.scores[rows], codes, names)
    caption = (
        "Each row is a member, those that solve alike side by side; each column is a datapoint, "
        "coloured where it is solved. The shape above counts the members that solve it. "
    )
    if codes is None:
        caption += "What is far to the right is somebody's niche, or nobody's."
    else:
        caption += (
            "The datapoints stand group by group, as the fitness names them below; in each, what "
            "is far to the right is somebody's niche, or nobody's."
        )
    return card("Who solves what", drawing, caption)


def _groups(run: Record) -> tuple[np.ndarray | None, list[str]]:
    """(D,) groups of the training datapoints, and their names; None where there is no use in it."""
    founding = run.founding
    if founding is None or "train" not in founding.groups:
        return None, []
    codes = founding.groups["train"]  # (D,)
    # The names of groups that only other splits have come last.
    names = list(founding.names[: codes.max() + 1])
    # One group sorts nothing, and of very many none can be told from the next.
    if not 1 < len(names) <= GROUPS:
        return None, []
    return codes, names
