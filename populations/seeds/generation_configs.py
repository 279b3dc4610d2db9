"""The members' generation config: one seed's settings, with the end tokens of all seeds."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from populations.seeds.differences import differences, flattened, in_words
from populations.seeds.json_files import read_json
from populations.seeds.language_seeds import LanguageSeed
from populations.seeds.library_logging import transformers_silenced

log = logging.getLogger(__name__)

NAME = "generation_config.json"
ENDS = "eos_token_id"
ASIDE = re.compile(r"_.*|transformers_version|.*_token_id|output_.*|return_dict.*|use_cache")
"""Entries in which generation configs may differ without a word.

End tokens are combined, and the rest changes no answer.
"""

LONGEST_REASON = 160
"""Characters of a reason that a message shows."""


def generation_config_of(
    seeds: Sequence[LanguageSeed],
    configs: Sequence[Any],
    tokenizers: Sequence[Any],
    chosen: int,
    like: bool,
) -> Any:
    """The generation config of the members.

    Its end tokens are those of all seeds: each seed ends an answer in its own way, and is right
    to. The rest is one seed's.

    Args:
        seeds: K of them.
        configs: (K,) their models' configs, which count where a seed has no generation config.
        tokenizers: (K,) their tokenizers.
        chosen: whose generation config counts otherwise.
        like: whether the user has said so.

    Raises:
        ValueError: if a generation config cannot be read.
    """
    written = [_read_entries(seed, config) for seed, config in zip(seeds, configs, strict=True)]
    names = [seed.name for seed in seeds]
    # Another temperature changes answers and not what a member knows, so this only warns.
    differing = differences(names, [_compared(entries) for entries in written])
    if differing and not like:
        log.warning(
            "seeds: their generation configs differ: %s; "
            "the members have that of %s (like names another)",
            in_words(differing),
            names[chosen],
        )
    settled = valid_generation_config(written[chosen], str(seeds[chosen].folder / NAME))
    # The chosen seed's end token comes first: some readers take the first for the only one.
    order = list(range(len(seeds)))
    order.remove(chosen)
    ends: list[int] = []
    for place in (chosen, *order):
        vocabulary = configs[place].get_text_config().vocab_size
        for end in _end_tokens(written[place], tokenizers[place], names[place], vocabulary):
            if end not in ends:
                ends.append(end)
    settled.eos_token_id = ends[0] if len(ends) == 1 else ends or None
    return settled


def valid_generation_config(written: Mapping[str, Any], where: str) -> Any:
    """A generation config that transformers reads and saves again.

    Entries that keep it from that are left out, with a warning.

    Args:
        written: the entries of a generation_config.json.
        where: its place, for the warning.
    """
    kept = dict(written)
    left_out = []
    first_reason = ""
    # transformers names one fault at a time, so one entry goes at a time.
    while (reason := _refusal(kept)) is not None:
        first_reason = first_reason or reason
        culprit = _culprit(kept, reason)
        left_out.append(f"{culprit} ({kept.pop(culprit)!r})")
    if left_out:
        # Some complaints explain every flag there is.
        if len(first_reason) > LONGEST_REASON:
            first_reason = first_reason[: LONGEST_REASON - 3] + "..."
        log.warning(
            "%s: left out, since transformers would not save it: %s; the rest is kept (%s)",
            where,
            ", ".join(left_out),
            first_reason,
        )
    with transformers_silenced():
        from transformers import GenerationConfig

        return GenerationConfig(**kept)


def _read_entries(seed: LanguageSeed, config: Any) -> dict[str, Any]:
    """The entries of a seed's generation config, or what its model's config says in its place.

    Raises:
        ValueError: if the file cannot be read.
    """
    # An adapter may have a generation config of its own beside its base's.
    for folder in (seed.folder, seed.model_folder):
        if (folder / NAME).is_file():
            try:
                return read_json(folder / NAME)
            except ValueError as error:
                raise ValueError(f"seeds: {error}") from None
    # Old models say in their config.json how they generate.
    from transformers import GenerationConfig

    return GenerationConfig.from_model_config(config).to_diff_dict()


def _compared(written: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a generation config in which seeds should not differ."""
    entries = flattened(written)
    return {name: value for name, value in entries.items() if not ASIDE.fullmatch(name)}


def _end_tokens(
    written: Mapping[str, Any], tokenizer: Any, name: str, vocabulary: int
) -> list[int]:
    """The tokens that end an answer of one seed.

    Args:
        written: the entries of its generation config.
        tokenizer: its tokenizer.
        name: its name, for the warning.
        vocabulary: rows of its embedding.

    Returns:
        Its tokenizer's end token first, then those of its generation config.
    """
    listed = written.get(ENDS)
    # The file may have one number or a list of them.
    if not isinstance(listed, list):
        listed = [listed]
    numbers = []
    for end in listed:
        # True is an int in Python, and no token.
        if isinstance(end, int) and not isinstance(end, bool) and 0 <= end < vocabulary:
            numbers.append(end)
    strange = [repr(end) for end in listed if end is not None and end not in numbers]
    if strange:
        log.warning(
            "%s: %s: left out, since no token has such a number: %s",
            name,
            ENDS,
            ", ".join(strange),
        )
    if tokenizer.eos_token_id is None:
        return numbers
    return [tokenizer.eos_token_id, *numbers]


def _culprit(entries: Mapping[str, Any], reason: str) -> str:
    """The entry at fault where transformers refuses some entries.

    Args:
        entries: by name; at least one.
        reason: why they are refused.

    Returns:
        One without which the complaint is another one, or better none; among several, one that
        the complaint names.
    """
    changing = []
    solving = []
    for name in entries:
        # Leaving an entry out shows whether the complaint depends on it.
        without = {other: value for other, value in entries.items() if other != name}
        remaining = _refusal(without)
        if remaining != reason:
            changing.append(name)
        if remaining is None:
            solving.append(name)
    suspects = solving or changing
    for name in suspects:
        if f"`{name}`" in reason:
            return name
    return next(iter(suspects or entries))


def _refusal(entries: Mapping[str, Any]) -> str | None:
    """Why transformers does not read or save entries; None if it does both."""
    from transformers import GenerationConfig

    try:
        with transformers_silenced():
            GenerationConfig(**entries).validate(strict=True)
    except Exception as error:
        # A ValueError as a rule, but a comparison with a text raises other kinds.
        return " ".join(str(error).split())
    return None
