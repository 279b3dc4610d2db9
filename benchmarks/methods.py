"""Seconds of a child by mergekit's methods that trim or drop: all of it at each birth, or task vectors kept.

    python benchmarks/methods.py BASE SEED SEED ... --methods ties dare_ties --density 0.5

The base is a folder of a language model, each seed such a folder or one of a LoRA adapter on it. "Anew" is the whole
method at each birth, as with `seed_device: disk`. "First" is the birth at which task vectors are made, and "kept" is
every later one. Both ways have to give the same weights, to the bit. With `--searched` each child has a density of its own,
up to the one given: then differences from the base are kept, and for what trims by size their order.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from evomerge.genome.recipe import Recipe
from populations.llm import LanguageModels
from populations.methods import Method
from populations.seeds.checkpoints import ADAPTER_CONFIG


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("base")
    parser.add_argument("seeds", nargs="+")
    parser.add_argument("--methods", nargs="+", default=["ties", "dare_ties"])
    parser.add_argument("--density", type=float, default=0.5)
    parser.add_argument("--searched", action="store_true", help="density is searched")
    parser.add_argument("--children", type=int, default=3, help="children of each way")
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()

    print("| method | type | anew | first | kept | anew / kept | vectors |")
    print("|---|---|---|---|---|---|---|")
    adapted = any((Path(seed) / ADAPTER_CONFIG).exists() for seed in options.seeds)
    density: float | dict[str, float] = options.density
    if options.searched:
        density = {"from": options.density / 2, "to": options.density}
    for name in options.methods:
        seconds = {}
        models = {}
        for place in ("disk", "auto"):
            population = LanguageModels(
                options.seeds,
                base=options.base,
                adapter_base=options.base if adapted else None,
                method=Method(name, {"density": density}),
                dtype=options.dtype,
                device=options.device,
                seed_device=place,
            )
            seconds[place], models[place] = children_of(population, options.children)
        for key, tensor in models["disk"].items():
            same = torch.equal(tensor.view(torch.uint8), models["auto"][key].view(torch.uint8))
            assert same, f"{name}: {key} differs between both ways"
        size = sum(tensor.numel() * tensor.element_size() for tensor in models["auto"].values())
        anew = min(seconds["disk"])
        first, *rest = seconds["auto"]
        print(
            f"| {name} | {options.dtype} | {anew:.2f} s | {first:.2f} s | {min(rest):.2f} s | "
            f"{anew / min(rest):.1f} | {len(options.seeds) * size / 1e9:.2f} GB |",
            flush=True,
        )


def children_of(
    population: LanguageModels, count: int
) -> tuple[list[float], dict[str, torch.Tensor]]:
    """Expresses one child more than asked for, each with other weights.

    Returns:
        The seconds of each, and the tensors of the last one.
    """
    # What is loaded once for a run is no part of a birth.
    _ = population._slots
    size, seeds = population.axis.size, len(population.seeds)
    bounds = np.array([0, size])
    assert population.method is not None
    searched = len(population.method.ranges)
    rng = np.random.default_rng(0)
    seconds = []
    for _ in range(count + 1):
        genome = Recipe(bounds, rng.uniform(0, 1, (1, seeds)), rng.uniform(0, 1, searched))
        start = time.perf_counter()
        population.express(genome)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds, {name: slot.detach().clone() for name, slot in population._slots.items()}


if __name__ == "__main__":
    main()
