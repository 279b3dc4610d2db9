"""YAML for people: a call with comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from evomerge.config.config import Dumper
from evomerge.convert.remarks import Place

WIDTH = 120
"""Longest line of a YAML that is written for people."""

SETTINGS: dict[str, Any] = {
    "Dumper": Dumper,
    "default_flow_style": True,
    "width": 10**9,
    "sort_keys": False,
    "allow_unicode": True,
}
"""How YAML's own writer is asked for one line."""


def commented(call: Mapping[str, Any], comments: Mapping[Place, str]) -> str:
    """A call as YAML for people, with comments.

    Args:
        call: plain data, as `load` gives it.
        comments: what stands above a key, by its place.
    """
    writer = _Writer(comments)
    text = ""
    for key, value in call.items():
        for line in writer.block(value, (key,), f"{key}:", indent=""):
            text += f"{line}\n"
    return text


class _Writer:
    """Writes values with the comments above them."""

    def __init__(self, comments: Mapping[Place, str]) -> None:
        self._comments = comments

    def block(self, value: Any, place: Place, name: str, indent: str) -> Iterator[str]:
        """The lines of one value behind its name, which is one line where that reads well."""
        if place in self._comments:
            head = f"{indent}# "
            yield from textwrap.wrap(
                self._comments[place],
                WIDTH,
                initial_indent=head,
                subsequent_indent=head,
                break_on_hyphens=False,
            )
        line = f"{indent}{name} {_inline(value)}"
        if not isinstance(value, dict | list) or not value:
            yield line
            return
        # What stands at the top of a config is always a block of its own.
        if indent and self._reads_in_one_line(value, place) and len(line) <= WIDTH:
            yield line
            return
        yield f"{indent}{name}"
        if isinstance(value, dict):
            for key, item in value.items():
                yield from self.block(item, (*place, key), f"{_inline(key)}:", f"{indent}  ")
        else:
            yield from self._items(value, place, indent)

    def _items(self, items: Sequence[Any], place: Place, indent: str) -> Iterator[str]:
        """The lines of a list, each item of which begins with a dash."""
        for number, item in enumerate(items):
            if not isinstance(item, dict) or not item:
                yield f"{indent}  - {_inline(item)}"
                continue
            dash = f"{indent}  - "
            for key, inner in item.items():
                inner_place = (*place, number, key)
                for line in self.block(inner, inner_place, f"{_inline(key)}:", f"{indent}    "):
                    # The first line of an item stands behind the dash, all others below it.
                    yield f"{dash}{line.lstrip()}" if dash else line
                    dash = ""

    def _reads_in_one_line(self, value: dict[Any, Any] | list[Any], place: Place) -> bool:
        """Whether nothing is said inside of a value, and nothing in it has parts of its own."""
        # A comment needs a line of its own, above the key that it is of.
        for other in self._comments:
            if len(other) > len(place) and other[: len(place)] == place:
                return False
        items = value.values() if isinstance(value, dict) else value
        return not any(isinstance(item, dict | list) for item in items)


def _inline(value: Any) -> str:
    """A value on one line."""
    # YAML's writer ends a single value with a mark that means nothing inside of a line.
    text = yaml.dump(value, **SETTINGS).removesuffix("\n...\n").removesuffix("\n")
    # A text with line breaks of its own needs quotes.
    if "\n" in text:
        text = yaml.dump(value, default_style='"', **SETTINGS).removesuffix("\n")
    return text
