"""What the best member gets wrong: a confusion matrix, pictures of datapoints, answers in text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from evomerge.report import figures
from evomerge.report.figures import LABELLED
from evomerge.report.page import LETTERS, card, short
from evomerge.report.record import Record
from evomerge.report.thumbnails import picture

SHOWN, FEWER = 40, 20
"""Most pictures that are shown; most beside a confusion matrix, and most answers in text."""


def cards(run: Record) -> list[str]:
    """Pictures where there are any, a table of the rest, beside or below a confusion matrix."""
    confusion = _confusion(run)
    lost = sorted(
        (entry for entry in run.answers if entry["score"] < 1),
        key=lambda entry: (entry["score"], entry["datapoint"]),
    )
    pictures = [
        (entry, uri) for entry in lost if "picture" in entry and (uri := picture(entry["picture"]))
    ]
    pictured = {
        frozenset(entry) for entry, _ in pictures
    }  # only the first of a kind have their picture in the file
    texts = [
        entry
        for entry in lost
        if "picture" not in entry and frozenset({*entry, "picture"}) not in pictured
    ][:FEWER]
    pictures = pictures[: FEWER if confusion else SHOWN]
    graded = any(0 < entry["score"] < 1 for entry in lost)
    title, count = (
        "Wrong answers",
        f"{len(lost):,} of {len(run.answers):,} test datapoints scored below 1",
    )
    if graded:
        title, count = "Lowest scores", f"There are {len(run.answers):,} test datapoints"
    shown = [confusion]
    if pictures:
        tiles = "".join(
            f'<li><img src="{uri}" alt="">{_caption(entry)}</li>' for entry, uri in pictures
        )
        how = f"{count}; here are {len(pictures)}, the lowest scores first."
        shown.append(card(title, f'<ul class="gallery">{tiles}</ul>', how, wide=not confusion))
    if texts:
        names = list(dict.fromkeys(name for entry in texts for name in entry))
        table = answer_table(
            names, ["".join(cell(name, entry.get(name, "")) for name in names) for entry in texts]
        )
        shown.append(
            card(
                title, table, f"{count}; here are {len(texts)}, the lowest scores first.", wide=True
            )
        )
    return shown


def answer_table(names: Sequence[str], rows: Sequence[str]) -> str:
    """A table of answers under these names, from the cells of each row."""
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join(f"<tr>{cells}</tr>" for cells in rows)
    return f'<table class="answers"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def cell(name: str, value: Any) -> str:
    """A cell of such a table."""
    return f'<td data-name="{escape(name)}">{_said(value)}</td>'


def _confusion(run: Record) -> str:
    """A card where labels are few and come again and again, nothing where answers are free text."""
    answers = [entry for entry in run.answers if {"expected", "answer"} <= entry.keys()]
    pairs = [(short(entry["expected"]), short(entry["answer"])) for entry in answers]
    labels = sorted({label for pair in pairs for label in pair}, key=_by_number)
    if not 2 <= len(labels) <= LABELLED or 2 * len(labels) > len(pairs):
        return ""
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for expected, answer in pairs:
        counts[labels.index(expected), labels.index(answer)] += 1
    names = [label if len(label) <= 14 else label[:13] + "…" for label in labels]
    who = "the best member" if run.answered_by is None else f"member {run.label(run.answered_by)}"
    how = f"Each row is a label of the test split, each column what {who} answered: blue is right, orange is mixed up."
    return card("Confusion", figures.confusion(names, counts), how)


def _caption(entry: Mapping[str, Any]) -> str:
    said = {
        name: _said(value, 60)
        for name, value in entry.items()
        if name not in ("picture", "datapoint")
    }
    if {"expected", "answer"} <= said.keys():
        return f"expected <b>{said['expected']}</b>, answered <b>{said['answer']}</b>"
    return ", ".join(f"{escape(name)} <b>{value}</b>" for name, value in said.items())


def _said(value: Any, most: int = LETTERS) -> str:
    return f"{value:.4g}" if isinstance(value, float) else escape(short(value, most))


def _by_number(label: str) -> tuple[bool, float, str]:
    """Sorts labels: numbers first and by size, then words."""
    try:
        return False, float(label), label
    except ValueError:
        return True, 0.0, label
