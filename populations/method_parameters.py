"""The parameters of mergekit's merge methods: which there are, and whether given ones fit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from populations.method_ranges import ends, is_range

WEIGHT = "weight"
"""What mergekit calls the parameter that the search sets."""

SHARES = ("density", "gamma", "select_topk")
"""Parameters that are a share of a tensor's numbers.

mergekit takes any number for them, a percentage too.
"""

TYPES = {float: "a number", int: "a whole number", bool: "true or false"}
"""Types of parameters in words."""


def takes_weights(spec: Any) -> bool:
    """Whether a method, as mergekit specifies it, takes a weight for each input."""
    return any(parameter.name == WEIGHT for parameter in spec.input_parameters)


def parameters_of(spec: Any) -> dict[str, Any]:
    """A method's parameters by name, without the weights."""
    parameters = {}
    for parameter in spec.parameters:
        if parameter.name != WEIGHT:
            parameters[parameter.name] = parameter
    return parameters


def check_parameters(
    method: str, spec: Any, given: Mapping[str, Any], *, needs_density: bool
) -> None:
    """Checks names, types and shares, and that nothing is missing.

    Args:
        method: the method's name.
        spec: what mergekit says that it takes.
        given: the user's values by name.
        needs_density: whether the method drops numbers, and has to be told how many stay.

    Raises:
        ValueError: if a parameter is unknown, missing or out of its range.
    """
    known = parameters_of(spec)
    # Given ones before missing ones: a misspelt name explains why another one is missing.
    for name, value in given.items():
        if name == WEIGHT:
            raise ValueError("parameters: weight comes from the genome, it cannot be set")
        if name not in known:
            expected = f"expected {', '.join(known)}" if known else "it has none"
            guess = nearest_hint(name, known)
            raise ValueError(f"parameters: {method} has no {name!r}{guess}; {expected}")
        # Where mergekit has a value for each input, a list is one for each, and else a value.
        if known[name].scope != "shared" and isinstance(value, list | tuple):
            for one in value:
                _check_value(known[name], one)
        else:
            _check_value(known[name], value)
    for name, parameter in known.items():
        if name not in given and parameter.required:
            raise ValueError(f"parameters: {method} needs {name}")
    # mergekit's own density is 1: a method that is all about dropping would drop nothing.
    if needs_density and "density" not in given:
        raise ValueError(
            f"parameters: {method} needs density, the share of numbers that it keeps of each seed, "
            "such as 0.5"
        )


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """A question after a name that is unknown: whether the most similar one is meant."""
    near = difflib.get_close_matches(str(name), list(known), 1)
    return f"; did you mean {near[0]!r}?" if near else ""


def _check_value(parameter: Any, value: Any) -> None:
    """Checks type and range, for one input or for all; of a range of numbers, both ends.

    Raises:
        ValueError: if mergekit does not take the value, or it is no share, or no range of numbers.
    """
    if is_range(value):
        if parameter.value_type is not float:
            expected = TYPES.get(parameter.value_type, str(parameter.value_type))
            raise ValueError(
                f"parameters: {parameter.name}: expected {expected}, got a range: "
                "only numbers with a point are searched"
            )
        try:
            low, high = ends(value)
        except ValueError as error:
            raise ValueError(f"parameters: {parameter.name}: {error}") from None
        _check_number(parameter, low)
        _check_number(parameter, high)
        if not float(low) < float(high):
            raise ValueError(
                f"parameters: {parameter.name}: expected a range that goes up, from {low} to {high}"
            )
        return
    _check_number(parameter, value)


def _check_number(parameter: Any, value: Any) -> None:
    """As `_check_value`, of a single value.

    Raises:
        ValueError: if mergekit does not take the value, or it is no share.
    """
    try:
        checked = parameter.validate(value)
    except ValueError:
        expected = TYPES.get(parameter.value_type, str(parameter.value_type))
        raise ValueError(
            f"parameters: {parameter.name}: expected {expected}, got {value!r}"
        ) from None
    if parameter.name in SHARES and not 0 <= checked <= 1:
        raise ValueError(
            f"parameters: {parameter.name}: expected a share from 0 to 1, got {value!r}"
        )
