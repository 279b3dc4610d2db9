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

WORDS: dict[Any, str] = {
    int: "a whole number",
    float: "a number",
    str: "a text",
    bool: "true or false",
    Path: "a path",
    types.NoneType: "null",
    None: "null",
}
"""What is said of simple types."""

NEAR = 0.5
"""How alike a word has to be to one of the words of a hint to be suggested, from 0 to 1."""


def options(hint: Any) -> tuple[Any, ...]:
    """The hints of a union, or a hint alone: a value has to satisfy one of them."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return typing.get_args(hint)
    return (hint,)


def origin(hint: Any) -> Any:
    """The class of a hint with brackets, such as `list` of `list[int]`; others as they are."""
    return typing.get_origin(hint) or hint


def is_a(made: Any, hint: Any) -> bool:
    """Whether an object is of a hint's class, or has the members of its protocol."""
    return any(_is_one(made, option) for option in options(hint))


def lacks(made: Any, hint: Any) -> str:
    """What an object lacks of a hint's protocol, in words."""
    missing = []
    for option in options(hint):
        if _is_protocol(option):
            missing += _missing(made, option)
    if not missing:
        return ""
    return f", which has no {', '.join(missing)}"


def in_words(hint: Any) -> str:
    """A type hint in words."""
    if hint in WORDS:
        return WORDS[hint]
    if hint is Any:
        return "anything"
    kind = origin(hint)
    args = typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        return " or ".join(in_words(option) for option in args)
    if kind is typing.Literal:
        return " or ".join(repr(word) for word in args)
    if kind is collections.abc.Callable:
        return "the import path of a function"
    # A class without brackets says nothing of what is in it.
    if args:
        if kind is tuple and Ellipsis not in args:
            return f"a list of {len(args)}: {', '.join(in_words(arg) for arg in args)}"
        if kind in (list, tuple, collections.abc.Sequence):
            return f"a list, each {in_words(args[0])}"
        if kind in (dict, collections.abc.Mapping):
            return f"keys with values, each {in_words(args[1])}"
    name = getattr(hint, "__name__", str(hint))
    # Only a dataclass can be made without naming it.
    if dataclasses.is_dataclass(hint):
        return f"{article(name)} (its settings)"
    return f"{article(name)} ({TARGET} and its settings)"


def suggest(value: Any, hint: Any) -> str:
    """The question whether the nearest of a hint's words was meant; nothing if none is near."""
    if not isinstance(value, str):
        return ""
    # Only a literal has words that a text can be near to.
    words = []
    for option in options(hint):
        if typing.get_origin(option) is typing.Literal:
            words += [str(word) for word in typing.get_args(option)]
    return nearest(value, words, NEAR)


def article(noun: str) -> str:
    """A noun with its article."""
    if noun[0] in "aeiouAEIOU":
        return f"an {noun}"
    return f"a {noun}"


def _is_one(made: Any, hint: Any) -> bool:
    """Whether an object is as a hint wants it that is no union; any is, where it names no class."""
    # A hint that names no class, such as a type variable, cannot be held against an object.
    kind = origin(hint)
    if kind is Any or not inspect.isclass(kind):
        return True
    if _is_protocol(kind):
        return not _missing(made, kind)
    return isinstance(made, kind)


def _is_protocol(hint: Any) -> bool:
    return getattr(hint, "_is_protocol", False)


def _missing(made: Any, protocol: type) -> list[str]:
    """Members of a protocol that an object has not; properties are not run for this."""
    # A protocol's private members are Python's own, but for a call.
    missing = []
    for name in vars(protocol):
        private = name.startswith("_") and name != "__call__"
        on_object = hasattr(type(made), name) or name in getattr(made, "__dict__", ())
        if not private and not on_object:
            missing.append(name)
    return missing
