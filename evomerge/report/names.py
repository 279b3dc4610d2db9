"""What founders are called in a report: after their seeds, as short as tells them apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evomerge.config.targets import TARGET


def founder_names(call: Mapping[str, Any], founders: Sequence[Mapping[str, Any]]) -> list[str]:
    """A name for each founder: its seed's, where the config names a seed for each; else its number.

    Args:
        call: the call that made the run, as data.
        founders: the log's lines of the founders.
    """
    population = call.get("population")
    if isinstance(population, dict):
        seeds = population.get("seeds")
        if isinstance(seeds, list) and len(seeds) == len(founders):
            paths = [_path(seed) for seed in seeds]
            if None not in paths:
                return _numbered(_shortest([str(path) for path in paths]))
    return [f"founder {entry['founder']}" for entry in founders]


def _path(seed: Any) -> str | None:
    """A seed's path, or in its place the name by which a call makes it; None if there is neither.

    >>> _path({"_target_": "populations.smollm.adapter", "name": "sums"})
    'sums'
    """
    if isinstance(seed, dict) and TARGET in seed:
        seed = seed.get("name")
    return seed if isinstance(seed, str) else None


def _shortest(paths: list[str]) -> list[str]:
    """The last parts of paths, as few as tell them all apart."""
    parts = [path.removesuffix(".safetensors").strip("/").split("/") for path in paths]
    deepest = max(map(len, parts))
    # Hub names have two parts, and the last is what people say; folders may be many parts deep.
    for kept in range(1, deepest + 1):
        names = ["/".join(each[-kept:]) for each in parts]
        if len(set(names)) == len(names):
            return names
    # Two seeds are the same one.
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
        told_apart.append(f"{name} ({seen[name]})" if counts[name] > 1 else name)
    return told_apart
