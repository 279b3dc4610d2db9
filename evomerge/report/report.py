"""report.html: what happened in a run, in one file that needs nothing else.

It is drawn from the run directory alone, of a run that has ended or not.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evomerge.files import saving, write_file
from evomerge.report import heading, page
from evomerge.report.record import Record
from evomerge.report.sections import (
    answers,
    changes,
    config,
    cost,
    crossings,
    failures,
    family,
    gallery,
    members,
    origin,
    progress,
    shares,
    standing,
    watched,
)

NAME = "report.html"

CONTENTS: dict[str, tuple[Callable[[Record], list[str]], ...]] = {
    "What was bred": (origin.cards,),
    "The best and the founders": (standing.cards, watched.cards),
    "Progress": (progress.cards,),
    "The members alive": (members.cards,),
    "Where the best comes from": (family.cards, crossings.cards, shares.cards),
    "From the founders to the best": (gallery.cards,),
    "What breeding won and lost": (changes.cards,),
    "What the best gets wrong": (answers.cards,),
    "What it cost": (cost.cards,),
    "Failed births": (failures.cards,),
    "How it was run": (config.cards,),
}
"""The page's table of contents: each heading, and the functions that draw the cards below it."""


def write(path: Path) -> Path:
    """Draws report.html of a run directory; gives its path.

    Raises:
        Interrupted: if the system refuses to write.
    """
    run = Record.read(path)
    sections: dict[str, list[str]] = {}
    for title, draws in CONTENTS.items():
        sections[title] = []
        for draw in draws:
            sections[title] += draw(run)
    text = page.fill(run.name, heading.heading(run), sections)
    report = path / NAME
    with saving(path):
        write_file(report, text)
    return report
