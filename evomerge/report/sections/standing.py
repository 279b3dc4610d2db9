"""How the best stands beside the founders: mean scores, with intervals where they are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evomerge.report import figures
from evomerge.report.means import MeanScore, group_means, has_row, lead, mean_score
from evomerge.report.page import card
from evomerge.report.record import Record
from evomerge.report.svg import GREEN, ORANGE
from evomerge.report.tables import cells, heat, row
from evomerge.rundir.births import id_of

SPLITS = ("test", "validation", "train")
"""The first of these that a run has is what founders are sorted by."""

SHOWN = 12
"""Most founders that are shown."""

COMPARED = 5
"""Most founders that are shown beside the best, group by group."""

GROUPS = 40
"""Most groups that are shown."""

DRAWING = (
    "The {split} column as a picture: a dot is a mean score, the line its 95 % interval where that "
    "is known."
)
BY_GROUP = (
    "Mean {split} scores in each group of datapoints, as the fitness names them, with their "
    "number; the stronger the colour, the higher."
)


def cards(run: Record) -> list[str]:
    """A table, a drawing of it, and a table by group."""
    if not run.bests:
        return []
    best = run.bests[-1]
    # The run has the splits that its best was scored on.
    splits = [split for split in SPLITS if best.get(split) is not None]
    first = splits[0]
    founders = sorted(run.founders, key=lambda entry: -entry[first])
    shown = founders[:SHOWN]
    if "founder" not in best:
        shown = [best, *shown]
    return [
        _table(run, shown, founders, splits),
        _drawing(run, shown, first),
        _by_group(run, founders[:COMPARED], first),
    ]


def _table(
    run: Record,
    shown: Sequence[Mapping[str, Any]],
    founders: Sequence[Mapping[str, Any]],
    splits: Sequence[str],
) -> str:
    """The card with a row for each member that is shown, and a column for each split."""
    best = run.bests[-1]
    rows = row(["", *splits], "th")
    for entry in shown:
        colour = "orange" if entry is best else "green"
        means = cells(_mean_text(mean_score(run, entry, split)) for split in splits)
        rows += f'<tr><td class="{colour}">{escape(_name(run, entry))}</td>{means}</tr>'
    # A founder that is the best has a lead of 0.
    if "founder" not in best:
        leads = [_lead_text(run, split, founders) for split in splits]
        rows += row(["best minus the best founder", *leads])
    caption = _how_to_read(
        run,
        are_intervals_known=mean_score(run, shown[0], splits[0]).interval is not None,
        hidden=len(founders[SHOWN:]),
    )
    return card("Scores", f'<table class="scores">{rows}</table>', caption)


def _drawing(run: Record, shown: Sequence[Mapping[str, Any]], split: str) -> str:
    """The card with a dot for each member that is shown."""
    best = run.bests[-1]
    names = []
    values = []
    between = []
    colours = []
    for entry in shown:
        mean = mean_score(run, entry, split)
        names.append(_name(run, entry))
        values.append(mean.value)
        # Without an interval, it is a dot.
        between.append(mean.interval or (mean.value, mean.value))
        colours.append(ORANGE if entry is best else GREEN)
    drawing = figures.intervals(names, values, between, colours)
    return card(f"Mean score, {split}", drawing, DRAWING.format(split=split))


def _by_group(run: Record, founders: Sequence[Mapping[str, Any]], split: str) -> str:
    """The card with the best's and the founders' mean scores in each group of datapoints."""
    best = run.bests[-1]
    # A snapshot that is older than the log has no row of the best.
    if not has_row(run, best, split):
        return ""
    members = list(founders)
    # A founder that is the best has its column among the founders', under this name.
    if "founder" not in best:
        members = [best, *founders]
    table = group_means(run, members, split, GROUPS)
    if not table:
        return ""
    columns = []
    for entry in members:
        columns.append("best" if entry is best else run.label(id_of(entry)))
    caption = BY_GROUP.format(split=split)
    return card("By group", heat("group", columns, table), caption, wide=True)


def _how_to_read(run: Record, *, are_intervals_known: bool, hidden: int) -> str:
    """What the table says, and what it does not."""
    is_child = "founder" not in run.bests[-1]
    # Who is the highest of many on a split is above what it is worth, on that split.
    chosen_by = "training"
    if run.bests[-1].get("validation") is not None:
        chosen_by = "validation"
    sentences = ["Mean scores. The best is one of the founders; no child has beaten it yet."]
    if is_child:
        sentences = [
            f"Mean scores. The best was chosen by its {chosen_by} score, which is flattered by "
            "that; nothing was chosen by the test score."
        ]
    if are_intervals_known:
        sentences.append(
            "Beside each is its 95 % interval over datapoints: how far it could be off because "
            "these datapoints are a sample. Another random seed may differ by more."
        )
        if is_child:
            sentences.append(
                "The last line is taken datapoint by datapoint, against the founder that is "
                "highest in that column."
            )
    else:
        sentences.append(
            "There are no intervals, since this run did not keep its scores by datapoint."
        )
    if hidden:
        sentences.append(f"{hidden:,} more founders score less.")
    return " ".join(sentences)


def _name(run: Record, entry: Mapping[str, Any]) -> str:
    if "founder" in entry:
        return run.label(id_of(entry))
    return f"best, birth {id_of(entry):,}"


def _mean_text(mean: MeanScore) -> str:
    """A mean score with its interval, for a cell of a table."""
    if mean.interval is None:
        return f"{mean.value:.3f}"
    low, high = mean.interval
    return f"{mean.value:.3f} <small>{low:.3f} to {high:.3f}</small>"


def _lead_text(run: Record, split: str, founders: Sequence[Mapping[str, Any]]) -> str:
    """How far the best is ahead of all founders, for a cell of a table."""
    value, half = lead(run, split, founders)
    if half is None:
        return f"{value:+.3f}"
    return f"{value:+.3f} <small>± {half:.3f}</small>"
