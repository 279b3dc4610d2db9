"""How a run was made: its config, word for word."""

from __future__ import annotations

from html import escape

from evomerge.report.record import Record


def cards(run: Record) -> list[str]:
    """The text of config.yaml, which a click opens."""
    text = f"<summary>config.yaml</summary><pre>{escape(run.config)}</pre>"
    return [f'<details class="card wide">{text}</details>']
