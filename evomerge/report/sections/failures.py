"""Why births failed."""

from __future__ import annotations

from collections import Counter
from html import escape

from evomerge.report.page import card, short
from evomerge.report.record import Record
from evomerge.report.tables import row

REASONS = 40
"""Most reasons that are shown."""


def cards(run: Record) -> list[str]:
    """A table of the reasons, the most frequent first; none where no birth failed."""
    reasons = Counter(str(entry["failure"]) for entry in run.births if "failure" in entry)
    if not reasons:
        return []
    # The same mistake a thousand times is one line.
    rows = row(("births", "reason"), "th")
    for reason, count in reasons.most_common(REASONS):
        rows += row((f"{count:,}", escape(short(reason))))
    caption = (
        f"How often each reason ended a birth, {sum(reasons.values()):,} in all; such children are "
        "never admitted."
    )
    if len(reasons) > REASONS:
        caption += f" {len(reasons) - REASONS:,} more reasons are in births.jsonl."
    return [card("", f"<table>{rows}</table>", caption, wide=True)]
