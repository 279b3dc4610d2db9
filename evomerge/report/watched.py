"""What is only watched, before and after: each founder's scores on it, and the best's."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from evomerge.config.labels import titled
from evomerge.datapoints import WATCHED
from evomerge.report.names import founder_names

log = logging.getLogger(__name__)


def before_and_after(
    call: Mapping[str, Any], founders: Sequence[Mapping[str, Any]], best: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """The scores on what is only watched, for the summary; nothing where nothing is.

    Args:
        call: the call that made the run, as data.
        founders: the log's lines of the founders.
        best: the best's mean score on each part, by its name.

    Returns:
        For each part the score of the "best", and those of the "founders" by their names.
    """
    names = founder_names(call, founders)
    scores: dict[str, dict[str, Any]] = {}
    for part, value in best.items():
        before = {}
        for name, entry in zip(names, founders, strict=True):
            if part in entry.get(WATCHED, {}):
                before[name] = entry[WATCHED][part]
        scores[part] = {"best": value, "founders": before}
    return scores


def tell(scores: Mapping[str, Mapping[str, Any]], call: Mapping[str, Any]) -> None:
    """Logs them, as a warning where the best has less of a part than every founder.

    Args:
        scores: as `before_and_after` has them.
        call: the call that made the run, as data.
    """
    for part, by_member in scores.items():
        before = by_member["founders"]
        if not before:
            continue
        texts = ", ".join(f"{name} {value:.3f}" for name, value in before.items())
        level, remark = logging.INFO, ""
        if by_member["best"] < min(before.values()):
            level, remark = logging.WARNING, ": less than any founder"
        title = titled(part, call.get("fitness"))
        log.log(level, "watched, %s: %s, best %.3f%s", title, texts, by_member["best"], remark)
