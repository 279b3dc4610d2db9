"""Recipes as files: one that evomerge rebuilds a member from, and, where splits fall between tensors, one for mergekit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from evomerge.axis import Axis, Lie
from evomerge.genome import Recipe
from populations.methods import Method
from populations.seeds import Seeds

RECIPE = "recipe.json"
MERGEKIT = "mergekit.yaml"


def write(
    directory: Path, genome: Recipe, axis: Axis, seeds: Seeds, method: Method | None = None, base: str | Path | None = None
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
        method: how they are merged; None: the sum of the weighted seeds.
        base: what the method takes differences to.
    """
    lies = list(axis.lie(genome.bounds))
    tensors = {
        lie.tensor: {"dim": lie.dim, "edges": lie.edges.tolist(), "coefficients": genome.coefficients[lie.stretches].tolist()}
        for lie in lies
    }
    named = [{"name": source.name, "sha256": digest} for source, digest in zip(seeds.sources, seeds.digests, strict=True)]
    how = (
        {}
        if method is None
        else {"method": method.name, "parameters": method.parameters, "base": None if base is None else str(base)}
    )
    recipe = {"seeds": named} | how | {"tensors": tensors}
    (directory / RECIPE).write_text(json.dumps(recipe, indent=1) + "\n")
    whole = all(len(lie.stretches) == 1 for lie in lies)
    alike = (
        len({source.entries[name].shape for source in seeds.sources for name in seeds.trailing if name in source.entries}) <= 1
    )
    if method is None and whole and alike:
        (directory / MERGEKIT).write_text(yaml.safe_dump(linear(lies, genome, seeds), sort_keys=False, width=120))


def linear(lies: list[Lie], genome: Recipe, seeds: Seeds) -> dict[str, Any]:
    """A mergekit config that gives the same weights, added up in float32: `linear`, not normalised.

    mergekit takes the first filter that a tensor's name contains; longer names come first, so that none hides another.
    """
    weights = {lie.tensor: genome.coefficients[lie.stretches[0]] for lie in lies}
    longest_first = sorted(weights, key=len, reverse=True)
    first = next(iter(seeds.sources[0].entries.values()))
    models = [
        {
            "model": source.name,
            "parameters": {"weight": [{"filter": name, "value": float(weights[name][k])} for name in longest_first]},
        }
        for k, source in enumerate(seeds.sources)
    ]
    return {
        "merge_method": "linear",
        "models": models,
        "parameters": {"normalize": False},
        "dtype": "float32",
        "out_dtype": str(first.dtype).removeprefix("torch."),
    }
