"""The members' config: one that fits all seeds of a language model, or why there is none.

The configs tell whether the seeds are of one architecture, before a weight is read.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, Literal

from populations.seeds.config_settings import (
    IDLE,
    POSITIONS,
    STRUCTURE,
    TOKENS,
    config_settings,
    positions_only_limit,
    with_values,
)
from populations.seeds.differences import (
    Difference,
    differences,
    in_words,
    last_part,
    refuse_differences,
)
from populations.seeds.json_files import CONFIG, read_json
from populations.seeds.language_files import read_config
from populations.seeds.language_seeds import LanguageSeed

log = logging.getLogger(__name__)

Vocabulary = Literal["strict", "trailing"]


def config_of(
    seeds: Sequence[LanguageSeed],
    vocabulary: Vocabulary,
    trust_remote_code: bool,
    like: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[Any, LanguageSeed, list[Any]]:
    """The members' config.

    Args:
        seeds: K of them.
        vocabulary: whether seeds may lack the last rows of the embedding.
        trust_remote_code: whether code that comes with a seed may run.
        like: whose settings count where the seeds differ; None: nobody said.
        given: values by the names of config.json, in the place of the seeds'.

    Returns:
        The config; the seed whose files the resident model is made from, which is the first with
        the largest vocabulary; and each seed's own config.

    Raises:
        ImportError: if transformers is not installed.
        ValueError: if a config cannot be read, the seeds are not of one architecture, not of one
            size of vocabulary, or differ in what the model computes by, and nobody said whose
            counts.
    """
    configs = [read_config(seed.model_folder, trust_remote_code) for seed in seeds]
    if given:
        configs = _with_given_values(seeds, configs, given)
    # The seed with the most rows has those of all tokens.
    sizes = [config.get_text_config().vocab_size for config in configs]
    largest = sizes.index(max(sizes))
    names = [seed.name for seed in seeds]
    # The coarsest difference comes first, since it explains the finer ones.
    _check_architecture(names, configs)
    if vocabulary == "strict":
        _check_sizes(names, sizes)
    whose = largest if like is None else like
    limit = _check_settings(names, configs, whose, decided=like is not None)
    # `like` may name a seed with fewer tokens or positions than the members need.
    members = deepcopy(configs[whose])
    text = members.get_text_config()
    text.vocab_size = max(sizes)
    if limit is not None:
        text.max_position_embeddings = limit
    return members, seeds[largest], configs


def _with_given_values(
    seeds: Sequence[LanguageSeed], configs: Sequence[Any], given: Mapping[str, Any]
) -> list[Any]:
    """The seeds' configs, each with the user's values in it."""
    files = [read_json(seed.model_folder / CONFIG) for seed in seeds]
    # A name that one seed's file has is known for all of them.
    known: set[str] = set().union(*files)
    changed = []
    for file, config in zip(files, configs, strict=True):
        changed.append(with_values(file, config, given, known))
    return changed


def _check_architecture(names: Sequence[str], configs: Sequence[Any]) -> None:
    """Refuses seeds that are not of one architecture.

    Raises:
        ValueError: if they are not.
    """
    config = configs[0]
    for name, other in zip(names, configs, strict=True):
        # A config that names no class leaves it open.
        both_named = config.architectures and other.architectures
        other_class = both_named and config.architectures != other.architectures
        if other.model_type != config.model_type or other_class:
            raise ValueError(
                f"seeds: expected one architecture; {names[0]} is {config.model_type} "
                f"{config.architectures}, {name} is {other.model_type} {other.architectures}"
            )


def _check_sizes(names: Sequence[str], sizes: Sequence[int]) -> None:
    """Refuses seeds whose embeddings have more and fewer rows.

    Raises:
        ValueError: if they have.
    """
    if len(set(sizes)) > 1:
        counts = [f"{name} {size:,}" for name, size in zip(names, sizes, strict=True)]
        raise ValueError(
            f"seeds: expected one size of vocabulary, got {', '.join(counts)} "
            "(vocabulary: trailing takes added rows from those that have them)"
        )


def _check_settings(
    names: Sequence[str], configs: Sequence[Any], whose: int, *, decided: bool
) -> int | None:
    """Refuses what is computed otherwise and nobody decided; says what else differs.

    Args:
        names: of the K seeds.
        configs: (K,) theirs.
        whose: the seed whose settings the members have.
        decided: whether the user has said so.

    Returns:
        The number of positions where each seed has another one, and nothing else depends on it;
        otherwise None.

    Raises:
        ValueError: if they are of two architectures, or nobody said whose settings count.
    """
    settings = [config_settings(config) for config in configs]
    differing = _differing(names, settings)
    # The user knows that the seeds differ, and has chosen.
    if decided:
        if differing:
            log.info(
                "seeds: they differ in %s; the members have what %s has, as like says",
                in_words(differing),
                names[whose],
            )
        return None
    # Limits are combined, tokens only lead to a warning, and the rest is refused.
    limits: list[Difference] = []
    tokens: list[Difference] = []
    refused: list[Difference] = []
    # A longer limit takes nothing from a seed with a shorter one, unless it is computed with.
    combinable = all(map(positions_only_limit, settings))
    for difference in differing:
        setting = last_part(difference.setting)
        if setting == POSITIONS and combinable:
            limits.append(difference)
        elif TOKENS.fullmatch(setting):
            tokens.append(difference)
        else:
            refused.append(difference)
    refuse_differences(
        refused, "what a model computes with the same weights", ", or give a value with config"
    )
    if tokens:
        log.warning(
            "seeds: they differ in %s; the members have what %s has (like names another)",
            in_words(tokens),
            names[whose],
        )
    if not limits:
        return None
    limit = _largest(limits)
    log.warning(
        "seeds: %s; the members read up to %d (like takes one seed's)", in_words(limits), limit
    )
    return limit


def _differing(names: Sequence[str], settings: Sequence[dict[str, Any]]) -> list[Difference]:
    """The differences that have to be settled here.

    Raises:
        ValueError: if the seeds are of two architectures.
    """
    structure = []
    differing = []
    for difference in differences(names, settings):
        setting = last_part(difference.setting)
        if IDLE.fullmatch(setting):
            continue
        if STRUCTURE.fullmatch(setting):
            structure.append(difference)
        # End tokens are combined in `generation_configs`, and are nobody's to choose.
        if setting != "eos_token_id":
            differing.append(difference)
    # No setting of the user's could make these one model.
    if structure:
        raise ValueError(f"seeds: expected one architecture; {in_words(structure)}")
    return differing


def _largest(limits: Sequence[Difference]) -> int:
    """The largest of the numbers in which seeds differ."""
    numbers: list[int] = []
    for difference in limits:
        for value in difference.values:
            # A seed may set no limit at all.
            if value is not None:
                numbers.append(value)
    return max(numbers)
