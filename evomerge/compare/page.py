"""The page of a comparison: its table, its pictures, every run, and how they were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from evomerge.compare.plan import Plan
from evomerge.compare.rows import SWEEP
from evomerge.compare.tally import Row
from evomerge.report.page import card, fill

RESULTS = (
    "The mean over runs that differ by their random seed alone, with its 95 % interval by "
    "Student's t; differences have Welch's. Nothing is chosen by the test score. Seconds are of "
    "runs that may have gone on beside each other, memory is the most that one process of any run "
    "had. Where founders do not depend on the random seed, the sweep is one run, counted for each."
)
BANDS = "Lines are means over runs, bands their 95 % intervals."
COVERAGE = "The share of training datapoints that some member solves."
ENTROPY = "How differently members score, in archives as large as each search has them."
"""How the table and the pictures are to be read."""

RUN_COLUMNS = ("row", "seed", "test", "train", "coverage", "entropy", "failed births")
"""The head of the table of every run."""


def page(
    out: Path,
    rows: Sequence[Row],
    planned: Plan,
    table: Sequence[Sequence[str]],
    pictures: Mapping[str, str],
) -> str:
    """The page's text.

    Args:
        out: the comparison's folder, which gives the page its name.
        rows: what the runs of each row came to.
        planned: the comparison.
        table: the head of the table and its lines.
        pictures: SVG by name; one that is empty is left out.
    """
    every_run = f"Up to birth {planned.births:,}."
    calls = "The call of the first run of each row."
    sections = {
        "Results": [card("", _table(table[0], table[1:]), RESULTS, wide=True)],
        "Over births": _cards(pictures),
        "Every run": [card("", _table(RUN_COLUMNS, _runs(rows)), every_run, wide=True)],
        "How they were run": [card("", _calls(planned), calls, wide=True)],
    }
    name = out.resolve().name
    subtitle = f"{len(rows)} rows, {planned.births:,} births each"
    head = f'<h1>{escape(name)}</h1><p class="sub">{subtitle}</p>'
    return fill(name, head, sections)


def _cards(pictures: Mapping[str, str]) -> list[str]:
    """The pictures with how they are to be read."""
    cards = []
    if pictures["score"]:
        cards.append(card("Test score of the best", pictures["score"], BANDS, wide=True))
    # A comparison of runs that all failed has a page without pictures.
    for name, reading in (("coverage", COVERAGE), ("entropy", ENTROPY)):
        if pictures[name]:
            cards.append(card(name.capitalize(), pictures[name], f"{reading} {BANDS}"))
    return cards


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table, in which what others wrote shows as text."""
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    text = f"<tr>{cells}</tr>"
    # Names of rows and reasons of failures are texts of others, and no HTML of ours.
    for line in lines:
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in line)
        text += f"<tr>{cells}</tr>"
    return f'<div class="table"><table>{text}</table></div>'


def _runs(rows: Sequence[Row]) -> list[list[str]]:
    """A line for each run."""
    lines = []
    for row in rows:
        # The best seed is no run of its own.
        if row.seed:
            continue
        for run in row.runs:
            scores = [f"{run.test:.4f}", f"{run.train:.4f}"]
            ends = [f"{run.coverage[-1]:.3f}", f"{run.entropy[-1]:.3f}"]
            lines.append([row.name, str(run.seed), *scores, *ends, str(run.failures)])
    return lines


def _calls(planned: Plan) -> str:
    """The config of the first run of each row, shut at first."""
    text = ""
    for name, runs in {**planned.rows, SWEEP: planned.sweep}.items():
        file = runs[0].path / "config.yaml"
        # A run that failed at once has none.
        config = "not there"
        if file.is_file():
            config = file.read_text(encoding="utf-8")
        summary = f"<summary>{escape(name)}</summary>"
        text += f"<details>{summary}<pre>{escape(config)}</pre></details>"
    return text
