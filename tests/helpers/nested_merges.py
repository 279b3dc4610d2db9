"""Nested merges done twice: as recipes, and on whole vectors of weights, mergekit's own slerp where the angle is a tensor's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mergekit.merge_methods.slerp import slerp

from evomerge.genome.crossover import Crossover, regions
from evomerge.genome.slerp import slerp_coefficients


def nested(
    population: Any, stored: Sequence[Mapping[str, torch.Tensor]], angle: str, splits: int = 3, births: int = 40,
    ratio: tuple[float, float] = (-0.2, 1.2),
) -> tuple[Any, dict[str, torch.Tensor]]:  # fmt: skip
    """A genome of so many nested merges, and the same merges done on the seeds' stored tensors, in float64."""
    axis, rng = population.axis, np.random.default_rng(3)
    whole = [
        torch.cat([state[name].double().reshape(-1) for name in axis.shapes]).numpy()
        for state in stored
    ]
    dense = whole if axis.order is None else [vector[axis.order] for vector in whole]
    genomes = population.founders(rng)
    crossover = Crossover(splits=splits, angle=angle, ratio=ratio)
    for _ in range(births):
        first, second = rng.choice(len(genomes), 2, replace=False)
        crossing = crossover.draw(axis, rng)
        genomes.append(genomes[first].cross(genomes[second], crossing, population))
        a, b, child = dense[first], dense[second], np.empty_like(dense[0])
        for region in regions(crossing, axis):
            of = slice(region.start, region.stop)
            for start, stop, w in region.parts:
                if angle == "tensor":
                    merged = slerp(
                        torch.tensor([w]),
                        torch.from_numpy(a[of])[None],
                        torch.from_numpy(b[of])[None],
                    )[0].numpy()
                    child[start:stop] = merged[start - region.start : stop - region.start]
                else:
                    one, two = slerp_coefficients(
                        w, a[of] @ a[of], a[of] @ b[of], b[of] @ b[of], angle
                    )
                    child[start:stop] = one * a[start:stop] + two * b[start:stop]
        dense.append(child)
        genomes, dense = genomes[-6:], dense[-6:]
    vector = dense[-1] if axis.order is None else dense[-1][np.argsort(axis.order)]
    parts = np.split(
        vector, np.cumsum([np.prod(shape, dtype=int) for shape in axis.shapes.values()])[:-1]
    )
    return genomes[-1], {
        n: torch.from_numpy(p.copy()).view(s)
        for (n, s), p in zip(axis.shapes.items(), parts, strict=True)
    }
