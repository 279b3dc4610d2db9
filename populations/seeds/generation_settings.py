"""Generation configs: what of a seed's generation_config.json holds for its members, and every seed's end tokens."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from populations.seeds.hub import Found
from populations.seeds.reading import read_json
from populations.seeds.settings import differences, flat, in_words

log = logging.getLogger(__name__)

NAME = "generation_config.json"
ENDS = "eos_token_id"
ASIDE = re.compile(r"_.*|transformers_version|.*_token_id|output_.*|return_dict.*|use_cache")
"""Entries in which generation configs may differ without a word: end tokens are combined, the rest changes no answer."""


LONGEST_REASON = 160
"""Characters of a reason that a message shows."""


def generation_config_of(
    seeds: Sequence[Found],
    configs: Sequence[Any],
    tokenizers: Sequence[Any],
    chosen: int,
    like: bool,
) -> Any:
    """The generation config of the members.

    Its end tokens are those of all seeds: each seed ends an answer in its own way, and is right to. The rest is
    one seed's.

    Args:
        seeds: K of them.
        configs: (K,) their models' configs, which count where a seed has no generation config.
        tokenizers: (K,) their tokenizers.
        chosen: whose generation config counts otherwise.
        like: whether the user has said so.

    Raises:
        ValueError: if a generation config cannot be read.
    """
    written = [_written(seed, config) for seed, config in zip(seeds, configs, strict=True)]
    names = [seed.name for seed in seeds]
    differing = differences(names, [_compared(own) for own in written])
    if differing and not like:
        log.warning(
            "seeds: their generation configs differ: %s; the members have that of %s (like names another)",
            in_words(differing),
            names[chosen],
        )
    settled = valid(written[chosen], str(seeds[chosen].folder / NAME))
    # The chosen seed's own end token comes first: some readers take the first for the only one.
    order = [chosen, *(place for place in range(len(seeds)) if place != chosen)]
    ends: list[int] = []
    for place in order:
        ends += _ends(
            written[place],
            tokenizers[place],
            names[place],
            configs[place].get_text_config().vocab_size,
        )
    ends = list(dict.fromkeys(ends))
    settled.eos_token_id = ends[0] if len(ends) == 1 else ends or None
    return settled


def valid(written: Mapping[str, Any], where: str) -> Any:
    """A generation config that transformers reads and saves again, without the entries that keep it from that.

    Args:
        written: the entries of a generation_config.json.
        where: its place, for the warning that names what is left out.
    """
    kept, left_out, first = dict(written), [], ""
    while (reason := _refusal(kept)) is not None:
        first = first or reason
        # The entry at fault is one without which the complaint is another one, or none; it is often named in it.
        without = {name: _refusal(_but(kept, name)) for name in kept}
        changing = [name for name in kept if without[name] != reason]
        solving = [name for name in changing if without[name] is None]
        named = [name for name in solving or changing if f"`{name}`" in reason]
        culprit = next(iter(named or solving or changing or kept))
        left_out.append(f"{culprit} ({kept.pop(culprit)!r})")
    if left_out:
        log.warning(
            "%s: left out, since transformers would not save it: %s; the rest is kept (%s)",
            where,
            ", ".join(left_out),
            first if len(first) <= LONGEST_REASON else first[: LONGEST_REASON - 3] + "...",
        )
    with _without_warnings():
        from transformers import GenerationConfig

        return GenerationConfig(**kept)


def _written(seed: Found, config: Any) -> dict[str, Any]:
    """The entries of a seed's generation config, or what its model's config says in the place of one."""
    path = next(
        (path for path in (seed.folder / NAME, seed.model_folder / NAME) if path.is_file()), None
    )
    if path is None:
        from transformers import GenerationConfig

        return GenerationConfig.from_model_config(config).to_diff_dict()
    try:
        return read_json(path)
    except ValueError as error:
        raise ValueError(f"seeds: {error}") from None


def _compared(written: Mapping[str, Any]) -> dict[str, Any]:
    entries = flat(written)
    return {name: value for name, value in entries.items() if not ASIDE.fullmatch(name)}


def _but(entries: Mapping[str, Any], left_out: str) -> dict[str, Any]:
    return {name: value for name, value in entries.items() if name != left_out}


def _ends(written: Mapping[str, Any], tokenizer: Any, name: str, tokens: int) -> list[int]:
    """The tokens that end an answer of one seed: its tokenizer's first, then its generation config's."""
    own = written.get(ENDS)
    listed = own if isinstance(own, list) else [own]
    whole = [end for end in listed if isinstance(end, int) and not isinstance(end, bool)]
    numbers = [end for end in whole if 0 <= end < tokens]
    strange = [end for end in listed if end is not None and end not in numbers]
    if strange:
        log.warning(
            "%s: %s: left out, since no token has such a number: %s",
            name,
            ENDS,
            ", ".join(map(repr, strange)),
        )
    return [end for end in (tokenizer.eos_token_id, *numbers) if end is not None]


def _refusal(entries: Mapping[str, Any]) -> str | None:
    """Why transformers does not read these entries, or would not save them again; None if it does both."""
    from transformers import GenerationConfig

    try:
        with _without_warnings():
            GenerationConfig(**entries).validate(strict=True)
    except Exception as error:  # ValueError, and whatever a comparison with a text raises
        return " ".join(str(error).split())
    return None


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without what transformers says of entries that are about to be left out."""
    from transformers.utils import logging as theirs

    before = theirs.get_verbosity()
    theirs.set_verbosity_error()
    try:
        yield
    finally:
        theirs.set_verbosity(before)
