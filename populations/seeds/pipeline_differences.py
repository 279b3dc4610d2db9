"""In what the seeds' pipelines differ beside what is bred: one line for each, with whose is used and how to say so."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from math import prod

import torch

from populations.seeds.checkpoints import Checkpoint
from populations.seeds.libraries import silenced
from populations.seeds.pipeline_kin import CLASS, differing, prediction, same, schedule, settings
from populations.seeds.pipelines import CHECKER, CONFIG, SCHEDULER, Pipeline

CONFIGS = (CONFIG, f"{SCHEDULER}_config.json", "preprocessor_config.json")

PROBE = "A photo of 3 RED cats, café-style; naïve & déjà vu: 日本 (masterpiece:1.2)"
"""A text in which tokenizers differ, if they do."""

UNSTORED = re.compile(r".*position_ids")
"""Tensors that files of old versions have, and new ones have not."""

UNUSED = (CHECKER, "feature_extractor")
"""Components that nothing is drawn with."""

SILENT = {"requires_safety_checker", "add_watermarker"}
"""Settings of a whole pipeline that change nothing of what it draws."""


def told(
    seeds: Sequence[Pipeline],
    whole: Pipeline,
    used: Mapping[str, Pipeline],
    chosen: Collection[str],
    bred: Collection[str],
    variant: str | None,
) -> list[str]:
    """What is to be said of seeds that are not alike in what is not bred.

    Args:
        seeds: all of them.
        whole: the pipeline that the resident one is made from.
        used: by the name of each component that is not bred, whose is used.
        chosen: the components of which the user said whose they are.
        bred: the components that are bred.
        variant: which set of weights is read.

    Returns:
        A line for each component that differs, and for each default of the pipeline's.

    Raises:
        ValueError: if a file cannot be read.
    """
    lines = []
    for name, mine in used.items():
        apart = {} if name in chosen else _apart(seeds, mine, name, variant)
        if apart:
            said = "; ".join(f"{seeds[place].name} has {why}" for place, why in apart.items())
            fitting = [place for place in apart if takes(mine, seeds[place], name)]
            ways = " or ".join(f"{{{name}: {place}}}" for place in (seeds.index(mine), *fitting))
            lines.append(
                f"{name}: all members use that of {mine.name}; {said} (components: {ways} says whose)"
            )
    for seed in seeds:
        more = [
            name for name in seed.components if name not in whole.components and name not in UNUSED
        ]
        lines += [
            f"{name}: no member has one, as {whole.name} has none; {seed.name} has one"
            for name in more
        ]
    for name in bred:
        lines += _sizes_apart(seeds, whole, name)
    return [*lines, *_defaults_apart(seeds, whole), *_unsaid(seeds, whole)]


def takes(mine: Pipeline, other: Pipeline, name: str) -> bool:
    """Whether a pipeline can have a component of another's: of the same class, or where classes stand in for each other."""
    theirs = other.components.get(name)
    return theirs is not None and (
        theirs == mine.components[name] or name.startswith((SCHEDULER, "tokenizer"))
    )


def _apart(
    seeds: Sequence[Pipeline], mine: Pipeline, name: str, variant: str | None
) -> dict[int, str]:
    """By the place of each seed whose component differs from the one that is used: in what."""
    why = {
        place: differences(mine, seed, name, variant)
        for place, seed in enumerate(seeds)
        if seed is not mine
    }
    return {place: words for place, words in why.items() if words is not None}


def _sizes_apart(seeds: Sequence[Pipeline], whole: Pipeline, name: str) -> list[str]:
    """Where denoisers have other sizes of pictures for a default."""
    mine, lines = whole.config(name).get("sample_size"), []
    for seed in seeds:
        size = seed.config(name).get("sample_size")
        if not same(size, mine):
            lines.append(
                f"{name}: sample_size is {mine} in {whole.name} and {size} in {seed.name}; without a height and width of the fitness's, "
                f"pictures are as large as those of {whole.name}"
            )
    return lines


def _defaults_apart(seeds: Sequence[Pipeline], whole: Pipeline) -> list[str]:
    """Where whole pipelines have other settings of their own, such as what stands for an empty prompt."""
    lines = []
    for seed in seeds:
        keys = {
            key
            for key in seed.index.keys() | whole.index.keys()
            if not key.startswith("_") and key not in SILENT
        }
        for key in sorted(keys) if seed.kind else ():
            one, two = whole.index.get(key), seed.index.get(key)
            plain = not isinstance(one, list | type(None)) or not isinstance(two, list | type(None))
            if plain and not same(one, two):
                lines.append(
                    f"{key}: all members use that of {whole.name}, {one}; in {seed.name} it is {two}"
                )
    return lines


