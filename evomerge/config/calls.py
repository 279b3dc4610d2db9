"""Plain data to calls, and calls to plain data. Keys are a function's arguments, `_target_` names a class.

A whole call is held against the signatures of what it calls before any of it is loaded, and all mistakes are told at once.
"""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.config import hints
from evomerge.config.targets import TARGET, import_path, nearest, path_of
from evomerge.errors import UserError


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
        check: called with those of the arguments that it has a name for; its ValueError has a line for each mistake.

    Raises:
        UserError: if anything is wrong; the message has a line for each mistake.
    """
    problems: list[str] = []
    arguments = _arguments(dict(given), function, "", problems, outside)
    if check is not None:
        names = inspect.signature(check).parameters
        try:
            check(**{name: value for name, value in arguments.items() if name in names})
        except ValueError as error:
            problems += str(error).splitlines()
    if problems:
        raise UserError("\n".join(problems))
    return arguments


def describe(**arguments: Any) -> dict[str, Any]:
    """A call as plain data: each object as its import path and the arguments that it has kept."""
    return {name: _describe(value) for name, value in arguments.items()}


def _arguments(
    given: dict[str, Any],
    function: Callable[..., Any],
    where: str,
    problems: list[str],
    outside: Sequence[str] = (),
) -> dict[str, Any]:
    """The arguments of one call, made; mistakes are added to `problems`."""
    constructor = function.__init__ if inspect.isclass(function) else function
    try:
        asked = typing.get_type_hints(constructor)
    except Exception:  # a user's annotation that cannot be resolved: take any value
        asked = {}
    named = _parameters(function)
    parameters = {
        name: parameter
        for name, parameter in named.items()
        if name not in outside
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    }
    open_ended = any(p.kind is p.VAR_KEYWORD for p in named.values())
    arguments = {}
    for key, value in given.items():
        if key not in parameters and not open_ended:
            space = (
                "; between a key and its value stands ': ', with a space"
                if value is None and ":" in str(key)
                else ""
            )
            problems.append(f"{_join(where, key)}: unknown key{space or nearest(key, parameters)}")
            continue
        before = len(problems)
        made = _value(value, asked.get(key, Any), _join(where, key), problems)
        if len(problems) == before:
            arguments[key] = made
    for name, parameter in parameters.items():
        if parameter.default is parameter.empty and name not in given:
            problems.append(
                f"{_join(where, name)}: missing; expected {hints.in_words(asked.get(name, Any))}"
            )
    return arguments


def _value(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """One value as its type hint wants it; mistakes are added to `problems`."""
    if isinstance(value, dict) and TARGET in value:
        return _object(value, hint, where, problems)
    tried: list[list[str]] = []
    for option in hints.options(hint):
        attempt: list[str] = []
        made = _plain(value, option, where, attempt)
        if not attempt:
            return made
        tried.append(attempt)
    deeper = [attempt for attempt in tried if not attempt[0].startswith(f"{where}: expected")]
    problems += (
        deeper[0]
        if deeper
        else [
            f"{where}: expected {hints.in_words(hint)}, got {_show(value)}{hints.suggest(value, hint)}"
        ]
    )
    return None


def _plain(value: Any, hint: Any, where: str, problems: list[str]) -> Any:
    """A value without `_target_` against a hint that is no union."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        if isinstance(value, dict):
            return {
                key: _value(item, Any, _join(where, key), problems) for key, item in value.items()
            }
        return (
            [_value(item, Any, f"{where}[{i}]", problems) for i, item in enumerate(value)]
            if isinstance(value, list)
            else value
        )
    if origin is typing.Literal and value in args and type(value) is type(args[args.index(value)]):
        return value
    if hint in (None, types.NoneType) and value is None:
        return None
    if hint is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if hint in (int, str, bool) and type(value) is hint:
        return value
    if hint is Path and isinstance(value, str):
        return Path(value)
    if (origin or hint) is collections.abc.Callable and isinstance(value, str):
        return _callable(value, where, problems)
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return _made(typing.cast("type", hint), value, where, problems)
    if (
        isinstance(value, list)
        and origin is tuple
        and (Ellipsis not in args and len(args) == len(value))
    ):
        return tuple(
            _value(item, args[i], f"{where}[{i}]", problems) for i, item in enumerate(value)
        )
    if (
        isinstance(value, list)
        and origin in (list, tuple, collections.abc.Sequence)
        and (origin is not tuple or Ellipsis in args)
    ):
        items = [_value(item, args[0], f"{where}[{i}]", problems) for i, item in enumerate(value)]
        return tuple(items) if origin is tuple else items
    if isinstance(value, dict) and origin in (dict, collections.abc.Mapping):
        return {
            key: _value(item, args[1], _join(where, str(key)), problems)
            for key, item in value.items()
        }
    problems.append(f"{where}: expected")
    return None


