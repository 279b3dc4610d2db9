"""What every model card has to stand.

The hub's own classes read it without a loss, and its head is as our schema says.
"""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import yaml
from huggingface_hub import EvalResult, ModelCard
from huggingface_hub.repocard import REGEX_YAML_BLOCK
from markdown_it import MarkdownIt

from evomerge.export.licences import HUB

SCHEMA = json.loads(Path(__file__).with_name("card_schema.json").read_text())
TAGS = {
    "h1",
    "h2",
    "p",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "code",
    "pre",
    "a",
    "details",
    "summary",
}
"""All that a card's text may be made of."""


class Page(HTMLParser):
    """A page: its tags, where its links lead, and the texts of its cells."""

    def __init__(self, body: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.cells: list[str] = []
        self.text = ""
        self._cell = False
        self.feed(MarkdownIt("commonmark", {"html": True}).enable("table").render(body))

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.add(tag)
        self.links += [value for name, value in attrs if name in ("href", "src")]
        self._cell = tag in ("td", "th") or (self._cell and tag in TAGS)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag: str) -> None:
        self._cell = self._cell and tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._cell:
            self.cells[-1] += data


def checked(path: Path) -> tuple[dict[str, Any], Page]:
    """The head of a card and the page that its text makes, after all checks."""
    content = path.read_text(encoding="utf-8")
    match = REGEX_YAML_BLOCK.search(content)
    assert match is not None
    head = yaml.safe_load(match[2])
    jsonschema.validate(head, SCHEMA)
    licences = head.get("license", [])
    assert {licences} <= HUB if isinstance(licences, str) else set(licences) <= HUB
    assert licences != "other" or "license_name" in head
    card = ModelCard.load(path)
    assert card.data.to_dict() == head
    assert yaml.safe_load(card.data.to_yaml()) == head
    assert str(card) == content, "not even the order of its lines changes"
    results = [result for model in head.get("model-index", ()) for result in model["results"]]
    assert len(card.data.eval_results or ()) == len(results)
    assert all(isinstance(result, EvalResult) for result in card.data.eval_results or ())
    page = Page(card.text)
    assert page.tags <= TAGS
    assert all(
        link.startswith(("https://huggingface.co/", "https://arxiv.org/")) for link in page.links
    )
    return head, page
