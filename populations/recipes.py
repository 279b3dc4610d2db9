"""Recipes as files: one that evomerge rebuilds a member from, and, where splits fall between tensors, one for mergekit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml

from evomerge.axis import Axis, Lie
from evomerge.genome import Recipe
from populations.adapters import Adapted
from populations.methods import Method
from populations.seeds import Seeds

RECIPE = "recipe.json"
MERGEKIT = "mergekit.yaml"


def write(
    directory: Path,
    genome: Recipe,
    axis: Axis,
    seeds: Seeds,
    dtype: torch.dtype,
    method: Method | None = None,
    base: str | Path | None = None,
) -> None:
    """Writes recipe.json, and mergekit.yaml where mergekit can do the same.

    recipe.json names the seeds with the SHA-256 of their files, and gives for each tensor the dimension along which it is cut, the
    entries at which stretches begin and end, and for each stretch a coefficient for each seed. `dim` is null for a tensor that is
    cut as one flat vector.

    Args:
        directory: where to.
        genome: the member.
        axis: where each tensor lies.
        seeds: what it is made of.
        dtype: the type in which the member is saved.
        method: how they are merged; None: the sum of the weighted seeds.
        base: what the method takes differences to.
    """
    lies = list(axis.lie(genome.bounds))
    tensors = {
        lie.tensor: {"dim": lie.dim, "edges": lie.edges.tolist(), "coefficients": genome.coefficients[lie.stretches].tolist()}
        for lie in lies
    }
    named = [{"name": source.name, "sha256": digest} for source, digest in zip(seeds.sources, seeds.digests, strict=True)]
    how: dict[str, Any] = {}
    if method is not None:
        how = {"method": method.name, "parameters": method.parameters, "base": None if base is None else str(base)}
    recipe = {"seeds": named} | how | {"tensors": tensors}
    (directory / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n")
    whole = all(len(lie.stretches) == 1 for lie in lies)
    if method is None and whole and not seeds.padded:
        cache = " --lora-merge-cache CACHE" if any(isinstance(source, Adapted) for source in seeds.sources) else ""
        head = f"# mergekit-yaml {MERGEKIT} OUT{cache}\n"
        (directory / MERGEKIT).write_text(head + yaml.safe_dump(linear(lies, genome, seeds, dtype), sort_keys=False, width=120))


def linear(lies: list[Lie], genome: Recipe, seeds: Seeds, dtype: torch.dtype) -> dict[str, Any]:
    """A mergekit config that gives the same weights, added up in float32: `linear`, not normalised.

    mergekit takes the first filter that a tensor's name contains; longer names come first, so that none hides another. A tensor that
    the recipe does not know is the first seed's.
    """
    rows = {alias: genome.coefficients[lie.stretches[0]] for lie in lies for alias in seeds.slots[lie.tensor].names}
    longest_first = sorted(rows, key=len, reverse=True)
    inputs: dict[str, list[int]] = {}
    for k, source in enumerate(seeds.sources):  # one that is named twice is one input
        inputs.setdefault(source.name, []).append(k)
    models = []
    for model, ks in inputs.items():
        weights: list[dict[str, Any]] = [{"filter": name, "value": float(rows[name][ks].sum())} for name in longest_first]
        models.append({"model": model, "parameters": {"weight": [*weights, {"value": float(0 in ks)}]}})
    return {
        "merge_method": "linear",
        "models": models,
        "parameters": {"normalize": False},
        "dtype": "float32",
        "out_dtype": str(dtype).removeprefix("torch."),
    }
