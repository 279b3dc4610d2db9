"""What a fitness says of its datapoints: how many there are, what each weighs, which groups they form."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from evomerge.contracts import Grouped
from evomerge.errors import reason

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    pass


def groups_of(fitness: Any, split: str, size: int) -> dict[str, np.ndarray]:
    """A fitness's groups of datapoints of one split, as (n,) int64 indices by name; nothing where it has none, or, with a warning, cannot tell."""
    if not size or not isinstance(fitness, Grouped):
        return {}
    try:
        found = {
            str(name): np.asarray(datapoints).astype(np.int64, casting="safe")
            for name, datapoints in fitness.groups(split).items()
        }
        for name, datapoints in found.items():
            if datapoints.ndim != 1 or (
                datapoints.size and not 0 <= datapoints.min() <= datapoints.max() < size
            ):
                raise ValueError(f"{name!r}: expected indices from 0 to {size - 1}")
    except Exception as error:
        log.warning("groups(%r) of the fitness are left out: %s", split, reason(error))
        return {}
    return found


def groups(fitness: Any, sizes: Mapping[str, int]) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """A fitness's groups, as `Founding` has them, and their names; nothing where it has none, or cannot tell.

    Args:
        fitness: the fitness.
        sizes: datapoints by split.
    """
    found = {split: of for split, size in sizes.items() if (of := groups_of(fitness, split, size))}
    names = tuple(dict.fromkeys(name for of in found.values() for name in of))
    codes = {split: np.full(sizes[split], -1, dtype=np.int64) for split in found}
    for split, of in found.items():
        for name, datapoints in reversed(of.items()):
            codes[split][datapoints] = names.index(name)
    return codes, names