def _object(value: dict[str, Any], hint: Any, where: str, problems: list[str]) -> Any:
    """What a mapping with `_target_` makes, held against the hint's class or protocol."""
    target = value[TARGET]
    if not isinstance(target, str):
        problems.append(f"{where}.{TARGET}: expected an import path, got {_show(target)}")
        return None
    found = _callable(target, f"{where}.{TARGET}", problems)
    if found is None:
        return None
    before = len(problems)
    made = _made(
        found, {key: item for key, item in value.items() if key != TARGET}, where, problems
    )
    if len(problems) == before and not hints.is_a(made, hint):
        what = "nothing" if made is None else hints.article(type(made).__name__)
        problems.append(
            f"{where}: expected {hints.in_words(hint)}, {target} makes {what}{hints.lacks(made, hint)}"
        )
    return made


def _made(
    function: Callable[..., Any], given: dict[str, Any], where: str, problems: list[str]
) -> Any:
    """Calls `function` if nothing was wrong with what it is given."""
    before = len(problems)
    arguments = _arguments(given, function, where, problems)
    if len(problems) > before:
        return None
    try:
        return function(**arguments)
    except Exception as error:
        known = isinstance(error, ValueError | TypeError | OSError | ImportError)
        text = str(error) if known else f"{type(error).__name__}: {error}"
        named = re.match(r"(\w+)[\w.\[\]]*:", text)
        ours = named is not None and (named[1] in arguments or named[1] in _parameters(function))
        problems.append(f"{where}.{text}" if ours else f"{where}: {text}")
        return None


def _callable(path: str, where: str, problems: list[str]) -> Any:
    try:
        found = import_path(path)
    except ValueError as error:
        problems.append(f"{where}: {error}")
        return None
    if not callable(found):
        problems.append(
            f"{where}: expected a class or a function, {path} is {hints.article(type(found).__name__)}"
        )
        return None
    return found


def _parameters(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a call; any, for what is written in C and does not say."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {"keywords": inspect.Parameter("keywords", inspect.Parameter.VAR_KEYWORD)}


def _describe(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _describe(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_describe(item) for item in value]
    if isinstance(value, functools.partial):
        return {
            TARGET: "functools.partial",
            "func": _describe(value.func),
            "args": _describe(value.args),
            **_describe(value.keywords),
        }
    if inspect.isclass(value) or inspect.isroutine(value):
        return path_of(value)
    try:
        names = list(inspect.signature(type(value)).parameters)
    except ValueError:  # a class written in C
        return re.sub(
            r" at 0x[0-9a-f]+", "", repr(value)
        )  # an address would be another one in every process
    kept = {name: _describe(getattr(value, name)) for name in names if hasattr(value, name)}
    return {TARGET: path_of(type(value)), **kept}


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)


def _show(value: Any) -> str:
    text = repr(value)
    return f"{text if len(text) < 80 else text[:77] + '...'} ({type(value).__name__})"
