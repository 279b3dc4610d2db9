"""Type hints: what one asks for, in words, and whether an object is that."""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from pathlib import Path
from typing import Any

from evomerge.config.targets import TARGET, nearest


def options(hint: Any) -> tuple[Any, ...]:
    """The hints of a union, or a hint alone: a value has to satisfy one of them."""
    return (
        typing.get_args(hint)
        if typing.get_origin(hint) in (typing.Union, types.UnionType)
        else (hint,)
    )


def is_a(made: Any, hint: Any) -> bool:
    """Whether an object is of a hint's class, or has the members of its protocol."""
    return any(_is_one(made, option) for option in options(hint))


def lacks(made: Any, hint: Any) -> str:
    """What an object lacks of a hint's protocol, in words."""
    missing = [
        name
        for option in options(hint)
        if getattr(option, "_is_protocol", False)
        for name in _missing(made, option)
    ]
    return f", which has no {', '.join(missing)}" if missing else ""


def in_words(hint: Any) -> str:
    """A type hint in words."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    words = {
        int: "a whole number",
        float: "a number",
        str: "a text",
        bool: "true or false",
        Path: "a path",
        types.NoneType: "null",
    }
    if hint in words:
        return words[hint]
    if hint is None:
        return "null"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(in_words(option) for option in args)
    if origin is typing.Literal:
        return " or ".join(repr(arg) for arg in args)
    if origin is tuple and Ellipsis not in args:
        return f"a list of {len(args)}: {', '.join(in_words(arg) for arg in args)}"
    if origin in (list, tuple, collections.abc.Sequence):
        return f"a list, each {in_words(args[0])}"
    if origin in (dict, collections.abc.Mapping):
        return f"keys with values, each {in_words(args[1])}"
    if (origin or hint) is collections.abc.Callable:
        return "the import path of a function"
    name = getattr(hint, "__name__", str(hint))
    keys = "its settings" if dataclasses.is_dataclass(hint) else f"{TARGET} and its settings"
    return "anything" if hint is Any else f"{article(name)} ({keys})"


def suggest(value: Any, hint: Any) -> str:
    """The question whether the nearest of a hint's words was meant; nothing if none is near."""
    literals = [option for option in options(hint) if typing.get_origin(option) is typing.Literal]
    words = [str(word) for literal in literals for word in typing.get_args(literal)]
    return nearest(value, words, 0.5) if isinstance(value, str) else ""


def article(noun: str) -> str:
    """A noun with its article."""
    return f"{'an' if noun[0] in 'aeiouAEIOU' else 'a'} {noun}"


def _is_one(made: Any, hint: Any) -> bool:
    hint = typing.get_origin(hint) or hint
    if hint is Any or not inspect.isclass(hint):
        return True
    return (
        not _missing(made, hint) if getattr(hint, "_is_protocol", False) else isinstance(made, hint)
    )


def _missing(made: Any, protocol: type) -> list[str]:
    """Members of a protocol that an object's class does not have; properties are not run for this."""
    members = [name for name in vars(protocol) if not name.startswith("_") or name == "__call__"]
    return [
        name
        for name in members
        if not hasattr(type(made), name) and name not in getattr(made, "__dict__", ())
    ]
