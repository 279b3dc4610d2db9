"""What breeding changed: datapoints of the test split that the best member solves and no founder did, and those that were lost.

They are found in the rows of scores. Only there is a founder asked again what it makes of a datapoint: the one that scored highest.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from evomerge.report.page import LETTERS, card, short
from evomerge.report.record import Record
from evomerge.report.sections.answers import answer_table, cell
from evomerge.report.thumbnails import picture
from evomerge.rundir.births import id_of
from evomerge.rundir.founders import SOLVED, differing

log = logging.getLogger(__name__)

WHO = ("best", "founder")
TOLD = (
    "are solved by the best and were solved by no founder",
    "were solved by a founder and are not by the best",
)


def cards(run: Record) -> list[str]:
    """What was won and what was lost, with both answers where they were kept."""
    founding, row = run.founding, run.best_rows.get("test")
    if founding is None or row is None or id_of(run.bests[-1]) <= 0:
        return []
    kept = [
        line
        for line in run.changes * run.answers_are_of_the_best
        if line.keys() >= {"datapoint", "id", *WHO}
    ]
    shown = []
    for name, told, found in zip(
        ("Won", "Lost"), TOLD, differing(row, founding.scores["test"]), strict=True
    ):
        lines = [line for line in kept if line["datapoint"] in set(found.tolist())]
        here = f"; here are {len(lines)}" if 0 < len(lines) < len(found) else ""
        solved = (
            ""
            if np.isin(founding.scores["test"], (0, 1)).all()
            else f" Solved is a score of {SOLVED} and more."
        )
        table = _shown(run, lines) if lines else f'<p class="count">{len(found):,}</p>'
        pairs = " Left is what the best made, right what a founder did." * ("pairs" in table)
        shown.append(
            card(
                name,
                table,
                f"{len(found):,} of {len(row):,} test datapoints {told}{here}.{solved}{pairs}",
                wide=True,
            )
        )
    return shown


def _shown(run: Record, lines: Sequence[Mapping[str, Any]]) -> str:
    """For each datapoint what both were asked, then what each made of it: pictures if there are any, or a table."""
    names = list(dict.fromkeys(name for line in lines for who in WHO for name in line[who]))
    both = [
        name
        for name in names
        if name != "score"
        and all(line["best"].get(name) == line["founder"].get(name) for line in lines)
    ]
    each = sorted((name for name in names if name not in both), key=lambda name: name != "answer")
    if all(line[who]["score"] in (0, 1) for line in lines for who in WHO):
        each.remove("score")
    if "picture" in names:
        tiles = "".join(f"<li>{_tile(run, line, both, each)}</li>" for line in lines)
        return f'<ul class="gallery{" pairs" * ("picture" in each)}">{tiles}</ul>'
    rows = [
        cell("datapoint", line["datapoint"])
        + "".join(cell(name, line["best"].get(name, "")) for name in both)
        + cell("best", _made(line["best"], each))
        + cell("founder", f"{run.label(line['id'])}: {_made(line['founder'], each)}")
        for line in lines
    ]
    return answer_table(["datapoint", *both, *WHO], rows)


def _tile(run: Record, line: Mapping[str, Any], both: Sequence[str], each: Sequence[str]) -> str:
    """Both pictures, or the one that both were asked about, with what was made of it."""
    pictures = [line[who].get("picture") for who in (WHO if "picture" in each else WHO[:1])]
    images = "".join(f'<img src="{uri}" alt="">' for rows in pictures if (uri := picture(rows)))
    asked = {name: short(line["best"].get(name, ""), 60) for name in both if name != "picture"}
    made = {
        name: _made(line[who], each, 60)
        for name, who in zip(("best", run.label(line["id"])), WHO, strict=True)
    }
    told = ", ".join(
        f"{escape(name)}: <b>{escape(text)}</b>" for name, text in (asked | made).items()
    )
    return f"<div>{images}</div>{told}"


def _made(answer: Mapping[str, Any], names: Sequence[str], most: int = LETTERS) -> str:
    """What a member made of a datapoint, as text: an answer as it is, anything else by its name."""
    told = {name: answer[name] for name in names if name in answer and name != "picture"}
    texts = {
        name: f"{value:.3g}" if isinstance(value, float) else short(value, most).strip()
        for name, value in told.items()
    }
    return "\n".join(text if name == "answer" else f"{name} {text}" for name, text in texts.items())
