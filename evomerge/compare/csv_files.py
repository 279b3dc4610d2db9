"""The numbers of a comparison as CSV, so that anyone can take other means than ours."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np

from evomerge.compare.tally import Row

NUMBERS = ("train", "test", "scored", "failures", "seconds", "memory")
"""The numbers of a run in table.csv."""

CURVES = ("scores", "coverage", "entropy")
"""The curves in curves.csv."""


def table_csv(rows: Sequence[Row], reach: Sequence[float]) -> str:
    """table.csv: a line for each run.

    Args:
        rows: what the runs of each row came to.
        reach: test scores, to which births are counted.
    """
    goals = [f"births_to_{score:g}" for score in reach]
    lines: list[list[object]] = [["row", "seed", *NUMBERS, *goals, "failed"]]
    # A run that failed has a line as well, so that nobody takes it for one that never was.
    empty = [None] * (len(NUMBERS) + len(reach))
    for row in rows:
        for run in row.runs:
            if row.seed:
                # A seed has scores, and has cost nothing.
                numbers = [run.founder_train, run.founder_test, *empty[2:]]
            else:
                numbers = [getattr(run, name) for name in NUMBERS]
                numbers += [run.births_to(score) for score in reach]
            lines.append([row.name, run.seed, *numbers, None])
        for seed, reason in row.failed:
            lines.append([row.name, seed, *empty, reason])
    return _csv(lines)


def curves_csv(rows: Sequence[Row]) -> str:
    """curves.csv: the mean of each curve, and half of its 95 % interval."""
    head: list[object] = ["row", "births"]
    for kind in CURVES:
        head += [kind, f"{kind}_half"]
    lines = [head]
    for row in rows:
        # A seed is not bred, so it has no curve.
        if not row.runs or row.seed:
            continue
        births = row.runs[0].births  # (POINTS,)
        columns = [births]
        for kind in CURVES:
            _, mean, half = row.curve(kind)
            columns += [mean, half]
        for point in np.transpose(columns).tolist():
            lines.append([row.name, int(point[0]), *point[1:]])
    return _csv(lines)


def _csv(lines: Sequence[Sequence[object]]) -> str:
    """Lines as CSV, in which None is an empty cell."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()
