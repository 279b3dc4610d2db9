"""Objects as plain data: each as its import path, and the arguments that it has kept."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from evomerge.config.targets import TARGET, path_of


def describe(**arguments: Any) -> dict[str, Any]:
    """A call as plain data: each object as its import path and the arguments that it has kept."""
    return {name: _described(value) for name, value in arguments.items()}


def _described(value: Any) -> Any:
    """A value as YAML can have it."""
    # A number of numpy's is a float to Python, but not to YAML.
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _described(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [_described(item) for item in value]
    if isinstance(value, functools.partial):
        # Its own signature is that of the function, and does not say what it is made of.
        return {
            TARGET: "functools.partial",
            "func": _described(value.func),
            "args": _described(value.args),
            **_described(value.keywords),
        }
    if inspect.isclass(value) or inspect.isroutine(value):
        return path_of(value)
    return _object_described(value)


def _object_described(value: Any) -> Any:
    """An object by its class and what it has kept of its constructor's arguments."""
    try:
        names = list(inspect.signature(type(value)).parameters)
    except ValueError:
        # A class written in C does not say its arguments. An address in its text would be another
        # one in every process.
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    # A class that keeps an argument under another name does not have it described.
    described = {TARGET: path_of(type(value))}
    for name in names:
        if hasattr(value, name):
            described[name] = _described(getattr(value, name))
    return described
