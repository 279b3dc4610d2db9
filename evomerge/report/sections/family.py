"""Whom the best member comes from: its family tree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evomerge.report.family_tree import Relative, draw, generations_back
from evomerge.report.page import LEGEND, card
from evomerge.report.record import Record
from evomerge.rundir.births import id_of

GENERATIONS = 4
"""How far back a family tree goes."""

COLUMNS = 11
"""Most columns of one.

It goes less far back where relatives so often had children together that it would need more.
"""


def cards(run: Record) -> list[str]:
    """The tree; none where nobody is best yet, or the best was made by a search of nobody."""
    if not run.bests:
        return []
    best = id_of(run.bests[-1])
    # A search that makes vectors of its own has no lineage.
    entry = run.by_id[best]
    if entry.get("made") and not entry.get("parents"):
        return []
    if best in run.alone:
        caption = f"The best is {run.label(best)}: no child has beaten it yet."
        return [card("Family tree", "", caption)]
    relatives = _relatives(run, best)
    tree = f'<div class="scroll">{draw(relatives, best)}</div>'
    caption = (
        f"Children stand to the right of their parents, each with its training score; {LEGEND}"
    )
    if any(relative.shares for relative in relatives.values()):
        caption += " A number on a line is the share that a parent gives"
        caption += ", up to the first split point." if _any_split(run, relatives) else "."
    return [card("Family tree", tree, caption, wide=True)]


def _relatives(run: Record, best: int) -> dict[int, Relative]:
    """Who is in the tree, by id: as many generations as its columns have room for."""
    # Where relatives had children together, the longest way down from one of them is longer than
    # the generations that were gone back, and each step of it needs a column.
    for generations in range(GENERATIONS, 0, -1):
        ids = {best}
        youngest = {best}
        for _ in range(generations):
            parents: set[int] = set()
            for id in youngest:
                parents.update(run.by_id[id].get("parents", ()))
            youngest = parents
            ids = ids | parents
        relatives = {id: _relative(run, run.by_id[id]) for id in ids}
        if max(generations_back(relatives, best).values()) < COLUMNS:
            break
    return relatives


def _relative(run: Record, entry: Mapping[str, Any]) -> Relative:
    id = id_of(entry)
    ratios = entry.get("ratios", ())
    shares: tuple[str, ...] = ()
    # A child of one parent has all of it, which need not be said.
    if ratios:
        shares = _from_to([1 - w for w in ratios]), _from_to(ratios)
    return Relative(
        parents=tuple(entry.get("parents", ())),
        label=run.label(id),
        score=entry.get("train"),
        shares=shares,
        founder=id in run.alone,
    )


def _from_to(shares: Sequence[float]) -> str:
    """The least and the greatest share of several chromosomes; one number where both read alike."""
    texts = sorted({f"{share:.2f}" for share in shares}, key=float)
    if texts[0] == texts[-1]:
        return texts[0]
    return f"{texts[0]}\N{EN DASH}{texts[-1]}"


def _any_split(run: Record, relatives: Mapping[int, Relative]) -> bool:
    """Whether some relative was merged with a split point in a chromosome."""
    return any(any(run.by_id[id].get("splits", ())) for id in relatives)
