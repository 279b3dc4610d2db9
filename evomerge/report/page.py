"""The page that a report is: its sections, and the cards that these are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from evomerge.report.style import STYLE

LEGEND = (
    '<b class="orange">Orange</b> is the best member, '
    '<b class="green">green</b> a founder or an immigrant.'
)
"""What the colours of members mean."""

LETTERS = 500
"""Longest text of an answer."""

# No script and nothing from elsewhere may run, whatever others have written into a run's files.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>{title}: evomerge</title>
<style>{style}</style>
</head>
<body><main>{head}{body}</main></body>
</html>
"""
"""The page without its parts."""


def fill(title: str, head: str, sections: Mapping[str, Sequence[str]]) -> str:
    """The page's text.

    Args:
        title: what it is called.
        head: what stands above all sections.
        sections: cards by heading; a section without any is left out.
    """
    body = ""
    for heading, cards in sections.items():
        # A card is empty where the run does not know what it would show.
        if any(cards):
            content = f'<div class="cards">{"".join(cards)}</div>'
            body += f"<section><h2>{heading}</h2>{content}</section>"
    return PAGE.format(title=escape(title), style=STYLE, head=head, body=body)


def card(title: str, content: str, how_to_read: str, *, wide: bool = False) -> str:
    """A figure with its caption, under a heading if it has a title."""
    heading = ""
    if title:
        heading = f"<h3>{title}</h3>"
    kind = "card wide" if wide else "card"
    caption = f"<figcaption>{how_to_read}</figcaption>"
    return f'<figure class="{kind}">{heading}{content}{caption}</figure>'


def short(value: Any, most: int = LETTERS) -> str:
    """A value from a fitness as text of at most so many letters."""
    text = value
    if not isinstance(value, str):
        text = json.dumps(value, ensure_ascii=False)
    if len(text) > most:
        text = text[: most - 1] + "…"
    return str(text)
