"""Are the seeds of one kind? Their configs, tokenizers and headers tell, before a weight is read."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from populations.express.resident import line, slots_of
from populations.seeds.hub import Found
from populations.seeds.reading import CONFIG, TOKENIZER, as_user_error, read_json
from populations.seeds.seeds import Slot, described_slots, spare_of
from populations.seeds.settings import (
    IDLE,
    POSITIONS,
    STRUCTURE,
    TOKENS,
    differences,
    flat,
    in_words,
    last,
    of_config,
    of_tokenizer,
    positions_only_limit,
    refuse,
    special_tokens,
    with_values,
)

log = logging.getLogger(__name__)

Vocabulary = Literal["strict", "trailing"]


def config_of(
    seeds: Sequence[Found],
    vocabulary: Vocabulary,
    trust_remote_code: bool,
    like: int | None = None,
    given: Mapping[str, Any] | None = None,
) -> tuple[Any, Found, list[Any]]:
    """The members' config; the seed whose files the resident model is made from; each seed's own config.

    That seed is the first with the largest vocabulary.

    Args:
        seeds: K of them.
        vocabulary: whether seeds may lack the last rows of the embedding.
        trust_remote_code: whether code that comes with a seed may run.
        like: whose settings count where the seeds differ; None: nobody said.
        given: values by the names of config.json, in the place of the seeds'.

    Raises:
        ImportError: if transformers is not installed.
        ValueError: if a config cannot be read, the seeds are not of one architecture, not of one size of vocabulary, or differ
            in what the model computes by, and nobody said whose counts.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ImportError(
            "language models need the package transformers: pip install 'evomerge[llm]'"
        ) from error
    configs = [_read("config", AutoConfig, seed.model_folder, trust_remote_code) for seed in seeds]
    if given:
        raws = [read_json(seed.model_folder / CONFIG) for seed in seeds]
        known = set().union(*raws)
        configs = [
            with_values(raw, config, given, known)
            for raw, config in zip(raws, configs, strict=True)
        ]
    sizes = [config.get_text_config().vocab_size for config in configs]
    largest = sizes.index(max(sizes))
    names = [seed.name for seed in seeds]
    _check_architecture(names, configs)
    if len(set(sizes)) > 1 and vocabulary == "strict":
        counts = ", ".join(f"{seed.name} {size:,}" for seed, size in zip(seeds, sizes, strict=True))
        raise ValueError(
            f"seeds: expected one size of vocabulary, got {counts} (vocabulary: trailing takes added rows from those that have them)"
        )
    whose = largest if like is None else like
    limit = _check_settings(names, configs, whose, decided=like is not None)
    chosen = deepcopy(configs[whose])
    text = chosen.get_text_config()
    text.vocab_size = max(sizes)
    if limit is not None:
        text.max_position_embeddings = limit
    return chosen, seeds[largest], configs


def tokenizer_of(
    seeds: Sequence[Found], vocabulary: Vocabulary, trust_remote_code: bool, like: int | None = None
) -> tuple[Any, list[Any]]:
    """The members' tokenizer, and each seed's own.

    The members have that of `like`, or else the first with a chat template among those that know all tokens.

    Raises:
        ValueError: if a tokenizer cannot be read, they do not agree on a token, or make other tokens of the same text, and
            nobody said whose counts.
    """
    from transformers import AutoTokenizer

    found = [
        _read("tokenizer", AutoTokenizer, seed.tokenizer_folder, trust_remote_code)
        for seed in seeds
    ]
    names = [seed.name for seed in seeds]
    vocabularies = [tokenizer.get_vocab() for tokenizer in found]
    if like is not None:
        _check_tokens_of(names, found, like)
        return found[like], found
    largest = max(vocabularies, key=len)
    for name, own in zip(names, vocabularies, strict=True):
        unlike = [token for token, number in own.items() if largest.get(token) != number]
        if unlike or (vocabulary == "strict" and len(own) != len(largest)):
            token = unlike[0] if unlike else next(token for token in largest if token not in own)
            raise ValueError(
                f"seeds: expected one tokenizer; {name} has {len(own):,} tokens, another {len(largest):,}, "
                f"and {token!r} is {own.get(token)} in one and {largest.get(token)} in the other (like: {name}, or another seed, "
                "takes the tokens of one; vocabulary: trailing takes added tokens, and their rows, from those that have them)"
            )
    _check_reading(names, found)
    # Of tokenizers that read alike the members have one with a chat template, since that may print its own special tokens.
    whole = [
        tokenizer
        for tokenizer, own in zip(found, vocabularies, strict=True)
        if len(own) == len(largest)
    ]
    chosen = next((tokenizer for tokenizer in whole if tokenizer.chat_template), whole[0])
    return chosen, found


