"""Which tensors of a layer work together, named by patterns.

They are attention heads, MLP units and channels of convolutions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evomerge.genome.axis import Axis
from evomerge.genome.layers import Layer

LAYER = re.compile(r"(.*\.\d+)\.")
"""A name up to the last of its parts that is a number."""


@dataclass(frozen=True)
class Units:
    """Which tensors of a layer belong to the same units, as regular expressions over their names.

    Attributes:
        rows: tensors whose rows (incoming weights, biases) belong to the units.
        columns: matrices whose columns (outgoing weights) do.
        count: how many units a layer has, or the name of that number in the architecture; None:
            one for each column.
        halves: those of the rows that hold every unit twice, first all gates and then all values,
            where they have twice as many.
    """

    rows: str
    columns: str
    count: int | str | None = None
    halves: str | None = None

    def __post_init__(self) -> None:
        # Said here, a mistake in a pattern has the name of its setting.
        for name in ("rows", "columns", "halves"):
            try:
                re.compile(getattr(self, name) or "")
            except re.error as error:
                raise ValueError(
                    f"{name}: {getattr(self, name)!r} is not a regular expression ({error})"
                ) from None
        if isinstance(self.count, int) and self.count < 1:
            raise ValueError(f"count: expected at least 1, got {self.count}")

    def match_any(self, names: Iterable[str]) -> bool:
        """Whether any tensor belongs to such units."""
        return any(re.search(self.rows, name) for name in names)

    def by_layer(self, names: Sequence[str]) -> list[tuple[list[str], list[str]]]:
        """For each layer the tensors whose rows, and those whose columns, belong to its units.

        A layer's tensors have the same name up to the last part before the expression's match that
        is a number.

        Raises:
            ValueError: if there is no such layer, or one has only the one or the other.
        """
        # By the layer's name, the matches of `rows` and of `columns`.
        layers: dict[str, tuple[list[str], list[str]]] = {}
        for name in names:
            for place, pattern in enumerate((self.rows, self.columns)):
                layer = _layer_of(name, pattern)
                if layer is not None:
                    layers.setdefault(layer, ([], []))[place].append(name)
        # Rows without columns would tear units apart: half of each would stay with one parent.
        for layer, (rows, columns) in layers.items():
            for pattern, matches in ((self.rows, rows), (self.columns, columns)):
                if not matches:
                    here = ", ".join([name for name in names if name.startswith(f"{layer}.")])
                    raise ValueError(
                        f"units: no tensor of {layer} matches {pattern!r}; "
                        f"name the units of this architecture; there are {here}"
                    )
        if not layers:
            few = ", ".join(names[:6])
            raise ValueError(
                f"units: no tensor of a layer matches {self.rows!r}; "
                f"name the units of this architecture; its tensors are {few} ..."
            )
        return list(layers.values())


LLAMA = (
    Units(
        r"self_attn\.[qkv]_proj\.(weight|bias)$",
        r"self_attn\.o_proj\.weight$",
        "num_key_value_heads",
    ),
    Units(r"mlp\.(gate|up)_proj\.(weight|bias)$", r"mlp\.down_proj\.weight$"),
)
"""Decoders such as Llama, Mistral, Qwen: attention heads and MLP units.

With grouped queries, a unit is the group of heads that share a key.
"""

DENOISER = (
    Units(r"attn1\.to_[qkv]\.(weight|bias)$", r"attn1\.to_out\.0\.weight$", "heads"),
    Units(r"attn2\.to_[qkv]\.(weight|bias)$", r"attn2\.to_out\.0\.weight$", "heads"),
    Units(r"ff\.net\.0\.proj\.(weight|bias)$", r"ff\.net\.2\.weight$", halves="proj"),
    Units(
        r"(?<=resnets\.\d\.)(conv1|time_emb_proj|norm2)\.(weight|bias)$",
        r"(?<=resnets\.\d\.)conv2\.weight$",
        halves="time_emb_proj",
    ),
    Units(
        r"attn\.(to_[qkv]|add_[qkv]_proj)\.(weight|bias)$",
        r"attn\.(to_out\.0|to_add_out)\.weight$",
        "heads",
    ),
    Units(
        r"ff_context\.net\.0\.proj\.(weight|bias)$", r"ff_context\.net\.2\.weight$", halves="proj"
    ),
)
"""Denoisers of diffusers, U-Nets and transformers.

Their units are attention heads, MLP units and the hidden channels of residual blocks.
"""


def unit_axis(
    shapes: Mapping[str, tuple[int, ...]], units: Sequence[Units], number: Callable[[str, str], Any]
) -> Axis:
    """The axis that lays each unit's tensors together.

    Args:
        shapes: the shape of every tensor, in order.
        units: groups of units, each in every layer that has it.
        number: the number of a name that the architecture has for the layer of a tensor; None if
            it has none.

    Raises:
        ValueError: if a group does not fit the tensors or the architecture.
    """
    layers = []
    for group in units:
        for rows, columns in group.by_layer(list(shapes)):
            # Architectures call the number of heads differently, so a group may give its name.
            count = group.count
            if isinstance(count, str):
                count = number(count, rows[0])
                if not isinstance(count, int):
                    raise ValueError(
                        f"units: the model has no number {group.count!r} for {rows[0]}"
                    )
            twice = _held_twice(group, rows, shapes[columns[0]], shapes)
            layers.append(Layer(tuple(rows), tuple(columns), count, twice))
    return Axis.unit(shapes, layers)


def _held_twice(
    group: Units,
    rows: Sequence[str],
    outgoing: tuple[int, ...],
    shapes: Mapping[str, tuple[int, ...]],
) -> frozenset[str]:
    """Those of a layer's rows that hold every unit twice.

    Args:
        group: whose `halves` says which may.
        rows: the names of the tensors whose rows belong to the units.
        outgoing: the shape of a matrix whose columns do.
        shapes: the shape of every tensor.
    """
    if not group.halves or len(outgoing) < 2:
        return frozenset()
    # The same module has gates in one architecture and none in another: the size tells.
    width = outgoing[1]
    twice = set()
    for name in rows:
        if re.search(group.halves, name) and shapes[name][:1] == (2 * width,):
            twice.add(name)
    return frozenset(twice)


def _layer_of(name: str, pattern: str) -> str | None:
    """The layer of a tensor that a pattern names, None if it does not name it."""
    match = re.search(pattern, name)
    if match is None:
        return None
    layer = LAYER.match(name[: match.start()])
    return None if layer is None else layer[1]
