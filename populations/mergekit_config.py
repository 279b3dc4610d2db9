"""A recipe as a config of mergekit, where its splits fall between tensors.

`mergekit-yaml` makes the same weights of it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import yaml

from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from populations.seeds.adapters import Adapted
from populations.seeds.hub import Remote
from populations.seeds.seeds import Seeds

NAME = "mergekit.yaml"


def config_text(
    genome: Recipe, axis: Axis, seeds: Seeds, dtype: torch.dtype, *, trust_remote_code: bool = False
) -> str | None:
    """The text of mergekit.yaml for a weighted sum of the seeds.

    Its head is the command that runs it, in the folder where it lies or in any other: folders have
    their whole paths.

    Args:
        genome: the coefficients.
        axis: what they are along.
        seeds: the seeds; folders may be named from the working directory.
        dtype: of the model that mergekit writes.
        trust_remote_code: whether code that comes with a seed may run.

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
        "models": _models(weights, [_reference(source) for source in seeds.sources]),
        "parameters": {"normalize": False},
        "dtype": "float32",
        "out_dtype": str(dtype).removeprefix("torch."),
    }
    command = f"mergekit-yaml {NAME} OUT"
    # mergekit writes an adapter's base with the adapter folded in, and asks where to. In the type
    # of the base, that would round each of them once more.
    if any(isinstance(source, Adapted) for source in seeds.sources):
        command += " --lora-merge-cache CACHE --lora-merge-dtype float32"
    if trust_remote_code:
        command += " --trust-remote-code"
    return f"# {command}\n" + yaml.safe_dump(config, sort_keys=False, width=120)


def _reference(source: Any) -> Any:
    """What mergekit calls a seed: a text, or its parts where a path would be read as several.

    Args:
        source: a `Checkpoint`, or an adapter over one.
    """
    model = source
    adapter = ""
    if isinstance(source, Adapted):
        model = source.base
        adapter = os.path.abspath(source.folder)
    # What is on the hub has one name everywhere; a folder's may be one of the working directory.
    if isinstance(model, Remote):
        path, folders = model.name, adapter
        parts: dict[str, Any] = {"model": path}
    else:
        path = os.path.abspath(model.folder)
        folders = path + adapter
        parts = {"model": {"path": path}}
    # To mergekit, + parts an adapter from its base, and @ a revision from a repository.
    if "+" in folders or "@" in folders:
        if adapter:
            parts["lora"] = {"path": adapter}
        return parts
    if adapter:
        return f"{path}+{adapter}"
    return path


def _models(weights: Mapping[str, np.ndarray], sources: Sequence[Any]) -> list[dict[str, Any]]:
    """The inputs of a merge, each with its weight for every tensor.

    Args:
        weights: by tensor the seeds' weights (K,).
        sources: what mergekit calls the K seeds.
    """
    # A seed that is named twice is one input of mergekit, with the sum of both weights.
    seeds_of: dict[str, list[int]] = {}
    for k, source in enumerate(sources):
        seeds_of.setdefault(str(source), []).append(k)
    # mergekit takes the first filter that a tensor's name contains. Longer names come first, so
    # that none hides another.
    longest_first = sorted(weights, key=len, reverse=True)
    models = []
    for seeds in seeds_of.values():
        entries: list[dict[str, Any]] = []
        for name in longest_first:
            entries.append({"filter": name, "value": float(weights[name][seeds].sum())})
        # A tensor that the recipe does not know is the first seed's.
        entries.append({"value": float(0 in seeds)})
        models.append({"model": sources[seeds[0]], "parameters": {"weight": entries}})
    return models
