"""Are the seeds of one kind? Their configs, tokenizers and headers tell, before a weight is read."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from populations.hub import Found
from populations.resident import line, slots_of
from populations.seeds import Slot, described_slots

log = logging.getLogger(__name__)

Vocabulary = Literal["strict", "trailing"]

DECISIVE = re.compile(
    r"num_.*|head_dim|hidden_act.*|activation.*|.*_function|tie_word_embeddings|layer_types|.*(?<!vocab)_size|.*_dim"
)
"""Settings of a config that say what is computed with the same weights."""

HARMLESS = re.compile(
    r"_name_or_path|architectures|(torch_)?dtype|transformers_version|use_cache|.*vocab_size|.*token_id|num_labels|.*dropout.*"
)
"""Settings in which mergeable models may differ without a word."""


def config_of(seeds: Sequence[Found], vocabulary: Vocabulary, trust_remote_code: bool) -> tuple[Any, Found]:
    """The config of the resident model, and the seed that it comes from: the first with the largest vocabulary.

    Raises:
        ImportError: if transformers is not installed.
        ValueError: if a config cannot be read, or the seeds are not of one architecture, or not of one size of vocabulary.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ImportError("language models need the package transformers: pip install 'evomerge[llm]'") from error
    configs = [_read("config", AutoConfig, seed.model_folder, trust_remote_code) for seed in seeds]
    sizes = [config.get_text_config().vocab_size for config in configs]
    chosen = sizes.index(max(sizes))
    for seed, config in zip(seeds, configs, strict=True):
        _compare(seeds[chosen].name, configs[chosen], seed.name, config)
    if len(set(sizes)) > 1 and vocabulary == "strict":
        counts = ", ".join(f"{seed.name} {size:,}" for seed, size in zip(seeds, sizes, strict=True))
        raise ValueError(
            f"seeds: expected one size of vocabulary, got {counts} (vocabulary: trailing takes added rows from those that have them)"
        )
    return configs[chosen], seeds[chosen]


def tokenizer_of(seeds: Sequence[Found], vocabulary: Vocabulary, trust_remote_code: bool) -> Any:
    """The seeds' tokenizer: the first that knows all tokens.

    Raises:
        ValueError: if a tokenizer cannot be read, or they do not agree.
    """
    from transformers import AutoTokenizer

    found = [_read("tokenizer", AutoTokenizer, seed.tokenizer_folder, trust_remote_code) for seed in seeds]
    vocabularies = [tokenizer.get_vocab() for tokenizer in found]
    largest = max(vocabularies, key=len)
    for seed, own in zip(seeds, vocabularies, strict=True):
        unlike = [token for token, number in own.items() if largest.get(token) != number]
        if unlike or (vocabulary == "strict" and len(own) != len(largest)):
            token = unlike[0] if unlike else next(token for token in largest if token not in own)
            raise ValueError(
                f"seeds: expected one tokenizer; {seed.name} has {len(own):,} tokens, another {len(largest):,}, "
                f"and {token!r} is {own.get(token)} in one and {largest.get(token)} in the other"
            )
    return found[vocabularies.index(largest)]


def described(config: Any, attention: str | None, trust_remote_code: bool) -> tuple[dict[str, Slot], list[str]]:
    """The slots of the model that a config describes, and those whose rows are tokens; no weight is made for it.

    Raises:
        ValueError: if there is no such model, or no such implementation of attention.
    """
    from transformers import AutoModelForCausalLM

    how = {} if attention is None else {"attn_implementation": attention}
    try:
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code, **how)
    except (ValueError, ImportError) as error:
        raise ValueError(f"{'seeds' if attention is None else 'attention'}: {line(error)}") from None
    names = {id(tensor): name for name, tensor in slots_of(model).items()}
    tokens = [layer.weight for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None]
    return described_slots(model), list(dict.fromkeys(names[id(weight)] for weight in tokens))


def template_of(given: str) -> str:
    """A chat template, or the text of the file that it is in.

    Raises:
        ValueError: if it is neither.
    """
    if "{" in given:
        return given
    if not Path(given).expanduser().is_file():
        raise ValueError(f"chat_template: expected a template, or a file with one, there is no file {given}")
    return Path(given).expanduser().read_text(encoding="utf-8")


def _read(what: str, kind: Any, folder: Path, trust_remote_code: bool) -> Any:
    """Something of a seed that transformers reads from a folder."""
    try:
        return kind.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"seeds: {folder}: its {what} cannot be read: {line(error)}") from None


def _compare(name: str, config: Any, other_name: str, other: Any) -> None:
    """Refuses another architecture, and what is computed otherwise; says what else differs."""
    if other.model_type != config.model_type or other.architectures != config.architectures:
        raise ValueError(
            f"seeds: expected one architecture; {name} is {config.model_type} {config.architectures}, "
            f"{other_name} is {other.model_type} {other.architectures}"
        )
    a, b = config.to_dict(), other.to_dict()
    unlike = sorted(key for key in a.keys() | b.keys() if a.get(key) != b.get(key) and not HARMLESS.fullmatch(key))
    for key in unlike:
        if DECISIVE.fullmatch(key):
            raise ValueError(
                f"seeds: expected one architecture; {key} is {a.get(key)} in {name} and {b.get(key)} in {other_name}"
            )
    if unlike:
        told = ", ".join(f"{key} ({a.get(key)} and {b.get(key)})" for key in unlike)
        log.warning("%s and %s differ in %s; the first one's are used", name, other_name, told)
