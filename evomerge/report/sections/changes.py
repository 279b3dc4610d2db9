"""What breeding changed: what the best solves and no founder did, and what it solves no more.

Both are of the test split, and known from the scores there. The answers were kept when the run
ended (`evomerge.run.kept.explained`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, TypeAlias

import numpy as np

from evomerge.report.page import LETTERS, card, short
from evomerge.report.record import Record
from evomerge.report.tables import answer_cell, answer_table
from evomerge.report.thumbnails import picture
from evomerge.rundir.births import id_of
from evomerge.rundir.founders import SOLVED, differing

ANSWERED = ("best", "founder")
"""Who has an answer in each line."""

WON = "are solved by the best and were solved by no founder"
LOST = "were solved by a founder and are not by the best"

CAPTION_LETTERS = 60
"""Longest text below a picture."""

PAIRS = '<ul class="gallery pairs">'
"""The tag before pictures that both have made, which stand side by side."""

Line: TypeAlias = Mapping[str, Any]
"""A line of what was kept: a datapoint, a founder's id, and the answers of the best and of it."""


def cards(run: Record) -> list[str]:
    """What was won and what was lost, with both answers where they were kept."""
    founding, row = run.founding, run.best_rows.get("test")
    # A founder that is the best has changed nothing.
    if founding is None or row is None or id_of(run.bests[-1]) <= 0:
        return []
    founders = founding.scores["test"]  # (K, D)
    won, lost = differing(row, founders)
    # Only of right and wrong it is clear what is solved.
    solved = ""
    if not np.isin(founders, (0, 1)).all():
        solved = f" Solved is a score of {SOLVED} and more."
    share = f"of {len(row):,} test datapoints"
    return [
        _card(run, "Won", won, f"{share} {WON}", solved),
        _card(run, "Lost", lost, f"{share} {LOST}", solved),
    ]


def _card(run: Record, title: str, datapoints: np.ndarray, rest: str, solved: str) -> str:
    """The card of what was won, or of what was lost.

    Args:
        run: the run.
        title: which of both it is.
        datapoints: (n,) indices.
        rest: what a sentence goes on with that begins with their number.
        solved: a sentence that says what is solved; nothing where that is clear.
    """
    count = f"{len(datapoints):,}"
    chosen = set(datapoints.tolist())
    lines = [line for line in _kept(run) if line["datapoint"] in chosen]
    # Where no answers were kept, their number is all there is to show.
    content = f'<p class="count">{count}</p>'
    if lines:
        content = _answers(run, lines)
    caption = f"{count} {rest}"
    if 0 < len(lines) < len(datapoints):
        caption += f"; here are {len(lines)}"
    caption += f".{solved}"
    if PAIRS in content:
        caption += " Left is what the best made, right what a founder did."
    return card(title, content, caption, wide=True)


def _kept(run: Record) -> list[Line]:
    """The lines that are of the member which the log has as the best, and are whole."""
    if not run.answers_are_of_the_best:
        return []
    return [line for line in run.changes if line.keys() >= {"datapoint", "id", *ANSWERED}]


def _answers(run: Record, lines: Sequence[Line]) -> str:
    """For each datapoint what both were asked, then what each made of it.

    They are pictures if there are any, and else a table.
    """
    # What both were asked is shown once; what each made of it, side by side.
    same, different = _names(lines)
    if "picture" in (*same, *different):
        tiles = ""
        for line in lines:
            tiles += f"<li>{_tile(run, line, same, different)}</li>"
        opening = PAIRS if "picture" in different else '<ul class="gallery">'
        return f"{opening}{tiles}</ul>"
    rows = []
    for line in lines:
        cells = answer_cell("datapoint", line["datapoint"])
        for name in same:
            cells += answer_cell(name, line["best"].get(name, ""))
        cells += answer_cell("best", _answer(line["best"], different))
        founder = _answer(line["founder"], different)
        cells += answer_cell("founder", f"{run.label(line['id'])}: {founder}")
        rows.append(cells)
    return answer_table(["datapoint", *same, *ANSWERED], rows)


def _names(lines: Sequence[Line]) -> tuple[list[str], list[str]]:
    """The names in answers: those of which both have the same in all lines, and the others.

    The answer itself is the first of the others. Scores of right and wrong are left out, since the
    card says which is which.
    """
    # Not every answer has every name; their order is that in which they come up.
    names: dict[str, None] = {}
    has_parts = False
    for line in lines:
        for who in ANSWERED:
            names.update(dict.fromkeys(line[who]))
            has_parts = has_parts or line[who]["score"] not in (0, 1)
    same = []
    different = []
    for name in names:
        if name != "score" and _is_same(lines, name):
            same.append(name)
        elif name != "score" or has_parts:
            different.append(name)
    different.sort(key=lambda name: name != "answer")
    return same, different


def _is_same(lines: Sequence[Line], name: str) -> bool:
    """Whether the best and the founder have the same under a name, in all lines."""
    return all(line["best"].get(name) == line["founder"].get(name) for line in lines)


def _tile(run: Record, line: Line, same: Sequence[str], different: Sequence[str]) -> str:
    """Both pictures, or the one that both were asked about, with what was made of it."""
    images = ""
    for who in ANSWERED:
        # Where both have the same picture, it is what they were asked about.
        if who == "founder" and "picture" not in different:
            continue
        uri = picture(line[who].get("picture"))
        if uri is not None:
            images += f'<img src="{uri}" alt="">'
    # Below a picture there is room for a few words.
    captions = {}
    for name in same:
        if name != "picture":
            captions[name] = short(line["best"].get(name, ""), CAPTION_LETTERS)
    captions["best"] = _answer(line["best"], different, CAPTION_LETTERS)
    captions[run.label(line["id"])] = _answer(line["founder"], different, CAPTION_LETTERS)
    texts = [f"{escape(name)}: <b>{escape(text)}</b>" for name, text in captions.items()]
    return f"<div>{images}</div>{', '.join(texts)}"


def _answer(answer: Mapping[str, Any], names: Sequence[str], most: int = LETTERS) -> str:
    """What a member made of a datapoint, as text: an answer as it is, anything else by its name."""
    texts = []
    for name in names:
        if name == "picture" or name not in answer:
            continue
        value = answer[name]
        text = short(value, most).strip()
        if isinstance(value, float):
            text = f"{value:.3g}"
        if name != "answer":
            text = f"{name} {text}"
        texts.append(text)
    return "\n".join(texts)
