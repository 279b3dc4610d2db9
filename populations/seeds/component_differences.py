"""In what one component differs between two pipelines, in words: settings, tokens or weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from pathlib import Path

import torch

from populations.seeds.checkpoints import Checkpoint
from populations.seeds.json_files import CONFIG
from populations.seeds.library_logging import silenced
from populations.seeds.pipeline_folders import CHECKER, SCHEDULER_CONFIG
from populations.seeds.pipeline_settings import CLASS, component_settings, differing_settings
from populations.seeds.pipelines import Pipeline

CONFIGS = (CONFIG, SCHEDULER_CONFIG, "preprocessor_config.json")

PROBE = "A photo of 3 RED cats, café-style; naïve & déjà vu: 日本 (masterpiece:1.2)"
"""A text in which tokenizers differ, if they do."""

UNSTORED = re.compile(r".*position_ids")
"""Tensors that files of old versions have, and new ones have not."""

NOT_HERE = "weights that are not here to be compared"
OTHER_WEIGHTS = "other weights"


def difference_in_words(
    mine: Pipeline, other: Pipeline, component: str, variant: str | None
) -> str | None:
    """In what a component that is not bred differs between two seeds.

    Weights are compared to the end only where everything else is the same.

    Args:
        mine: the pipeline whose component is used; it has one.
        other: the other one.
        component: its name.
        variant: which set of weights is read.

    Returns:
        What the other has, in words; None if there is no difference, or one of them is no
        pipeline.

    Raises:
        ValueError: if a file cannot be read.
    """
    if not other.kind or component == CHECKER:
        return None
    if component not in other.components:
        return "none"
    if component not in mine.components:
        return "one"
    if component.startswith("tokenizer"):
        return _tokenizer_difference(mine, other, component)
    for file in CONFIGS:
        if mine.has_config(component, file) and other.has_config(component, file):
            clause = _settings_difference(mine, other, component, file)
            if clause is not None:
                return clause
    # A scheduler has no more than its settings.
    if not mine.has_config(component) or not other.has_config(component):
        return None
    return _weights_difference(mine, other, component, variant)


def _settings_difference(mine: Pipeline, other: Pipeline, component: str, file: str) -> str | None:
    """In what the settings of a component differ: its class, or the first and how many more."""
    expected = component_settings(mine.config(component, file))
    settings = component_settings(other.config(component, file))
    unlike = sorted(differing_settings(expected, settings))
    if not unlike:
        return None
    # Two classes differ in many settings, none of which says more than the class.
    if CLASS in unlike:
        return f"{CLASS} {settings.get(CLASS)} instead of {expected.get(CLASS)}"
    first, *more = unlike
    rest = ""
    if more:
        rest = f" (and {len(more)} more)"
    return f"{first} {settings.get(first)} instead of {expected.get(first)}{rest}"


def _tokenizer_difference(mine: Pipeline, other: Pipeline, component: str) -> str | None:
    """In what tokenizers differ, by what they make of a text."""
    for seed in (mine, other):
        # A tokenizer of a pipeline's own code is not loaded here, so its files are compared.
        if seed.components[component][0] != "transformers":
            if mine.digest(component) == other.digest(component):
                return None
            return "other files"
    one = mine.load(component, torch.float32, None)
    two = other.load(component, torch.float32, None)
    if one.get_vocab() != two.get_vocab():
        expected = len(one.get_vocab())
        count = len(two.get_vocab())
        if count != expected:
            return f"{count:,} tokens instead of {expected:,}"
        return "other tokens"
    if one.model_max_length != two.model_max_length:
        return f"model_max_length {two.model_max_length} instead of {one.model_max_length}"
    with silenced():
        tokens = one(PROBE, padding="max_length", max_length=64)
        other_tokens = two(PROBE, padding="max_length", max_length=64)
    if tokens != other_tokens:
        return "other tokens for the same text"
    return None


def _weights_difference(
    mine: Pipeline, other: Pipeline, component: str, variant: str | None
) -> str | None:
    """In what the weights of a component differ: headers first, then files, then numbers."""
    try:
        one = mine.weights(component, variant)
        two = other.weights(component, variant)
    except FileNotFoundError:
        return NOT_HERE
    shapes = _stored_shapes(one)
    if shapes != _stored_shapes(two):
        return "tensors of other names or shapes"
    if _resolved(one.files) == _resolved(two.files):
        return None
    # What is on the hub alone is compared by the hub's digests, so that nothing is downloaded.
    if not all(path.is_file() for path in (*one.files, *two.files)):
        hashes = mine.hashes(one)
        other_hashes = other.hashes(two)
        if hashes is None or other_hashes is None:
            return NOT_HERE
        return None if hashes == other_hashes else OTHER_WEIGHTS
    # Small tensors come first: in a tuned model they differ as well, and the first that does
    # spares the reading of the rest.
    for name in sorted(shapes, key=lambda name: (prod(shapes[name]), name)):
        if not _equal(one.tensor(name), two.tensor(name)):
            return OTHER_WEIGHTS
    return None


def _stored_shapes(checkpoint: Checkpoint) -> dict[str, tuple[int, ...]]:
    """The shapes of a checkpoint's tensors, without those that some versions do not store."""
    shapes = {}
    for name, entry in checkpoint.entries.items():
        if not UNSTORED.fullmatch(name):
            shapes[name] = entry.shape
    return shapes


def _resolved(paths: Iterable[Path]) -> list[Path]:
    """Paths without links: two snapshots of the hub's cache may have one file."""
    return [path.resolve() for path in paths]


def _equal(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two tensors are the same, in the type of fewer bits where they have two."""
    if two.dtype.itemsize < one.dtype.itemsize:
        one = one.to(two.dtype)
    elif one.dtype != two.dtype:
        two = two.to(one.dtype)
    return torch.equal(one, two)
