"""A recipe as a config of mergekit, where its splits fall between tensors.

`mergekit-yaml` makes the same weights of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import yaml

from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from populations.seeds.adapters import Adapted
from populations.seeds.seeds import Seeds

NAME = "mergekit.yaml"


def config_text(genome: Recipe, axis: Axis, seeds: Seeds, dtype: torch.dtype) -> str | None:
    """The text of mergekit.yaml for a weighted sum of the seeds.

    Its head is the command that runs it.

    Returns:
        None where mergekit cannot do the same: a split falls inside a tensor, or a seed lacks rows
        that others have.
    """
    if seeds.padded:
        return None
    # A tied tensor has several names, and mergekit may meet it under any of them.
    weights: dict[str, np.ndarray] = {}
    for placement in axis.placements(genome.bounds):
        if len(placement.stretches) > 1:
            return None
        for name in seeds.slots[placement.tensor].names:
            weights[name] = genome.coefficients[placement.stretches[0]]  # (K,)
    config = {
        "merge_method": "linear",
        "models": _models(weights, [source.name for source in seeds.sources]),
        "parameters": {"normalize": False},
        "dtype": "float32",
        "out_dtype": str(dtype).removeprefix("torch."),
    }
    command = f"mergekit-yaml {NAME} OUT"
    # mergekit writes an adapter's base with the adapter folded in, and asks where to. In the
    # base's type it would round what no member has rounded.
    if any(isinstance(source, Adapted) for source in seeds.sources):
        command += " --lora-merge-cache CACHE --lora-merge-dtype float32"
    return f"# {command}\n" + yaml.safe_dump(config, sort_keys=False, width=120)


def _models(weights: Mapping[str, np.ndarray], sources: Sequence[str]) -> list[dict[str, Any]]:
    """The inputs of a merge, each with its weight for every tensor.

    Args:
        weights: by tensor the seeds' weights (K,).
        sources: the names of the K seeds.
    """
    # A seed that is named twice is one input of mergekit, with the sum of both weights.
    seeds_of: dict[str, list[int]] = {}
    for k, source in enumerate(sources):
        seeds_of.setdefault(source, []).append(k)
    # mergekit takes the first filter that a tensor's name contains. Longer names come first, so
    # that none hides another.
    longest_first = sorted(weights, key=len, reverse=True)
    models = []
    for source, seeds in seeds_of.items():
        entries: list[dict[str, Any]] = []
        for name in longest_first:
            entries.append({"filter": name, "value": float(weights[name][seeds].sum())})
        # A tensor that the recipe does not know is the first seed's.
        entries.append({"value": float(0 in seeds)})
        models.append({"model": source, "parameters": {"weight": entries}})
    return models