def _check_tokens_of(names: Sequence[str], tokenizers: Sequence[Any], like: int) -> None:
    """Refuses seeds whose embeddings have other tokens in the same rows, but for special ones, which one seed may name anew."""
    ours = tokenizers[like].get_vocab()
    for name, tokenizer in zip(names, tokenizers, strict=True):
        special = {*tokenizer.added_tokens_decoder} & {*tokenizers[like].added_tokens_decoder}
        theirs = {number: token for token, number in tokenizer.get_vocab().items()}
        renamed = [number for token, number in ours.items() if theirs.get(number, token) != token]
        clashing = [number for number in renamed if number not in special]
        if clashing:
            raise ValueError(
                f"seeds: expected one tokenizer; token {clashing[0]} is {theirs[clashing[0]]!r} in {name} and another one in "
                f"{names[like]}"
            )
        if renamed or len(theirs) > len(ours):
            log.info(
                "seeds: %s has other special tokens than %s, which the members have, as like says",
                name,
                names[like],
            )


def chat_of(names: Sequence[str], tokenizers: Sequence[Any], chosen: Any) -> tuple[Any, str | None]:
    """The chat template of members whose user has not said whose it is.

    Args:
        names: of the K seeds.
        tokenizers: (K,) theirs.
        chosen: the one that members are saved with.

    Returns:
        The template that members are saved with, None where no seed has one; and, where a conversation would not be written as
        each seed that has a template writes it alone, one that refuses every conversation.
    """
    having = [place for place, tokenizer in enumerate(tokenizers) if tokenizer.chat_template]
    if not having:
        return None, None
    template = chosen.chat_template or tokenizers[having[0]].chat_template
    # What counts is what a template makes of a conversation, with the special tokens of its own tokenizer in it.
    written = [
        _conversations(tokenizers[place], tokenizers[place].chat_template) for place in having
    ]
    if all(one == _conversations(chosen, template) for one in written):
        if len(having) < len(tokenizers):
            lacking = [name for place, name in enumerate(names) if place not in having]
            log.info(
                "seeds: %s has no chat template; the members have that of %s",
                " and ".join(lacking),
                names[having[0]],
            )
        return template, None
    whose = " and ".join(names[place] for place in having)
    differ = (
        f"the chat templates of {whose} differ"
        if len(having) > 1
        else f"the chat template of {whose} needs its own special tokens"
    )
    why = f"{differ}; say whose the members have with like: {names[having[0]]} (or another seed), or give one with chat_template"
    log.warning(
        "seeds: %s; until then members are saved with the first one's, and no conversation is scored",
        why,
    )
    return template, f"{{{{ raise_exception({json.dumps(why)}) }}}}"


def _conversations(tokenizer: Any, template: Any) -> list[str]:
    """What a chat template makes of some conversations, or why it refuses them."""
    user, system, assistant = (
        {"role": role, "content": f"a {role}'s words"} for role in ("user", "system", "assistant")
    )
    texts = []
    for messages in ([user], [system, user], [user, assistant, user]):
        try:
            text = tokenizer.apply_chat_template(
                messages, chat_template=template, tokenize=False, add_generation_prompt=True
            )
        except Exception as error:  # a template is a program of the checkpoint's
            text = f"{type(error).__name__}: {error}"
        texts.append(text)
    return texts


@dataclass(frozen=True)
class Described:
    """The model that a config describes, without its weights.

    Attributes:
        slots: its tensors.
        embeddings: those whose rows are tokens.
        transposed: names of matrices that lie (in, out), as those of GPT-2's layers do.
        spare: what a checkpoint may have beside them (`Seeds`).
    """

    slots: dict[str, Slot]
    embeddings: list[str]
    transposed: frozenset[str]
    spare: dict[str, tuple[str, ...]]


