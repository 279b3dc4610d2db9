"""Parts of a page of Markdown, in which what others wrote shows as text and nothing else."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
"""What means something even behind a backslash, somewhere: in HTML, in the cells of a table."""


def line(value: object) -> str:
    """A text in one line, without characters that do not show."""
    # A line break could begin a heading, and a mark of direction turn the text after it round.
    shown = ""
    for character in str(value):
        shown += character if character.isprintable() else " "
    return " ".join(shown.split())


def plain(value: object) -> str:
    """Markdown that shows a text as it is, in one line: in a paragraph, a cell, a link."""
    # Backslashes go first: the # of an entity is to get none.
    escaped = re.sub(r"([\\`*_\[\]~$#!])", r"\\\1", line(value))
    return re.sub("[&<>|]", lambda match: ENTITIES[match[0]], escaped)


def link(text: str, url: object) -> str:
    """A link on a text that is Markdown already.

    It is the text alone, where the address is none of the web, or would end the link.
    """
    if re.fullmatch(r"https?://[^\s<>()\[\]|\\`\"'*]+", str(url)):
        return f"[{text}]({url})"
    return text


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of cells that are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def fenced(content: str, language: str) -> str:
    """A block of code, whatever is in it: its fence is longer than any row of backticks there."""
    # CommonMark ends a block at the first fence that is as long as its own.
    longest = max(map(len, re.findall("`+", content)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{content.rstrip()}\n{fence}\n"


def details(title: str, body: str) -> str:
    """A part that is shut at first. The title is HTML, the body Markdown."""
    return f"<details>\n<summary>{title}</summary>\n\n{body}\n</details>\n"
