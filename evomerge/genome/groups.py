"""Groups of parameters along an axis: chromosomes, layers, blocks or tensors.

A search over coefficients has one number, or as many as there are seeds, for each group. A report
shows what a member has of each seed, `Stretch` by `Stretch`.
"""

from __future__ import annotations

from typing import Literal, NamedTuple, get_args

import numpy as np

from evomerge.genome.axis import Axis
from evomerge.genome.layers import layer_name

By = Literal["chromosome", "layer", "block", "tensor"]


class Stretch(NamedTuple):
    """What a chromosome has of a layer: [start, stop) on the axis."""

    chromosome: str
    layer: str
    start: int
    stop: int


def stretches_along(axis: Axis) -> tuple[Stretch, ...]:
    """What lies where on an axis, in its order."""
    bounds, names = stretches(axis, "block")
    along = []
    for (chromosome, layer), start, stop in zip(
        names, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True
    ):
        along.append(Stretch(chromosome, layer, start, stop))
    return tuple(along)


def check_groups(by: By, layers: int | None) -> None:
    """Checks settings of `groups`.

    Raises:
        ValueError: if one is out of its range.
    """
    if by not in get_args(By):
        raise ValueError(f"by: expected one of {get_args(By)}, got {by!r}")
    if layers is not None and layers < 1:
        raise ValueError(f"layers: expected a number of at least 1, got {layers}")
    if layers is not None and by not in ("layer", "block"):
        raise ValueError(f"layers: expected by: 'layer' or 'block' beside it, got {by!r}")


def groups(axis: Axis, by: By, layers: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Groups of parameters along an axis: stretches of one name are one group, wherever they lie.

    Args: as `stretches`.

    Returns:
        (m + 1,) int64 bounds of stretches, and (m,) the group that each belongs to, numbered by
        first appearance.

    Raises:
        ValueError: as `stretches`.
    """
    bounds, names = stretches(axis, by, layers)
    # A layer lies in several stretches where chromosomes take its tensors apart.
    numbers: dict[tuple[str, ...], int] = {}
    members = []
    for name in names:
        if name not in numbers:
            numbers[name] = len(numbers)
        members.append(numbers[name])
    return bounds, np.array(members)


def stretches(
    axis: Axis, by: By, layers: int | None = None
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """An axis in stretches of one name each.

    Args:
        axis: the axis.
        by: a group is a whole "chromosome"; a "layer", wherever its tensors lie (tensors whose
            names are alike up to the first part that is a number); a "block", what a chromosome has
            of a layer; or a "tensor".
        layers: so many layers that follow one another are one. What stands before the first
            (embeddings) counts as part of it, and what stands behind the last (norm, head) as part
            of that, as in mergekit. None: each layer is one, and so is each tensor outside of all
            layers.

    Returns:
        (m + 1,) int64 bounds of stretches, and their m names, each by chromosome, by layer, by both
        or by tensor.

    Raises:
        ValueError: if a tensor does not lie in one piece, and each is to be a group; if layers are
            to be counted and there are none.
    """
    layer_of = _layers(axis, layers)
    names: list[tuple[str, ...]] = []
    bounds = [0]
    for chromosome, units in zip(axis.chromosomes, axis.unit_bounds, strict=True):
        last = 0
        for block in chromosome.blocks:
            if by == "tensor" and len(block.parts) > 1:
                raise ValueError(
                    "by: 'tensor' needs a flat axis, on the unit axis tensors lie unit by unit"
                )
            # Where tensors lie unit by unit, a block counts as part of its first tensor's layer.
            tensor = block.parts[0].tensor
            name_by: dict[By, tuple[str, ...]] = {
                "chromosome": (chromosome.name,),
                "layer": (layer_of[tensor],),
                "block": (chromosome.name, layer_of[tensor]),
                "tensor": (tensor,),
            }
            name = name_by[by]
            last += block.count
            end = int(units[last])
            # A block of the same name as the one before makes its stretch longer.
            if names and names[-1] == name:
                bounds[-1] = end
            else:
                names.append(name)
                bounds.append(end)
    return np.array(bounds, dtype=np.int64), names


def _layers(axis: Axis, together: int | None) -> dict[str, str]:
    """For each tensor the name of the layer, or of the run of layers, that it counts as part of.

    Args:
        axis: the axis.
        together: how many layers make a run; None if each is one.
    """
    layers = {tensor: layer_name(tensor) for tensor in axis.shapes}
    if together is None:
        # A tensor outside of all layers is a layer of its own.
        return {tensor: layer or tensor for tensor, layer in layers.items()}
    runs = [_run(layer, together) for layer in layers.values()]
    current = next((run for run in runs if run), None)
    if current is None:
        raise ValueError("layers: no tensor's name has a number, so there are no layers to count")
    # Embeddings come before every layer and count with the first one; all else outside of layers
    # counts with the one before.
    counted = {}
    for tensor, run in zip(layers, runs, strict=True):
        current = run or current
        counted[tensor] = current
    return counted


def _run(layer: str | None, together: int) -> str | None:
    """The run of layers that a layer belongs to ("layers.7" by 4: "layers.1"), None without one."""
    if layer is None:
        return None
    stack, dot, number = layer.rpartition(".")
    return f"{stack}{dot}{int(number) // together}"
