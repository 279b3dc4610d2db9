"""How many datapoints a model reads at once: what a tile leaves of the batch of each part."""

from __future__ import annotations

import math
from collections.abc import Mapping

from evomerge.contracts import Batched, BatchedParts, can
from evomerge.datapoints import groups_of
from evomerge.run.parts import Parts


def batch_line(parts: Parts) -> str | None:
    """How many datapoints of the training split a model reads at once, in words.

    A tile has datapoints of every part of a combined fitness, the scarcest of all of them, and each
    part reads its own alone. So a model reads no more of a part than are in a tile, on average.

    Returns:
        None where the fitness does not say how many it would read.
    """
    size, fitness = parts.sizes["train"], parts.fitness
    # Tiles are evened out, so most are smaller than the setting says.
    tile = size / math.ceil(size / parts.settings.tile)
    if can(fitness, BatchedParts):
        groups = groups_of(fitness, "train", size)
        counts = {name: len(datapoints) for name, datapoints in groups.items()}
        batches: Mapping[str, int] = fitness.batches()
    elif can(fitness, Batched):
        counts, batches = {"": size}, {"": fitness.batch}
    else:
        return None
    texts = []
    cut = False
    for name, batch in batches.items():
        if not counts.get(name):
            continue
        wanted = min(batch, counts[name])
        there = math.ceil(tile * counts[name] / size)
        text = f"{name} {min(wanted, there)}".strip()
        if there < wanted:
            cut = True
            text += f" of {wanted}"
        texts.append(text)
    if not texts:
        return None
    line = f"batch        {', '.join(texts)} datapoints at once"
    if cut:
        line += f"; a tile of {math.ceil(tile):,} has no more, a larger `tile` has"
    return line
