"""Stretches of the parameter axis by name: what a chromosome, a layer or a tensor has of it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evomerge.axis import LAYER, Axis

By = Literal["chromosome", "layer", "block", "tensor"]


def stretches(axis: Axis, by: By) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """The axis in stretches of one name each.

    Args:
        axis: the axis.
        by: what has a name: a whole "chromosome"; a "layer", tensors whose names are alike up to the first part that is a number; a
            "block", what a chromosome has of a layer, named by both; or a "tensor".

    Returns:
        (m + 1,) int64 bounds, and the m names; one that comes again is another stretch of the same.

    Raises:
        ValueError: if a tensor does not lie in one piece, and each is to have a name.
    """
    names: list[tuple[str, ...]] = []
    bounds = [0]
    for chromosome, units in zip(axis.chromosomes, axis.unit_bounds, strict=True):
        last = 0
        for block in chromosome.blocks:
            if by == "tensor" and len(block.parts) > 1:
                raise ValueError("by: 'tensor' needs a flat axis, on the unit axis tensors lie unit by unit")
            tensor = block.parts[0].tensor
            found = LAYER.match(tensor)
            layer = found[1] if found else tensor
            chosen = {
                "chromosome": (chromosome.name,),
                "layer": (layer,),
                "block": (chromosome.name, layer),
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


def groups(axis: Axis, by: By) -> tuple[np.ndarray, np.ndarray]:
    """Groups of parameters along an axis: stretches of one name are one group, wherever they lie.

    Returns:
        (m + 1,) int64 bounds of stretches, and (m,) the group that each belongs to, numbered by first appearance.

    Raises:
        ValueError: as `stretches`.
    """
    bounds, names = stretches(axis, by)
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return bounds, np.array([numbers[name] for name in names])
