"""The members' tokenizer: one that reads a text as each seed reads it, or why there is none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from populations.seeds.differences import differences, flattened, in_words, refuse_differences
from populations.seeds.language_configs import Vocabulary
from populations.seeds.language_files import read_tokenizer
from populations.seeds.language_seeds import LanguageSeed
from populations.seeds.tokenizer_settings import special_tokens, tokenizer_settings

log = logging.getLogger(__name__)


def tokenizer_of(
    seeds: Sequence[LanguageSeed],
    vocabulary: Vocabulary,
    trust_remote_code: bool,
    like: int | None = None,
) -> tuple[Any, list[Any]]:
    """The members' tokenizer.

    Args:
        seeds: K of them.
        vocabulary: whether seeds may lack the last tokens.
        trust_remote_code: whether code that comes with a seed may run.
        like: whose tokenizer counts; None: nobody said.

    Returns:
        The tokenizer of `like`, or else the first with a chat template among those that know all
        tokens; and each seed's own.

    Raises:
        ValueError: if a tokenizer cannot be read, they do not agree on a token, or make other
            tokens of the same text, and nobody said whose counts.
    """
    tokenizers = [read_tokenizer(seed.tokenizer_folder, trust_remote_code) for seed in seeds]
    names = [seed.name for seed in seeds]
    # The user has chosen how texts are read; only the rows of embeddings still have to agree.
    if like is not None:
        _check_tokens_of(names, tokenizers, like)
        return tokenizers[like], tokenizers
    vocabularies = [tokenizer.get_vocab() for tokenizer in tokenizers]
    largest = max(vocabularies, key=len)
    _check_vocabularies(names, vocabularies, largest, vocabulary)
    _check_reading(names, tokenizers)
    # Of those that read alike, members get one with a chat template: a template may print the
    # special tokens of its own tokenizer.
    complete = []
    for tokenizer, numbers in zip(tokenizers, vocabularies, strict=True):
        if len(numbers) == len(largest):
            complete.append(tokenizer)
    for tokenizer in complete:
        if tokenizer.chat_template:
            return tokenizer, tokenizers
    return complete[0], tokenizers


def _check_vocabularies(
    names: Sequence[str],
    vocabularies: Sequence[dict[str, int]],
    largest: dict[str, int],
    vocabulary: Vocabulary,
) -> None:
    """Refuses seeds in which a token has two numbers, or, where it has to, some seed lacks it.

    Args:
        names: of the K seeds.
        vocabularies: (K,) theirs, the number of each token.
        largest: the first of them with the most tokens.
        vocabulary: whether seeds may lack the last tokens.

    Raises:
        ValueError: if there is such a token.
    """
    for name, numbers in zip(names, vocabularies, strict=True):
        # A row has to belong to one token, or two tokens would be merged into one.
        token = _token_with_another_number(numbers, largest)
        if token is None and vocabulary == "strict" and len(numbers) != len(largest):
            token = next(token for token in largest if token not in numbers)
        if token is not None:
            raise ValueError(
                f"seeds: expected one tokenizer; {name} has {len(numbers):,} tokens, another "
                f"{len(largest):,}, and {token!r} is {numbers.get(token)} in one and "
                f"{largest.get(token)} in the other (like: {name}, or another seed, takes the "
                "tokens of one; vocabulary: trailing takes added tokens, and their rows, from "
                "those that have them)"
            )


def _token_with_another_number(numbers: dict[str, int], others: dict[str, int]) -> str | None:
    """The first token of a vocabulary that another one has under another number, or lacks."""
    for token, number in numbers.items():
        if others.get(token) != number:
            return token
    return None


def _check_tokens_of(names: Sequence[str], tokenizers: Sequence[Any], like: int) -> None:
    """Refuses seeds whose embeddings have other tokens in the same rows.

    Special tokens are excepted, since one seed may name them anew.

    Raises:
        ValueError: if a row belongs to two tokens.
    """
    members_tokens = tokenizers[like].get_vocab()
    members_special = set(tokenizers[like].added_tokens_decoder)
    for name, tokenizer in zip(names, tokenizers, strict=True):
        token_of = {number: token for token, number in tokenizer.get_vocab().items()}
        # Both have to call it special, since a plain word does not stand in for a marker.
        special = members_special & set(tokenizer.added_tokens_decoder)
        renamed = False
        for token, number in members_tokens.items():
            if token_of.get(number, token) == token:
                continue
            renamed = True
            if number not in special:
                raise ValueError(
                    f"seeds: expected one tokenizer; token {number} is {token_of[number]!r} in "
                    f"{name} and another one in {names[like]}"
                )
        if renamed or len(token_of) > len(members_tokens):
            log.info(
                "seeds: %s has other special tokens than %s, which the members have, as like says",
                name,
                names[like],
            )


def _check_reading(names: Sequence[str], tokenizers: Sequence[Any]) -> None:
    """Refuses tokenizers that know the same tokens and read or write with them differently.

    Raises:
        ValueError: if two of them make other tokens of the same text, or other text of the same
            answer.
    """
    settings = []
    special = []
    for tokenizer in tokenizers:
        settings.append(tokenizer_settings(tokenizer))
        special.append(special_tokens(tokenizer))
    # A special token that one seed added is its own affair; the others never meet it in a text.
    shared = set.intersection(*map(set, special))
    shared_settings = []
    for by_text in special:
        shared_settings.append(flattened({f"token {text!r}": by_text[text] for text in shared}))
    differing = [*differences(names, settings), *differences(names, shared_settings)]
    refuse_differences(differing, "how their tokenizers read a text", "")
    # A start token that is put before texts is a setting above; this one changes no text.
    starts = differences(names, [{"start token": tokenizer.bos_token} for tokenizer in tokenizers])
    if starts:
        log.warning(
            "seeds: they differ in %s, which none of them puts before a text (like names one)",
            in_words(starts),
        )
