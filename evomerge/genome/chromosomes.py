"""Which chromosome a tensor belongs to, by regular expressions on its name."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evomerge.genome.blocks import Block, Chromosome, Shapes, some_names, tensor_block

REST = "rest"
"""The last chromosome: the tensors that belong to no other."""

ALL = "all"
"""The only chromosome, where no others are asked for."""


def by_name(shapes: Shapes, expressions: Mapping[str, str], *, by_input: bool) -> list[Chromosome]:
    """Chromosomes of whole tensors.

    Args:
        shapes: the shape of every tensor, in order.
        expressions: chromosome to regular expression, as for `Axis.flat`.
        by_input: whether a tensor's second dimension is outermost.

    Raises:
        ValueError: if an expression is not a regular expression, or matches no tensor.
    """
    patterns = _compiled(expressions)
    # The chromosomes that are asked for come first, in their order, wherever their tensors lie.
    blocks: dict[str, list[Block]] = {name: [] for name in patterns}
    for tensor, shape in shapes.items():
        block = tensor_block(tensor, shape, by_input=by_input)
        blocks.setdefault(_first_match(tensor, patterns), []).append(block)
    for name, members in blocks.items():
        if not members:
            raise ValueError(
                f"chromosomes.{name}: no tensor's name matches {patterns[name].pattern!r}; "
                f"{some_names(shapes)}"
            )
    # Without others, "rest" would be the rest of nothing.
    if not patterns:
        blocks = {ALL: blocks[REST]}
    return [Chromosome(name, tuple(members)) for name, members in blocks.items()]


def _compiled(expressions: Mapping[str, str]) -> dict[str, re.Pattern[str]]:
    """The expressions of chromosomes, ready for use."""
    patterns = {}
    for name, expression in expressions.items():
        try:
            patterns[name] = re.compile(expression)
        except re.error as error:
            raise ValueError(
                f"chromosomes.{name}: {expression!r} is not a regular expression ({error})"
            ) from None
    return patterns


def _first_match(tensor: str, patterns: Mapping[str, re.Pattern[str]]) -> str:
    """The first chromosome whose expression is found in a tensor's name, or the last one."""
    # Expressions may overlap; the order of the config decides.
    for name, pattern in patterns.items():
        if pattern.search(tensor):
            return name
    return REST
