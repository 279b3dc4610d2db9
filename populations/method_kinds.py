"""The merge methods that mergekit registers, and what each is here."""

from __future__ import annotations

from typing import Any

from populations.method_parameters import takes_weights

SEARCHED = "searched"
"""A method that takes a weight for each seed."""

SINGLE = "single child"
"""A method without weights: it makes one child of its seeds, and leaves nothing to search."""

OTHER_KIND = {
    SEARCHED: "takes a weight for each seed: it is searched, and has no single child",
    SINGLE: (
        "takes no weight for each seed, so there is nothing to search: it makes a single child"
    ),
}
"""What is said of a method that is of the other kind than is asked for."""


def methods() -> dict[str, str]:
    """Every merge method that mergekit registers, by name.

    Returns:
        For each `SEARCHED`, `SINGLE`, or why it cannot be had.

    Raises:
        ImportError: if mergekit is not installed.
    """
    return {method.spec.name: kind_of(method.spec) for method in mergekit().registered_methods()}


def takes_base(method: Any) -> bool:
    """Whether one of mergekit's methods takes a base, be it that it needs one or that it may."""
    return method.spec.contract.base in ("required", "optional")


def mergekit() -> Any:
    """The merge methods of mergekit, which is imported late: it takes seconds."""
    try:
        from mergekit import merge_methods
    except ImportError as error:
        raise ImportError(
            "merge methods need the package mergekit: pip install 'evomerge[llm]'"
        ) from error
    return merge_methods


def kind_of(spec: Any) -> str:
    """What a method is here, by what mergekit says that it takes."""
    # Its one ratio is no weight of an input, so it would count as a single child.
    if spec.name == "slerp":
        return (
            "mixes two models by one ratio: "
            "this is crossover with angle: tensor, over any number of seeds"
        )
    if spec.contract.max_inputs == 1:
        return "takes one model alone: there is nothing to merge"
    return SEARCHED if takes_weights(spec) else SINGLE
