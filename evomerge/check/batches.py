"""How many datapoints a model reads at once: what a tile leaves of the batch of each part."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from evomerge.archives.tiling import BatchedGroup
from evomerge.contracts import Batched, can
from evomerge.datapoints import batched_groups
from evomerge.run.parts import Parts


def batch_line(parts: Parts) -> str | None:
    """How many datapoints of the training split a model reads at once, in words.

    A tile has whole batches of the parts of a combined fitness, where it is as large as a batch.

    Returns:
        None where the fitness does not say how many it would read.
    """
    size, fitness = parts.sizes["train"], parts.fitness
    groups = batched_groups(fitness, "train", size)
    if not groups and can(fitness, Batched):
        groups = [BatchedGroup("", np.arange(size), fitness.batch)]
    if not groups:
        return None
    tiles = parts.tiling(0, np.arange(size)).tiles
    texts = []
    cut = False
    for group in groups:
        wanted = min(group.batch, len(group.datapoints))
        counts = _counts(tiles, group)
        text = f"{group.name} {min(wanted, max(counts))}".strip()
        # Batches that are evened out are smaller, and no more of them.
        calls = sum(math.ceil(count / group.batch) for count in counts)
        if calls > math.ceil(len(group.datapoints) / group.batch):
            cut = True
            text += f" of {wanted}"
        texts.append(text)
    line = f"batch        {', '.join(texts)} datapoints at once"
    if cut:
        line += f"; a tile of {max(map(len, tiles)):,} has no more, a larger `tile` has"
    return line


def _counts(tiles: Sequence[np.ndarray], group: BatchedGroup) -> list[int]:
    """How many of a group each tile has."""
    return [int(np.isin(tile, group.datapoints).sum()) for tile in tiles]
