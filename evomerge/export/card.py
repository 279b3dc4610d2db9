"""README.md of a member: its model card, a head for the Hugging Face hub and a text for people."""

from __future__ import annotations

from pathlib import Path

import yaml

from evomerge.export.card_head import head_of
from evomerge.export.card_text import MERGEKIT, text_of
from evomerge.export.subject import Subject

NAME = "README.md"


def write(folder: Path, subject: Subject) -> None:
    """Writes README.md into a folder that has the member already, and its recipe if it is one."""
    data = head_of(subject, has_mergekit=(folder / MERGEKIT).is_file())
    head = yaml.safe_dump(data, sort_keys=False, allow_unicode=True)
    card = f"---\n{head}---\n\n{text_of(subject, folder)}"
    # Half a character, as somebody's text may have, is in no file of UTF-8.
    (folder / NAME).write_text(card, encoding="utf-8", errors="backslashreplace")
