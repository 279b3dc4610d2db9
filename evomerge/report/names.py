"""What founders are called in a report: after their seeds, as short as tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any


def founder_names(call: Mapping[str, Any], founders: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each founder: its seed's, where the config names a seed for each; else its number.

    Args:
        call: the call that made the run, as data.
        founders: the log's lines of the founders.
    """
    population = call.get("population")
    if isinstance(population, dict):
        seeds = population.get("seeds")
        if isinstance(seeds, list) and len(seeds) == len(founders) and _are_paths(seeds):
            return _numbered(_shortest(seeds))
    return [f"founder {entry['founder']}" for entry in founders]


def _are_paths(seeds: Sequence[Any]) -> bool:
    """Whether all seeds are paths; an object of a population of its own has none."""
    return all(isinstance(seed, str) for seed in seeds)


def _shortest(paths: list[str]) -> list[str]:
    """The last parts of paths, as few as tell those apart that are not the same."""
    different = len(set(paths))
    parts = [path.removesuffix(".safetensors").strip("/").split("/") for path in paths]
    deepest = max(map(len, parts))
    # Hub names have two parts, and the last is what people say; folders may be many parts deep.
    for kept in range(1, deepest + 1):
        names = ["/".join(each[-kept:]) for each in parts]
        if len(set(names)) == different:
            return names
    # Two are written in two ways, such as with a slash at the end.
    return names


def _numbered(names: list[str]) -> list[str]:
    """Names of which some are alike, these with numbers from 1.

    >>> _numbered(["math", "code", "math"])
    ['math (1)', 'code', 'math (2)']
    """
    counts = Counter(names)
    seen: Counter[str] = Counter()
    told_apart = []
    for name in names:
        seen[name] += 1
        if counts[name] > 1:
            name = f"{name} ({seen[name]})"
        told_apart.append(name)
    return told_apart
