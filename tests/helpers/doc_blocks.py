"""The code blocks of Markdown pages: where they are, of which kind, and the lines of a shell block as commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "docs" / "api.md"
PAGES = [
    ROOT / "README.md",
    ROOT / "cluster" / "README.md",
    *sorted(set((ROOT / "docs").glob("*.md")) - {GENERATED}),
]

PROGRAMS = ("evomerge", "make", "pip", "python", "ray")
"""What a line of a shell block begins with."""

LISTED = re.compile(r"(\S+(?:, \S+)*)  +(?=\S)")
"""The start of a line that says of files what they are: names, two spaces or more."""


@dataclass(frozen=True)
class Block:
    """A block of a page.

    Attributes:
        page: the file that it is in.
        line: of the block's first line, from 1.
        kind: "python", "yaml", "sh", "files", "text", or whatever else a fence says; "" where nothing tells.
        text: its lines, without fence or indentation.
        output: the block of kind "text" that comes next, which is what it prints; None if there is none.
    """

    page: Path
    line: int
    kind: str
    text: str
    output: str | None = None

    @property
    def name(self) -> str:
        """For the test's name: where a person finds it."""
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def file(self) -> str | None:
        """The file that the block's first line, a comment, says it is: `# my.yaml`."""
        found = re.match(r"# (\S+\.(?:py|ya?ml))\n", self.text)
        return found[1] if found else None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page, in order; what one prints is a part of it."""
    found: list[Block] = []
    lines = [*page.read_text().splitlines(), ""]
    at = 0
    while at < len(lines):
        start = at
        if fence := re.fullmatch(r"```(\S*).*", lines[at]):
            at = lines.index("```", at + 1)
            block = Block(page, start + 1, fence[1], _joined(lines[start + 1 : at]))
        elif lines[at].startswith("    ") and (at == 0 or not lines[at - 1].strip()):
            while lines[at].startswith("    ") or (
                not lines[at].strip() and lines[at + 1 : at + 2] and lines[at + 1][:4] == "    "
            ):
                at += 1
            text = _joined([line[4:] for line in lines[start:at]])
            block = Block(page, start + 1, _guess(text), text)
        else:
            at += 1
            continue
        at += 1
        if block.kind == "text" and found:
            found[-1] = replace(found[-1], output=block.text)
        else:
            found.append(block)
    return found


def commands(text: str) -> list[list[str]]:
    """The lines of a shell block as words, without comments; a line that ends in a backslash goes on."""
    lines = text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def alternatives(text: str) -> list[str]:
    """A block of YAML as one text for each time that its first key comes again at the start of a line."""
    key = re.match(r"\w+:", text)
    return (
        [part for part in re.split(f"^(?={key[0]})", text, flags=re.MULTILINE) if part]
        if key
        else [text]
    )


def _joined(lines: list[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _guess(text: str) -> str:
    """The kind of an indented block, which no fence tells."""
    if text.split()[0] in PROGRAMS:
        return "sh"
    if LISTED.match(text):
        return "files"
    try:
        return "yaml" if isinstance(yaml.safe_load(text), dict) else ""
    except yaml.YAMLError:
        return ""
