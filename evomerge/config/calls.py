"""Plain data to calls, and back. Keys are a function's arguments, `_target_` names a class.

A whole call is held against the signatures of what it calls before any of it is loaded. All
mistakes are named at once.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from evomerge.config import hints
from evomerge.config.described import describe
from evomerge.config.mistakes import Mistake, join, raised, shown
from evomerge.config.signatures import VARIADIC, hints_of, parameters_of, takes_any_key
from evomerge.config.targets import TARGET, import_path, nearest
from evomerge.errors import UserError

__all__ = ["build", "describe"]

OTHER_TYPE = "another type"
"""What a single option of a union expected; the message names all options instead."""

_MISFIT = object()
"""What is made of a value that is not as a hint wants it."""


def build(
    given: Mapping[str, Any],
    function: Callable[..., Any],
    *,
    outside: Sequence[str] = (),
    check: Callable[..., object] | None = None,
) -> dict[str, Any]:
    """The arguments of a call of `function`, with every object in them made.

    Args:
        given: the call as plain data, such as `config.load` gives.
        function: what it is a call of.
        outside: arguments that are not the data's to give.
        check: called with those of the arguments that it has a name for; its ValueError has a line
            for each mistake.

    Raises:
        UserError: if anything is wrong; the message has a line for each mistake.
    """
    mistakes: list[Mistake] = []
    # The ranges of what could be made are checked, too, so that a user sees all mistakes at once.
    arguments = _arguments(dict(given), function, "", mistakes, outside)
    if check is not None:
        mistakes += _out_of_range(check, arguments)
    if mistakes:
        raise UserError("\n".join(mistake.text for mistake in mistakes))
    return arguments


def _out_of_range(check: Callable[..., object], arguments: Mapping[str, Any]) -> list[Mistake]:
    """What a check finds wrong with the arguments that it has a name for."""
    names = inspect.signature(check).parameters
    known = {name: value for name, value in arguments.items() if name in names}
    try:
        check(**known)
    except ValueError as error:
        return [Mistake("", line) for line in str(error).splitlines()]
    return []


def _arguments(
    given: dict[str, Any],
    function: Callable[..., Any],
    where: str,
    mistakes: list[Mistake],
    outside: Sequence[str] = (),
) -> dict[str, Any]:
    """The arguments of one call, made; mistakes are added to `mistakes`."""
    # What a user may set is neither given from outside nor a *rest.
    asked = hints_of(function)
    declared = parameters_of(function)
    any_key = takes_any_key(declared)
    parameters = {}
    for name, parameter in declared.items():
        if name not in outside and parameter.kind not in VARIADIC:
            parameters[name] = parameter

    arguments = {}
    for key, value in given.items():
        place = join(where, key)
        if key not in parameters and not any_key:
            mistakes.append(_unknown_key(place, key, value, parameters))
            continue
        # An argument that is wrong is left out, so that nobody checks it once more.
        before = len(mistakes)
        made = _value(value, asked.get(key, Any), place, mistakes)
        if len(mistakes) == before:
            arguments[key] = made

    # A key that is given and wrong has its mistake already.
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            expected = hints.in_words(asked.get(name, Any))
            mistakes.append(Mistake(join(where, name), "missing", expected))
    return arguments


def _unknown_key(
    place: str, key: Any, value: Any, parameters: Mapping[str, inspect.Parameter]
) -> Mistake:
    """The mistake of a key that is no argument, with what may have been meant."""
    # YAML takes {size:2} for the key "size:2" without a value.
    if value is None and ":" in str(key):
        hint = "; between a key and its value stands ': ', with a space"
    else:
        hint = nearest(key, parameters)
    return Mistake(place, "unknown key", hint=hint)


def _value(value: Any, hint: Any, where: str, mistakes: list[Mistake]) -> Any:
    """One value as its type hint wants it; mistakes are added to `mistakes`."""
    if isinstance(value, dict) and TARGET in value:
        return _object(value, hint, where, mistakes)

    # The first option that the value fits is taken.
    deeper: list[Mistake] = []
    for option in hints.options(hint):
        attempt: list[Mistake] = []
        made = _plain(value, option, where, attempt)
        if not attempt:
            return made
        if not deeper and not attempt[0].is_misfit_at(where):
            deeper = attempt

    # Where an option was right but for something inside the value, that is what the user wants to
    # know. Otherwise it is all that could have stood here.
    if deeper:
        mistakes += deeper
    else:
        expected = hints.in_words(hint)
        got = f"got {shown(value)}"
        mistakes.append(Mistake(where, "", expected, got, hints.suggest(value, hint)))
    return None


def _plain(value: Any, hint: Any, where: str, mistakes: list[Mistake]) -> Any:
    """A value without `_target_` against a hint that is no union."""
    if hint is Any or isinstance(hint, typing.TypeVar):
        return _anything(value, where, mistakes)
    if isinstance(value, dict):
        made = _from_dict(value, hint, where, mistakes)
    elif isinstance(value, list):
        made = _from_list(value, hint, where, mistakes)
    elif isinstance(value, str) and hints.origin(hint) is collections.abc.Callable:
        made = _callable(value, where, mistakes)
    else:
        made = _from_scalar(value, hint)
    if made is _MISFIT:
        mistakes.append(Mistake(where, expected=OTHER_TYPE))
        return None
    return made


def _anything(value: Any, where: str, mistakes: list[Mistake]) -> Any:
    """A value where any is right; objects inside it are made."""
    if isinstance(value, dict):
        return _items(value, Any, where, mistakes)
    if isinstance(value, list):
        return _elements(value, [Any] * len(value), where, mistakes)
    return value


def _from_scalar(value: Any, hint: Any) -> Any:
    """A value that is neither keys and values nor a list, as a hint wants it, or a misfit."""
    if typing.get_origin(hint) is typing.Literal:
        # To Python, True is 1 and 1.0 is 1.
        for word in typing.get_args(hint):
            if value == word:
                return value if type(value) is type(word) else _MISFIT
        return _MISFIT
    if hint in (None, types.NoneType) and value is None:
        return None
    # YAML writes 1 for 1.0. A bool is no number here, though it is one to Python.
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    return _MISFIT


def _from_dict(value: dict[str, Any], hint: Any, where: str, mistakes: list[Mistake]) -> Any:
    """Keys and values as a hint wants them, or a misfit."""
    # Settings need no `_target_`: there is only one class that they can be of.
    if dataclasses.is_dataclass(hint):
        return _made(typing.cast("type", hint), value, where, mistakes)
    if typing.get_origin(hint) in (dict, collections.abc.Mapping):
        return _items(value, typing.get_args(hint)[1], where, mistakes)
    return _MISFIT


def _from_list(value: list[Any], hint: Any, where: str, mistakes: list[Mistake]) -> Any:
    """A list as a hint wants it, or a misfit."""
    origin = typing.get_origin(hint)
    args = typing.get_args(hint)
    if origin is tuple and Ellipsis not in args:
        # Each place of such a tuple has a type of its own.
        if len(args) != len(value):
            return _MISFIT
        return tuple(_elements(value, args, where, mistakes))
    if origin in (list, tuple, collections.abc.Sequence):
        elements = _elements(value, [args[0]] * len(value), where, mistakes)
        return tuple(elements) if origin is tuple else elements
    return _MISFIT


def _items(value: dict[Any, Any], hint: Any, where: str, mistakes: list[Mistake]) -> dict[Any, Any]:
    """The values of keys, each as a hint wants it."""
    return {key: _value(item, hint, join(where, key), mistakes) for key, item in value.items()}


def _elements(
    value: list[Any], asked: Sequence[Any], where: str, mistakes: list[Mistake]
) -> list[Any]:
    """The elements of a list, each as its own hint wants it."""
    made = []
    for place, (element, hint) in enumerate(zip(value, asked, strict=True)):
        made.append(_value(element, hint, f"{where}[{place}]", mistakes))
    return made


def _object(value: dict[str, Any], hint: Any, where: str, mistakes: list[Mistake]) -> Any:
    """What a mapping with `_target_` makes, held against the hint's class or protocol."""
    target = value[TARGET]
    place = join(where, TARGET)
    if not isinstance(target, str):
        mistakes.append(Mistake(place, expected="an import path", got=f"got {shown(target)}"))
        return None
    function = _callable(target, place, mistakes)
    if function is None:
        return None
    # A class that a user names may be any, so what it made is looked at and not its name.
    before = len(mistakes)
    settings = {key: item for key, item in value.items() if key != TARGET}
    made = _made(function, settings, where, mistakes)
    if len(mistakes) == before and not hints.is_a(made, hint):
        kind = hints.article(type(made).__name__)
        if made is None:
            kind = "nothing"
        got = f"{target} makes {kind}{hints.lacks(made, hint)}"
        mistakes.append(Mistake(where, expected=hints.in_words(hint), got=got))
    return made


def _made(
    function: Callable[..., Any], given: dict[str, Any], where: str, mistakes: list[Mistake]
) -> Any:
    """Calls `function` if nothing was wrong with what it is given."""
    before = len(mistakes)
    arguments = _arguments(given, function, where, mistakes)
    if len(mistakes) > before:
        return None
    # A user's class may raise anything, which is one mistake among the others.
    try:
        return function(**arguments)
    except Exception as error:
        names = arguments.keys() | parameters_of(function).keys()
        mistakes.append(raised(where, error, names))
        return None


def _callable(path: str, where: str, mistakes: list[Mistake]) -> Any:
    """The class or function that an import path names; None, and a mistake, if it names none."""
    try:
        named = import_path(path)
    except ValueError as error:
        mistakes.append(Mistake(where, str(error)))
        return None
    if not callable(named):
        got = f"{path} is {hints.article(type(named).__name__)}"
        mistakes.append(Mistake(where, expected="a class or a function", got=got))
        return None
    return named
