"""What breeding changed: datapoints of the test split that the best member solves and no founder did, and those that were lost.

They are found in the rows of scores. Only there is a founder asked again what it makes of a datapoint: the one that scored highest.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from evomerge.answers import answer_table, cell
from evomerge.contracts import Genome
from evomerge.errors import reason
from evomerge.export import plain
from evomerge.founding import Founding
from evomerge.niches import SOLVED
from evomerge.page import card
from evomerge.record import Record, id_of
from evomerge.snapshot import Best
from evomerge.workers import Workers

log = logging.getLogger(__name__)

SHOWN = 20
"""Most datapoints that were won, and most that were lost, that are shown."""

TOLD = ("are solved by the best and were by no founder", "were solved by a founder and are not by the best")


def differing(best: np.ndarray, founders: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The datapoints that the best solves and no founder does, and those that some founder solves and the best does not.

    Args:
        best: (D,) its scores.
        founders: (K, D) theirs.

    Returns:
        Indices of both, where the difference is greatest first.
    """
    ahead = founders.max(axis=0)
    margin = np.abs(best - ahead)
    of = ((best >= SOLVED) & (ahead < SOLVED), (best < SOLVED) & (ahead >= SOLVED))
    won, lost = (np.flatnonzero(mask)[np.argsort(-margin[mask], kind="stable")] for mask in of)
    return won, lost


def explained(workers: Workers, best: Best, founding: Founding | None, founders: Callable[[], Sequence[Genome]]) -> str | None:
    """The best's and a founder's answers where they differ, as JSON lines.

    Args:
        workers: who expresses them.
        best: the best member.
        founding: the founders' scores.
        founders: gives their genomes again.

    Returns:
        None where the best is a founder or scores are not known, or, with a warning, if it fails; it may not cost the member.
    """
    if best.id <= 0 or "test" not in best.rows or founding is None or "test" not in founding.scores:
        return None
    rows = founding.scores["test"]
    chosen = np.concatenate([of[:SHOWN] for of in differing(best.rows["test"], rows)])
    by_mean = np.argsort(-rows.mean(axis=1, dtype=np.float64), kind="stable")
    closest = by_mean[rows[by_mean][:, chosen].argmax(axis=0)]  # where several are, the one with the highest mean
    lines = {
        datapoint: {"datapoint": datapoint, "id": index + 1 - len(rows)}
        for datapoint, index in zip(chosen.tolist(), closest.tolist(), strict=True)
    }
    try:
        genomes = founders() if len(chosen) else []
        asked = [("best", best.genome, chosen), *(("founder", one, chosen[closest == k]) for k, one in enumerate(genomes))]
        for name, genome, own in asked:
            scores, entries = workers.explain(genome, own, "test") if len(own) else ((), ())
            for datapoint, score, entry in zip(own.tolist(), scores, entries, strict=True):
                lines[datapoint][name] = {"score": float(score)} | entry
        return "".join(json.dumps(line, default=plain) + "\n" for line in lines.values())
    except Exception as error:
        log.warning("where the best and the founders differ is not kept: %s", reason(error))
        return None


def cards(run: Record) -> list[str]:
    """What was won and what was lost, with both answers where they were kept."""
    founding, row = run.founding, run.best_rows.get("test")
    if founding is None or row is None or id_of(run.bests[-1]) <= 0:
        return []
    kept = [line for line in run.changes if {"best", "founder"} <= line.keys()]
    shown = []
    for name, told, found in zip(("Won", "Lost"), TOLD, differing(row, founding.scores["test"]), strict=True):
        lines = [line for line in kept if line["datapoint"] in set(found.tolist())]
        here = f"; here are {len(lines)}" if 0 < len(lines) < len(found) else ""
        solved = "" if np.isin(founding.scores["test"], (0, 1)).all() else f" Solved is a score of {SOLVED} and more."
        table = _table(run, lines) if lines else f'<p class="count">{len(found):,}</p>'
        shown.append(card(name, table, f"{len(found):,} of {len(row):,} test datapoints {told}{here}.{solved}", wide=bool(lines)))
    return shown


def _table(run: Record, lines: Sequence[Mapping[str, Any]]) -> str:
    """A line for each datapoint: what both were asked, then what each made of it."""
    names = list(dict.fromkeys(name for line in lines for who in ("best", "founder") for name in line[who]))
    both = [
        name for name in names if name != "score" and all(line["best"].get(name) == line["founder"].get(name) for line in lines)
    ]
    each = [name for name in names if name not in both]
    if all(line[who]["score"] in (0, 1) for line in lines for who in ("best", "founder")):
        each.remove("score")
    heads = ["datapoint", *both, *(f"best: {name}" for name in each), "founder", *(f"founder: {name}" for name in each)]
    rows = []
    for line in lines:
        mine, theirs = line["best"], line["founder"]
        values = [line["datapoint"], *(mine.get(name, "") for name in (*both, *each))]
        values += [run.label(line["id"]), *(theirs.get(name, "") for name in each)]
        rows.append("".join(cell(head, value) for head, value in zip(heads, values, strict=True)))
    return answer_table(heads, rows)