def _unsaid(seeds: Sequence[Pipeline], whole: Pipeline) -> list[str]:
    """Where nothing says what a denoiser predicts."""
    config = schedule(whole)
    silent = [seed.name for seed in seeds if seed is not whole and schedule(seed) is None]
    if config is None or not silent:
        return []
    return [
        f"{', '.join(silent)}: without a scheduler of its own, taken to predict {prediction(config)}, as {whole.name} does"
    ]


def has_config(seed: Pipeline, component: str) -> bool:
    """Whether a seed has a component with a config."""
    return (seed.folder / component / CONFIG).is_file()


def differences(mine: Pipeline, other: Pipeline, component: str, variant: str | None) -> str | None:
    """In what a component that is not bred differs between two seeds, in words; None if in nothing, or one of them is no pipeline.

    Weights are compared to the end only where everything else is the same.

    Raises:
        ValueError: if a file cannot be read.
    """
    one, two = mine.components.get(component), other.components.get(component)
    if not other.kind or component == CHECKER:
        return None
    if one is None or two is None:
        return "none" if two is None else "one"
    if component.startswith("tokenizer"):
        return _words_apart(mine, other, component)
    for file in CONFIGS:
        paths = [(seed.folder / component / file).is_file() for seed in (mine, other)]
        if not all(paths):
            continue
        a, b = settings(mine.config(component, file)), settings(other.config(component, file))
        keys = sorted(differing(a, b))
        if keys:
            first = CLASS if CLASS in keys else keys[0]
            rest = f" (and {len(keys) - 1} more)" if len(keys) > 1 and first != CLASS else ""
            return f"{first} {b.get(first)} instead of {a.get(first)}{rest}"
    if not has_config(mine, component) or not has_config(other, component):
        return None
    return _weights_apart(mine, other, component, variant)


def _words_apart(mine: Pipeline, other: Pipeline, component: str) -> str | None:
    if any(
        seed.components[component][0] != "transformers" for seed in (mine, other)
    ):  # of code of their own
        return None if mine.digest(component) == other.digest(component) else "other files"
    one, two = (seed.load(component, torch.float32, None) for seed in (mine, other))
    counts = len(one.get_vocab()), len(two.get_vocab())
    if one.get_vocab() != two.get_vocab():
        return (
            f"{counts[1]:,} tokens instead of {counts[0]:,}"
            if counts[0] != counts[1]
            else "other tokens"
        )
    if one.model_max_length != two.model_max_length:
        return f"model_max_length {two.model_max_length} instead of {one.model_max_length}"
    with silenced():
        apart = one(PROBE, padding="max_length", max_length=64) != two(
            PROBE, padding="max_length", max_length=64
        )
    return "other tokens for the same text" if apart else None


def _weights_apart(
    mine: Pipeline, other: Pipeline, component: str, variant: str | None
) -> str | None:
    try:
        one, two = mine.weights(component, variant), other.weights(component, variant)
    except FileNotFoundError:
        return "weights that are not here to be compared"
    shapes = [
        {name: e.shape for name, e in part.entries.items() if not UNSTORED.fullmatch(name)}
        for part in (one, two)
    ]
    if shapes[0] != shapes[1]:
        return "tensors of other names or shapes"
    if [path.resolve() for path in one.files] == [path.resolve() for path in two.files]:
        return None
    if not all(path.is_file() for path in (*one.files, *two.files)):
        hashes = mine.hashes(one), other.hashes(two)
        if None in hashes:
            return "weights that are not here to be compared"
        return None if hashes[0] == hashes[1] else "other weights"
    # small tensors first: of a tuned model these differ as well, and the first that does ends it
    names = sorted(shapes[0], key=lambda name: (prod(shapes[0][name]), name))
    return None if all(_equal(one, two, name) for name in names) else "other weights"


def _equal(one: Checkpoint, two: Checkpoint, name: str) -> bool:
    """Whether a tensor is the same in both, in the type of fewer bits where they have two."""
    a, b = one.tensor(name), two.tensor(name)
    if a.dtype != b.dtype:
        a, b = (a.to(b.dtype), b) if b.dtype.itemsize < a.dtype.itemsize else (a, b.to(a.dtype))
    return torch.equal(a, b)