def described(config: Any, attention: str | None, trust_remote_code: bool) -> Described:
    """The model that a config describes; no weight is made for it.

    Raises:
        ValueError: if there is no such model, or no such implementation of attention.
    """
    from transformers import AutoModelForCausalLM
    from transformers.pytorch_utils import Conv1D

    how = {} if attention is None else {"attn_implementation": attention}
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(
                config, trust_remote_code=trust_remote_code, **how
            )
    except Exception as error:  # whatever a model's own code makes of its config
        place = f"seeds: {config.name_or_path}" if attention is None else "attention"
        raise ValueError(f"{place}: {line(error)}") from None
    names = {id(tensor): name for name, tensor in slots_of(model).items()}
    tokens = [
        layer.weight
        for layer in (model.get_input_embeddings(), model.get_output_embeddings())
        if layer is not None
    ]
    lying = [f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, Conv1D)]
    return Described(
        described_slots(model),
        list(dict.fromkeys(names[id(weight)] for weight in tokens)),
        frozenset(lying),
        {"": spare_of(model)},
    )


def template_of(given: str) -> str:
    """A chat template, or the text of the file that it is in.

    Raises:
        ValueError: if it is neither.
    """
    if "{" in given:
        return given
    if not Path(given).expanduser().is_file():
        raise ValueError(
            f"chat_template: expected a template, or a file with one, there is no file {given}"
        )
    return Path(given).expanduser().read_text(encoding="utf-8")


def _read(what: str, kind: Any, folder: Path, trust_remote_code: bool) -> Any:
    """Something of a seed that transformers reads from a folder."""
    try:
        return kind.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (
        Exception
    ) as error:  # parsers, what is written in Rust, and code that comes with a seed raise any kind
        why = as_user_error(folder, TOKENIZER if what == "tokenizer" else (CONFIG,), error)
        hint = (
            ""
            if trust_remote_code or "trust_remote_code" not in str(error)
            else "; trust_remote_code: true lets its code run"
        )
        raise ValueError(f"seeds: {folder}: its {what} cannot be read: {why}{hint}") from None


def _check_architecture(names: Sequence[str], configs: Sequence[Any]) -> None:
    """Refuses seeds that are not of one architecture."""
    for name, other in zip(names, configs, strict=True):
        config = configs[0]
        named = (
            config.architectures
            and other.architectures
            and config.architectures != other.architectures
        )
        if other.model_type != config.model_type or named:
            raise ValueError(
                f"seeds: expected one architecture; {names[0]} is {config.model_type} {config.architectures}, "
                f"{name} is {other.model_type} {other.architectures}"
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
        The number of positions where each seed has another one, and nothing else hangs on it; otherwise None.
    """
    settings = [of_config(config) for config in configs]
    every = differences(names, settings)
    differing = [one for one in every if not IDLE.fullmatch(last(one.setting))]
    structure = [one for one in differing if STRUCTURE.fullmatch(last(one.setting))]
    if structure:
        raise ValueError(f"seeds: expected one architecture; {in_words(structure)}")
    # End tokens are combined elsewhere (`generation_settings`), and are nobody's to choose.
    differing = [one for one in differing if last(one.setting) != "eos_token_id"]
    if decided:
        if differing:
            log.info(
                "seeds: they differ in %s; the members have what %s has, as like says",
                in_words(differing),
                names[whose],
            )
        return None
    # A longer limit takes nothing from a seed with a shorter one, as long as the number itself is not computed with.
    limits = [one for one in differing if last(one.setting) == POSITIONS]
    combined = limits if all(map(positions_only_limit, settings)) else []
    aside = [one for one in differing if TOKENS.fullmatch(last(one.setting))]
    rest = [one for one in differing if one not in combined and one not in aside]
    refuse(rest, "what a model computes with the same weights", ", or give a value with config")
    if aside:
        log.warning(
            "seeds: they differ in %s; the members have what %s has (like names another)",
            in_words(aside),
            names[whose],
        )
    if not combined:
        return None
    limit: int = max(value for one in combined for value in one.values if value is not None)
    log.warning(
        "seeds: %s; the members read up to %d (like takes one seed's)", in_words(combined), limit
    )
    return limit


def _check_reading(names: Sequence[str], tokenizers: Sequence[Any]) -> None:
    """Refuses tokenizers that know the same tokens and make other ones of the same text, or other text of the same answer."""
    differing = differences(names, [of_tokenizer(tokenizer) for tokenizer in tokenizers])
    special = [special_tokens(tokenizer) for tokenizer in tokenizers]
    shared = set.intersection(*map(set, special))
    kept = [flat({f"token {text!r}": own[text] for text in shared}) for own in special]
    refuse([*differing, *differences(names, kept)], "how their tokenizers read a text", "")
    starts = differences(names, [{"start token": tokenizer.bos_token} for tokenizer in tokenizers])
    if starts:
        log.warning(
            "seeds: they differ in %s, which none of them puts before a text (like names one)",
            in_words(starts),
        )
