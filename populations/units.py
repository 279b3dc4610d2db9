"""Which tensors of a transformer work together: attention heads and MLP units, named by patterns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge.axis import LAYER, Axis


@dataclass(frozen=True)
class Units:
    """Which tensors of a layer belong to the same units, as regular expressions over their names.

    Attributes:
        rows: tensors whose rows (incoming weights, biases) belong to the units.
        columns: matrices whose columns (outgoing weights) do.
        count: how many units a layer has, or the name of that number in the model's config; None: one for each row.
    """

    rows: str
    columns: str
    count: int | str | None = None

    def __post_init__(self) -> None:
        for name in ("rows", "columns"):
            try:
                re.compile(getattr(self, name))
            except re.error as error:
                raise ValueError(f"{name}: {getattr(self, name)!r} is not a regular expression ({error})") from None
        if isinstance(self.count, int) and self.count < 1:
            raise ValueError(f"count: expected at least 1, got {self.count}")

    def by_layer(self, names: Sequence[str]) -> list[tuple[list[str], list[str]]]:
        """For each layer the tensors whose rows, and those whose columns, belong to its units.

        Raises:
            ValueError: if there is no such layer, or one has only the one or the other.
        """
        layers: dict[str, tuple[list[str], list[str]]] = {}
        for name in names:
            match = LAYER.match(name)
            for place, pattern in enumerate((self.rows, self.columns)):
                if match and re.search(pattern, name):
                    layers.setdefault(match[1], ([], []))[place].append(name)
        for layer, found in layers.items():
            for pattern, tensors in zip((self.rows, self.columns), found, strict=True):
                if not tensors:
                    here = ", ".join(name for name in names if name.startswith(f"{layer}."))
                    raise ValueError(
                        f"units: no tensor of {layer} matches {pattern!r}; name the units of this architecture; there are {here}"
                    )
        if not layers:
            few = ", ".join(names[:6])
            raise ValueError(
                f"units: no tensor of a layer matches {self.rows!r}; name the units of this architecture; its tensors are {few} ..."
            )
        return list(layers.values())


LLAMA = (
    Units(r"self_attn\.[qkv]_proj\.(weight|bias)$", r"self_attn\.o_proj\.weight$", "num_key_value_heads"),
    Units(r"mlp\.(gate|up)_proj\.(weight|bias)$", r"mlp\.down_proj\.weight$"),
)
"""Decoders such as Llama, Mistral, Qwen: attention heads (with grouped queries, the group) and MLP units."""


def unit_axis(shapes: Mapping[str, tuple[int, ...]], units: Sequence[Units], config: Any) -> Axis:
    """The axis that lays each unit's tensors together.

    Args:
        shapes: the shape of every tensor, in order.
        units: groups of units, each in every layer that has it.
        config: the model's, for numbers that a group names.

    Raises:
        ValueError: if a group does not fit the tensors or the config.
    """
    layers, counts = [], []
    for group in units:
        count = getattr(config, group.count, None) if isinstance(group.count, str) else group.count
        if isinstance(group.count, str) and not isinstance(count, int):
            raise ValueError(f"units: the model's config has no number {group.count!r}")
        for found in group.by_layer(list(shapes)):
            layers.append(found)
            counts.append(count)
    return Axis.unit(shapes, layers, counts)
