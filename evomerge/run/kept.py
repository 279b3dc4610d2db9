"""What members make of datapoints, kept for the report.

Members are asked while the run's workers are at hand. The report reads these files and asks nobody.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.contracts import Genome
from evomerge.errors import reason
from evomerge.files import saving, write_file
from evomerge.run.best import Best
from evomerge.rundir.founders import Founding, differing
from evomerge.rundir.places import GALLERY
from evomerge.workers.job import Workers

log = logging.getLogger(__name__)

RESERVED = ("datapoint", "score")
"""What each line says by itself, whatever a fitness explains."""

PICTURES = 40
"""How many wrong answers are kept with their pictures."""

DIFFERENCES = 20
"""Most datapoints that were won, and most that were lost, with the answers to them."""


def answers(workers: Workers, genome: Genome, size: int) -> str | None:
    """What a member answers on the test split, as JSON lines.

    Args:
        workers: who expresses it.
        genome: the member.
        size: D, datapoints of the split.

    Returns:
        Its score at each datapoint, and what the fitness explains. None, with a warning, where that
        fails: it may not cost the member.
    """
    try:
        scores, explained = workers.explain(genome, np.arange(size), "test")
        lines = []
        wrong = 0
        for datapoint, (score, entry) in enumerate(zip(scores, explained, strict=True)):
            wrong += bool(score < 1)
            # Pictures are large. Those of the first wrong answers say the most.
            keeps_picture = score < 1 and wrong <= PICTURES
            line = {"datapoint": datapoint, "score": float(score)}
            for name, value in entry.items():
                if name not in RESERVED and (name != "picture" or keeps_picture):
                    line[name] = value
            lines.append(line)
        return _json_lines(lines)
    except Exception as error:
        log.warning("the answers of the best member are not kept: %s", reason(error))
        return None


def explained(
    workers: Workers,
    best: Best,
    founding: Founding | None,
    founders: Callable[[], Sequence[Genome]],
) -> str | None:
    """The answers of the best and of a founder where they differ, as JSON lines.

    Where they differ is known from their scores. Only there is a founder asked again what it makes
    of a datapoint: the one that scored highest.

    Args:
        workers: who expresses them.
        best: the best member.
        founding: the founders' scores.
        founders: gives their genomes again.

    Returns:
        None where the best is a founder, or scores are not known. None, too, with a warning, where
        it fails: it may not cost the member.
    """
    if best.id <= 0 or "test" not in best.rows or founding is None or "test" not in founding.scores:
        return None
    rows = founding.scores["test"]  # (K, D)
    won, lost = differing(best.rows["test"], rows)
    chosen = np.concatenate([won[:DIFFERENCES], lost[:DIFFERENCES]])
    closest = _closest_founder(rows, chosen)
    lines: dict[int, dict[str, Any]] = {}
    for datapoint, founder in zip(chosen.tolist(), closest.tolist(), strict=True):
        lines[datapoint] = {"datapoint": datapoint, "id": founder + 1 - len(rows)}
    try:
        if len(chosen):
            _add_answers(lines, "best", workers, best.genome, chosen)
            for place, genome in enumerate(founders()):
                _add_answers(lines, "founder", workers, genome, chosen[closest == place])
        return _json_lines(lines.values())
    except Exception as error:
        log.warning("where the best and the founders differ is not kept: %s", reason(error))
        return None


def keep(
    path: Path,
    workers: Workers,
    id: int,
    genome: Genome,
    showcase: Callable[[str], np.ndarray],
    split: str,
) -> None:
    """Keeps what a member makes of some datapoints; nothing, with a warning, where that fails.

    Args:
        path: the run directory.
        workers: who expresses it.
        id: the member's.
        genome: the member.
        showcase: the fitness's, which gives (n,) indices of a split.
        split: of the datapoints.

    Raises:
        Interrupted: if the system refuses to write.
    """
    try:
        scores, explained = workers.explain(genome, showcase(split), split)
        entries = []
        for score, entry in zip(scores, explained, strict=True):
            entries.append({"score": float(score)} | entry)
        text = json.dumps(entries, default=str)
    except Exception as error:
        log.warning("member %d is not shown beside others: %s", id, reason(error))
        return
    with saving(path):
        (path / GALLERY).mkdir(exist_ok=True)
        write_file(path / GALLERY / f"{id}.json", text)


def _closest_founder(rows: np.ndarray, datapoints: np.ndarray) -> np.ndarray:
    """(n,) the founder that scores highest at each datapoint; of several, the best in the mean.

    Args:
        rows: (K, D) the founders' scores.
        datapoints: (n,) indices.
    """
    by_mean = np.argsort(-rows.mean(axis=1, dtype=np.float64), kind="stable")  # (K,)
    # argmax takes the first of equals, which is the best in the mean here
    closest: np.ndarray = by_mean[rows[by_mean][:, datapoints].argmax(axis=0)]
    return closest


def _add_answers(
    lines: Mapping[int, dict[str, Any]],
    name: str,
    workers: Workers,
    genome: Genome,
    datapoints: np.ndarray,
) -> None:
    """Adds what a member makes of datapoints to the lines of these, under a name."""
    if not len(datapoints):
        return
    scores, entries = workers.explain(genome, datapoints, "test")
    for datapoint, score, entry in zip(datapoints.tolist(), scores, entries, strict=True):
        lines[datapoint][name] = {"score": float(score)} | entry


def _json_lines(lines: Any) -> str:
    return "".join(json.dumps(line, default=_plain) + "\n" for line in lines)


def _plain(value: Any) -> Any:
    """Numbers and arrays of numpy and torch as JSON has them; anything else as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    return str(value)
