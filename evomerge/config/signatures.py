"""What a class or a function asks for: its parameters, and the type hint of each.

A hint that is a text, as all are below `from __future__ import annotations`, means something in the
module where it was written. A dataclass has fields of classes in other modules, so each hint is
resolved in the module of the class that declares it.
"""

from __future__ import annotations

import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
"""The kinds of *arguments and **keywords."""


def parameters_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a call; any, for what is written in C and does not say."""
    try:
        return inspect.signature(function).parameters
    except ValueError:
        return {"keywords": inspect.Parameter("keywords", inspect.Parameter.VAR_KEYWORD)}


def takes_any_key(parameters: Mapping[str, inspect.Parameter]) -> bool:
    """Whether a call has **keywords."""
    kinds = [parameter.kind for parameter in parameters.values()]
    return inspect.Parameter.VAR_KEYWORD in kinds


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The type hints of a call's parameters by name; those that cannot be resolved are left out.

    A constructor that passes **keywords on has the hints of the constructors that it passes them
    to, too.
    """
    if not inspect.isclass(function):
        return _function_hints(function)
    hints: dict[str, Any] = {}
    for owner in function.__mro__:
        constructor = vars(owner).get("__init__")
        if constructor is None:
            continue
        # What stands nearer to the class itself is what it asks for.
        hints = _constructor_hints(owner, constructor) | hints
        if not takes_any_key(parameters_of(constructor)):
            break
    return hints


def _function_hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The hints of a function's parameters, or of those of a method."""
    namespace = _names_in(function)
    return _resolved(_annotations_of(function), namespace, namespace)


def _constructor_hints(owner: type, constructor: Callable[..., Any]) -> dict[str, Any]:
    """The hints of a constructor's parameters.

    Args:
        owner: the class that has the constructor.
        constructor: its `__init__`, written by hand or made by `dataclass`.
    """
    # A class that is no dataclass itself inherits fields, but its constructor is written by hand.
    fields = vars(owner).get("__dataclass_fields__", {})
    hints: dict[str, Any] = {}
    by_hand = {}
    for name, annotation in _annotations_of(constructor).items():
        # A constructor that `dataclass` made has the very annotations of the fields. One that is
        # written by hand may ask for something else.
        if name in fields and fields[name].type == annotation:
            hints |= _field_hint(owner, name, annotation)
        else:
            by_hand[name] = annotation
    namespace = _names_in(constructor)
    return hints | _resolved(by_hand, namespace, namespace)


def _field_hint(owner: type, name: str, annotation: Any) -> dict[str, Any]:
    """The hint of a dataclass's field, in the module of the class that declares it."""
    for declaring in owner.__mro__:
        if inspect.get_annotations(declaring).get(name) == annotation:
            # A class may use what stands in its own body. The module's names come first, since a
            # field may have the name of its type.
            module = sys.modules.get(declaring.__module__)
            names = getattr(module, "__dict__", {})
            return _resolved({name: annotation}, dict(vars(declaring)), names)
    return {}


def _annotations_of(function: Callable[..., Any]) -> dict[str, Any]:
    """What is written beside a function's parameters; nothing, for what is written in C."""
    return getattr(function, "__annotations__", {})


def _names_in(function: Callable[..., Any]) -> dict[str, Any]:
    """The names that a function can use, and so can its annotations."""
    return getattr(inspect.unwrap(function), "__globals__", {})


def _resolved(
    annotations: Mapping[str, Any], outer: dict[str, Any], inner: dict[str, Any]
) -> dict[str, Any]:
    """Annotations as the types that they name; those that name nothing are left out.

    Args:
        annotations: by parameter.
        outer: names that can be used in them.
        inner: likewise, which come first.
    """
    hints = {}
    for name, annotation in annotations.items():
        hint = _type_of(annotation, outer, inner)
        if hint is not None:
            hints[name] = hint
    return hints


def _type_of(annotation: Any, outer: dict[str, Any], inner: dict[str, Any]) -> Any:
    """The type that an annotation names; None if it names nothing."""
    # They are resolved one by one, so that one that names nothing leaves the others as they are.
    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    try:
        return typing.get_type_hints(holder, outer, inner)["hint"]
    # A text that is evaluated can raise anything. Its argument takes any value then.
    except Exception:
        return None
