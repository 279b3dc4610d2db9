"""What the best member gets wrong: a confusion matrix, pictures of datapoints, answers in text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

from evomerge.report import confusion
from evomerge.report.axes import LABELLED
from evomerge.report.page import card, short
from evomerge.report.record import Record
from evomerge.report.tables import answer_cell, answer_table, answer_text
from evomerge.report.thumbnails import picture

SHOWN, FEWER = 40, 20
"""Most pictures that are shown; most beside a confusion matrix, and most answers in text."""

LABEL_LETTERS = 14
"""Longest label of a confusion matrix."""

CAPTION_LETTERS = 60
"""Longest text below a picture."""

Entry: TypeAlias = Mapping[str, Any]
"""What was answered at a datapoint: its number, its score, and what the fitness explains."""


def cards(run: Record) -> list[str]:
    """Pictures where there are any, a table of the rest, beside or below a confusion matrix."""
    matrix = _confusion(run)
    # Those that are right have nothing to show. Of equals, the order is the split's.
    lost = [entry for entry in run.answers if entry["score"] < 1]
    lost.sort(key=lambda entry: (entry["score"], entry["datapoint"]))
    pictures, texts = _by_kind(lost)
    # A matrix takes half of the page's width.
    pictures = pictures[: FEWER if matrix else SHOWN]
    texts = texts[:FEWER]
    title = "Wrong answers"
    count = f"{len(lost):,} of {len(run.answers):,} test datapoints scored below 1"
    # Where there are scores between, it is not said what is wrong.
    if any(0 < entry["score"] < 1 for entry in lost):
        title = "Lowest scores"
        count = f"There are {len(run.answers):,} test datapoints"
    shown = [matrix]
    if pictures:
        tiles = _tiles(pictures)
        caption = f"{count}; here are {len(pictures)}, the lowest scores first."
        shown.append(card(title, tiles, caption, wide=not matrix))
    if texts:
        table = _table(texts)
        caption = f"{count}; here are {len(texts)}, the lowest scores first."
        shown.append(card(title, table, caption, wide=True))
    return shown


def _by_kind(entries: Sequence[Entry]) -> tuple[list[tuple[Entry, str]], list[Entry]]:
    """Entries with their pictures, as data URIs, and those that are to be read."""
    pictures = []
    names_with_picture = set()
    for entry in entries:
        if "picture" in entry:
            uri = picture(entry["picture"])
            if uri is not None:
                pictures.append((entry, uri))
                names_with_picture.add(frozenset(entry))
    texts = []
    for entry in entries:
        # Only the first wrong answers have their pictures in the file. One that has lost its
        # picture, and says nothing else, is none to be read.
        lost_its_picture = frozenset({*entry, "picture"}) in names_with_picture
        if "picture" not in entry and not lost_its_picture:
            texts.append(entry)
    return pictures, texts


def _tiles(pictures: Sequence[tuple[Entry, str]]) -> str:
    """Pictures side by side, each with its answer."""
    tiles = ""
    for entry, uri in pictures:
        tiles += f'<li><img src="{uri}" alt="">{_caption(entry)}</li>'
    return f'<ul class="gallery">{tiles}</ul>'


def _caption(entry: Entry) -> str:
    # The picture is above, and its number says nothing.
    texts = {}
    for name, value in entry.items():
        if name not in ("picture", "datapoint"):
            texts[name] = answer_text(value, CAPTION_LETTERS)
    if {"expected", "answer"} <= texts.keys():
        return f"expected <b>{texts['expected']}</b>, answered <b>{texts['answer']}</b>"
    return ", ".join(f"{escape(name)} <b>{text}</b>" for name, text in texts.items())


def _table(entries: Sequence[Entry]) -> str:
    """A table with a column for each name that some entry has."""
    names: dict[str, None] = {}
    for entry in entries:
        names.update(dict.fromkeys(entry))
    rows = []
    for entry in entries:
        cells = ""
        for name in names:
            cells += answer_cell(name, entry.get(name, ""))
        rows.append(cells)
    return answer_table(list(names), rows)


def _confusion(run: Record) -> str:
    """A card where labels are few and come again and again, nothing where answers are free text."""
    pairs = []
    for entry in run.answers:
        if {"expected", "answer"} <= entry.keys():
            pairs.append((short(entry["expected"]), short(entry["answer"])))
    # Free text has almost as many labels as answers: a matrix of ones.
    labels = confusion.labels_of(pairs)
    if not 2 <= len(labels) <= LABELLED or 2 * len(labels) > len(pairs):
        return ""
    names = [short(label, LABEL_LETTERS) for label in labels]
    drawing = confusion.draw(names, confusion.count(labels, pairs))
    who = "the best member"
    # After a kill, the answers in best/ may be of one that has been the best before.
    if run.answered_by is not None:
        who = f"member {run.label(run.answered_by)}"
    caption = (
        f"Each row is a label of the test split, each column what {who} answered: blue is right, "
        "orange is mixed up."
    )
    return card("Confusion", drawing, caption)
