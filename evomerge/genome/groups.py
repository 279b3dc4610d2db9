"""Groups of parameters along an axis: what has one number of a search's vector, or as many as there are seeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple, get_args

import numpy as np

from evomerge.genome.axis import LAYER, Axis

if TYPE_CHECKING:
    pass

By = Literal["chromosome", "layer", "block", "tensor"]


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
        (m + 1,) int64 bounds of stretches, and (m,) the group that each belongs to, numbered by first appearance.

    Raises:
        ValueError: as `stretches`.
    """
    bounds, names = stretches(axis, by, layers)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return bounds, np.array([numbers[name] for name in names])


def stretches(
    axis: Axis, by: By, layers: int | None = None
) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """An axis in stretches of one name each.

    Args:
        axis: the axis.
        by: a group is a whole "chromosome"; a "layer", wherever its tensors lie (tensors whose names are alike up to the first part
            that is a number); a "block", what a chromosome has of a layer; or a "tensor".
        layers: so many layers that follow one another are one; what stands before the first (embeddings) counts as part of it, what
            stands behind the last (norm, head) as part of that, as in mergekit. None: each layer is one, and so is each tensor outside
            of all layers.

    Returns:
        (m + 1,) int64 bounds of stretches, and their m names, each by chromosome, by layer, by both or by tensor.

    Raises:
        ValueError: if a tensor does not lie in one piece, and each is to be a group; if layers are to be counted and there are none.
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
            tensor = block.parts[0].tensor
            chosen = {
                "chromosome": (chromosome.name,),
                "layer": (layer_of[tensor],),
                "block": (chromosome.name, layer_of[tensor]),
                "tensor": (tensor,),
            }[by]
            last += block.count
            end = int(units[last])
            if names and names[-1] == chosen:
                bounds[-1] = end
            else:
                names.append(chosen)
                bounds.append(end)
    return np.array(bounds, dtype=np.int64), names


def _layers(axis: Axis, together: int | None) -> dict[str, str]:
    """For each tensor the name of the layer, or of the run of layers, that it counts as part of."""
    found = {tensor: match[1] if (match := LAYER.match(tensor)) else None for tensor in axis.shapes}
    if together is None:
        return {tensor: layer or tensor for tensor, layer in found.items()}
    runs = {}
    for tensor, layer in found.items():
        stack, dot, number = (layer or "").rpartition(".")
        runs[tensor] = f"{stack}{dot}{int(number) // together}" if layer else None
    current = next((run for run in runs.values() if run), None)
    if current is None:
        raise ValueError("layers: no tensor's name has a number, so there are no layers to count")
    filled = {}
    for tensor, run in runs.items():
        filled[tensor] = current = run or current
    return filled


class Stretch(NamedTuple):
    """What a chromosome has of a layer: [start, stop) on the axis."""

    chromosome: str
    layer: str
    start: int
    stop: int


def stretches_along(axis: Axis) -> tuple[Stretch, ...]:
    """What lies where on an axis."""
    bounds, names = stretches(axis, "block")
    ends = zip(names, bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
    return tuple(
        Stretch(chromosome, layer, start, stop) for (chromosome, layer), start, stop in ends
    )
