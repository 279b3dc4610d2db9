"""YAML for people: a call with comments."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from evomerge.config.config import _Dumper

COMMENT = 120
"""Longest line of a YAML that is written for people."""


def commented(call: Mapping[str, Any], comments: Mapping[tuple[str | int, ...], str]) -> str:
    """A call as YAML for people, with comments.

    Args:
        call: plain data, as `load` gives it.
        comments: what stands above a key, by its place: ("fitness", "parts", 0, "train").
    """
    return "".join(
        f"{line}\n" for key in call for line in _block(call[key], comments, (key,), f"{key}:", "")
    )


def _block(
    value: Any,
    comments: Mapping[tuple[str | int, ...], str],
    place: tuple[str | int, ...],
    name: str,
    indent: str,
) -> Iterator[str]:
    """The lines of one value behind its name: one, where it is short and nothing is said inside of it."""
    if place in comments:
        head = f"{indent}# "
        yield from textwrap.wrap(
            comments[place],
            COMMENT,
            initial_indent=head,
            subsequent_indent=head,
            break_on_hyphens=False,
        )
    said_inside = any(
        len(other) > len(place) and other[: len(place)] == place for other in comments
    )
    deep = isinstance(value, dict | list) and len(value) > 0
    text = _inline(value)
    nested = deep and any(
        isinstance(item, dict | list)
        for item in (value.values() if isinstance(value, dict) else value)
    )
    if not deep or (
        indent and not said_inside and not nested and len(f"{indent}{name} {text}") <= COMMENT
    ):
        yield f"{indent}{name} {text}"
        return
    yield f"{indent}{name}"
    for key, item in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict):
            yield from _block(item, comments, (*place, key), f"{_inline(key)}:", f"{indent}  ")
        elif isinstance(item, dict) and item:
            for number, inner in enumerate(item):  # the first key stands behind the dash
                first, *more = _block(
                    item[inner],
                    comments,
                    (*place, key, inner),
                    f"{_inline(inner)}:",
                    f"{indent}    ",
                )
                yield first if number else f"{indent}  - {first.lstrip()}"
                yield from more
        else:
            yield f"{indent}  - {_inline(item)}"


def _inline(value: Any) -> str:
    """A value on one line."""
    settings: dict[str, Any] = {
        "Dumper": _Dumper,
        "default_flow_style": True,
        "width": 10**9,
        "sort_keys": False,
        "allow_unicode": True,
    }
    text = yaml.dump(value, **settings).removesuffix("\n...\n").removesuffix("\n")
    return (
        text
        if "\n" not in text
        else yaml.dump(value, default_style='"', **settings).removesuffix("\n")
    )
