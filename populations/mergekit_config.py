"""A recipe as a config of mergekit, where its splits fall between tensors: what `mergekit-yaml` makes the same weights of."""

from __future__ import annotations

from typing import Any

import torch
import yaml

from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from populations.seeds.adapters import Adapted
from populations.seeds.seeds import Seeds

NAME = "mergekit.yaml"


def config_text(genome: Recipe, axis: Axis, seeds: Seeds, dtype: torch.dtype) -> str | None:
    """The text of mergekit.yaml for a weighted sum of the seeds; its head is the command that runs it.

    Returns:
        None where mergekit cannot do the same: a split falls inside a tensor, or a seed lacks rows that others have.
    """
    lies = list(axis.placements(genome.bounds))
    if seeds.padded or any(len(placement.stretches) > 1 for placement in lies):
        return None
    rows = {
        alias: genome.coefficients[placement.stretches[0]]
        for placement in lies
        for alias in seeds.slots[placement.tensor].names
    }
    # mergekit takes the first filter that a tensor's name contains; longer names come first, so that none hides another
    longest_first = sorted(rows, key=len, reverse=True)
    inputs: dict[str, list[int]] = {}
    for k, source in enumerate(seeds.sources):  # one that is named twice is one input
        inputs.setdefault(source.name, []).append(k)
    models = []
    for model, ks in inputs.items():
        weights: list[dict[str, Any]] = [
            {"filter": name, "value": float(rows[name][ks].sum())} for name in longest_first
        ]
        rest = {
            "value": float(0 in ks)
        }  # a tensor that the recipe does not know is the first seed's
        models.append({"model": model, "parameters": {"weight": [*weights, rest]}})
    config = {
        "merge_method": "linear",
        "models": models,
        "parameters": {"normalize": False},
        "dtype": "float32",
        "out_dtype": str(dtype).removeprefix("torch."),
    }
    cache = (
        " --lora-merge-cache CACHE"
        if any(isinstance(source, Adapted) for source in seeds.sources)
        else ""
    )
    return f"# mergekit-yaml {NAME} OUT{cache}\n" + yaml.safe_dump(
        config, sort_keys=False, width=120
    )
