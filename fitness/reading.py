"""What text encoders read of prompts: which are cut at their limit, and which are alike up to it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

log = logging.getLogger(__name__)

FEW = 3
"""Prompts that a warning names."""

ENDLESS = 1 << 20
"""Tokenizers that say so many tokens, or more, have no limit."""


@dataclass(frozen=True)
class Reader:
    """One that reads prompts.

    Attributes:
        name: what messages call it.
        tokenizer: of transformers.
        limit: the tokens that it reads, those that mark start and end among them.
    """

    name: str
    tokenizer: Any
    limit: int

    def tokens(self, prompts: Sequence[str]) -> list[list[int]]:
        """The tokens of each prompt, those too that are not read."""
        tokens: list[list[int]] = self.tokenizer(
            list(prompts), truncation=True, max_length=ENDLESS
        )["input_ids"]
        return tokens

    def read(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """What is read of a prompt, without the mark at its end, for which there is always room."""
        end = self.tokenizer.eos_token_id
        marked = bool(tokens) and tokens[-1] == end
        return tuple(tokens[: -1 if marked else None][: self.limit - marked])


def readers(pipeline: Any, options: Mapping[str, Any] | None = None) -> list[Reader]:
    """The text encoders of a pipeline of diffusers, with their limits.

    Args:
        pipeline: the pipeline; one with code of its own may read prompts in pieces, and has none that we know.
        options: what its call is given beside the prompt.
    """
    if not type(pipeline).__module__.startswith("diffusers."):
        return []
    call = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    given = (options or {}).get("max_sequence_length", call.default if call is not None else None)
    known = []
    for name, tokenizer in pipeline.components.items():
        encoder = pipeline.components.get(name.replace("tokenizer", "text_encoder"))
        if not name.startswith("tokenizer") or tokenizer is None or encoder is None:
            continue
        # CLIP has positions for so many; the others are told how many by the call
        clip = str(getattr(encoder.config, "model_type", "")).startswith("clip")
        limit = tokenizer.model_max_length if clip or not isinstance(given, int) else given
        if limit < ENDLESS:
            known.append(Reader(name.replace("tokenizer", "text_encoder"), tokenizer, int(limit)))
    return known


def warn(
    prompts: Sequence[str], read_by: Sequence[Reader], where: Callable[[int], str], what: str
) -> None:
    """Says which prompts are cut, and which become alike by it.

    Args:
        prompts: the texts.
        read_by: those that read them.
        where: names a prompt by its place.
        what: what the prompts are, such as "of train".
    """
    limits: dict[int, list[Reader]] = {}
    for reader in read_by:
        limits.setdefault(reader.limit, []).append(reader)
    places: dict[str, int] = {}
    for place, text in enumerate(prompts):
        places.setdefault(text, place)
    texts = list(places)
    cut: set[str] = set()
    kept: dict[str, tuple[Any, ...]] = dict.fromkeys(texts, ())
    for limit, several in limits.items():
        lengths: dict[str, int] = {}
        for reader in several:
            for text, tokens in zip(texts, reader.tokens(texts), strict=True):
                kept[text] = (*kept[text], reader.read(tokens))
                if len(tokens) > limit:
                    lengths[text] = max(lengths.get(text, 0), len(tokens))
        cut |= lengths.keys()
        if lengths:
            names = " and ".join(reader.name for reader in several)
            few = [
                f"{where(places[text])} has {count}" for text, count in list(lengths.items())[:FEW]
            ]
            rest = f" and {len(lengths) - FEW:,} more" if len(lengths) > FEW else ""
            log.warning(
                "%d of %d different prompts %s are cut at the %d tokens that %s can read: %s%s",
                *(len(lengths), len(texts), what, limit, names, ", ".join(few), rest),
            )
    _warn_of_alike(
        [text for text in texts if text in cut],
        kept,
        lambda text: where(places[text]),
        what,
        max(limits, default=0),
    )


def _warn_of_alike(
    cut: Sequence[str],
    kept: Mapping[str, tuple[Any, ...]],
    where: Callable[[str], str],
    what: str,
    limit: int,
) -> None:
    """Says which prompts no reader tells apart, for all that is cut."""
    alike: dict[tuple[Any, ...], list[str]] = {kept[text]: [] for text in cut}
    for text, key in kept.items():
        if key in alike:
            alike[key].append(text)
    groups = [texts for texts in alike.values() if len(texts) > 1]
    if groups:
        few = ["; ".join(" and ".join(map(where, texts[:FEW])) for texts in groups[:FEW])]
        log.warning(
            "%d different prompts %s are alike in the %d tokens that are read of them: %s%s",
            *(sum(map(len, groups)), what, limit, few[0], " and more" if len(groups) > FEW else ""),
        )
