"""What text encoders read of prompts: which are cut at a limit, and which are alike up to it."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fitness.contracts import can

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
        # asked for no truncation, a tokenizer warns of each prompt that is longer than its model
        tokens: list[list[int]] = self.tokenizer(
            list(prompts), truncation=True, max_length=ENDLESS
        )["input_ids"]
        return tokens

    def read(self, tokens: Sequence[int]) -> tuple[int, ...]:
        """What is read of a prompt, without the mark at its end, for which there is always room."""
        room = self.limit
        if tokens and tokens[-1] == self.tokenizer.eos_token_id:
            tokens = tokens[:-1]
            room -= 1
        return tuple(tokens[:room])


class ReadsPrompts(Protocol):
    """A judge that reads the prompts, and so may cut them."""

    @property
    def reader(self) -> Reader:
        """What reads them."""


class HasComponents(Protocol):
    """A pipeline that says of which models and tokenizers it is made."""

    @property
    def components(self) -> Mapping[str, Any]:
        """Models and tokenizers by their names."""


def readers(pipeline: Any, options: Mapping[str, Any] | None = None) -> list[Reader]:
    """The text encoders of a pipeline of diffusers, with their limits.

    Args:
        pipeline: the pipeline. One with code of its own may read prompts in pieces, and has none
            that we know.
        options: what its call is given beside the prompt.
    """
    if not type(pipeline).__module__.startswith("diffusers."):
        return []
    # a part of a pipeline may have been given in its place, which the painter refuses
    if not can(pipeline, HasComponents):
        return []
    # Flux and Stable Diffusion 3 have T5 read as many tokens as their call says
    length = _sequence_length(pipeline, options or {})
    known = []
    for name, tokenizer in pipeline.components.items():
        # a pipeline may lack what it does not need, such as the third encoder of Stable Diffusion 3
        encoder_name = name.replace("tokenizer", "text_encoder")
        encoder = pipeline.components.get(encoder_name)
        if not name.startswith("tokenizer") or tokenizer is None or encoder is None:
            continue
        # CLIP has positions for so many; for the others the call sets the number
        limit = tokenizer.model_max_length
        is_clip = str(getattr(encoder.config, "model_type", "")).startswith("clip")
        if not is_clip and isinstance(length, int):
            limit = length
        if limit < ENDLESS:
            known.append(Reader(encoder_name, tokenizer, int(limit)))
    return known


def warn(
    prompts: Sequence[str],
    read_by: Sequence[Reader],
    where: Callable[[int], str],
    description: str,
) -> None:
    """Says which prompts are cut, and which become alike by it.

    Args:
        prompts: the texts.
        read_by: those that read them.
        where: names a prompt by its place.
        description: what the prompts are, such as "of train".
    """
    by_limit: dict[int, list[Reader]] = {}
    for reader in read_by:
        by_limit.setdefault(reader.limit, []).append(reader)
    # a prompt that comes again is named by its first place, and counts once
    places: dict[str, int] = {}
    for place, text in enumerate(prompts):
        places.setdefault(text, place)
    texts = list(places)
    cut: set[str] = set()
    kept: dict[str, tuple[Any, ...]] = dict.fromkeys(texts, ())
    for limit, several in by_limit.items():
        lengths: dict[str, int] = {}
        for reader in several:
            for text, tokens in zip(texts, reader.tokens(texts), strict=True):
                kept[text] = (*kept[text], reader.read(tokens))
                if len(tokens) > limit:
                    lengths[text] = max(lengths.get(text, 0), len(tokens))
        # one line for all encoders of one limit, which often share their tokenizer
        cut |= lengths.keys()
        if lengths:
            few = []
            for text, count in list(lengths.items())[:FEW]:
                few.append(f"{where(places[text])} has {count}")
            rest = ""
            if len(lengths) > FEW:
                rest = f" and {len(lengths) - FEW:,} more"
            log.warning(
                "%d of %d different prompts %s are cut at the %d tokens that %s can read: %s%s",
                len(lengths),
                len(texts),
                description,
                limit,
                " and ".join(reader.name for reader in several),
                ", ".join(few),
                rest,
            )
    _warn_of_alike(
        [text for text in texts if text in cut],
        kept,
        lambda text: where(places[text]),
        description,
        max(by_limit, default=0),
    )


def _sequence_length(pipeline: Any, options: Mapping[str, Any]) -> Any:
    """How many tokens a pipeline's call lets its encoders read; None if it does not say."""
    parameter = inspect.signature(pipeline.__call__).parameters.get("max_sequence_length")
    default = None
    if parameter is not None:
        default = parameter.default
    return options.get("max_sequence_length", default)


def _warn_of_alike(
    cut: Sequence[str],
    kept: Mapping[str, tuple[Any, ...]],
    where: Callable[[str], str],
    description: str,
    limit: int,
) -> None:
    """Says which prompts no reader tells apart, for all that is cut.

    Args:
        cut: the prompts that lost something, in order.
        kept: what each reader reads of each prompt.
        where: names a prompt.
        description: what the prompts are, such as "of train".
        limit: the most tokens that are read.
    """
    # a prompt that just fits may be alike to one that is cut, so all are looked through
    alike: dict[tuple[Any, ...], list[str]] = {kept[text]: [] for text in cut}
    for text, key in kept.items():
        if key in alike:
            alike[key].append(text)
    groups = [texts for texts in alike.values() if len(texts) > 1]
    if not groups:
        return
    count = 0
    for texts in groups:
        count += len(texts)
    few = [" and ".join(map(where, texts[:FEW])) for texts in groups[:FEW]]
    more = ""
    if len(groups) > FEW:
        more = " and more"
    log.warning(
        "%d different prompts %s are alike in the %d tokens that are read of them: %s%s",
        count,
        description,
        limit,
        "; ".join(few),
        more,
    )
