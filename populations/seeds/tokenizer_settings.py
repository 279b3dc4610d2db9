"""The settings of a tokenizer that decide how it reads a text, apart from its vocabulary."""

from __future__ import annotations

import json
from typing import Any

from populations.seeds.differences import Settings, flattened

PLACES = (
    "name_or_path",
    "tokenizer_file",
    "vocab_file",
    "is_local",
    "local_files_only",
    "backend",
    "tokenizer_type",
    "use_fast",
)
"""Settings that say where a tokenizer is, or what it is read by."""

LATER = (
    "model_max_length",
    "padding_side",
    "clean_up_tokenization_spaces",
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "chat_template",
)
"""Settings that are combined elsewhere, or change no token of a prompt."""


def tokenizer_settings(tokenizer: Any) -> Settings:
    """What decides which tokens a tokenizer makes of a text, and which text of tokens.

    Its vocabulary is left out; that is compared by itself.
    """
    settings: Settings = {}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        parts = json.loads(backend.to_str())
        for name in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
            settings |= flattened({name: parts.get(name)})
        # A vocabulary that is a list has scores in it, which decide how a text is cut.
        model = dict(parts["model"])
        if isinstance(model.get("vocab"), dict):
            del model["vocab"]
        settings |= flattened({"model": model})
    else:
        # A tokenizer in Python has no parts to look at; its arguments say what it does.
        for name, value in tokenizer.init_kwargs.items():
            plain = value is None or isinstance(value, str | int | float | bool)
            if plain and name not in PLACES and name not in LATER:
                settings[name] = value
    settings["split_special_tokens"] = getattr(tokenizer, "split_special_tokens", False)
    return settings


def special_tokens(tokenizer: Any) -> dict[str, Settings]:
    """How each added token is found in a text, and whether an answer is cleaned of it.

    Returns:
        By the token's text, its settings.
    """
    fields = ["special", "lstrip", "rstrip", "single_word"]
    backend = getattr(tokenizer, "backend_tokenizer", None)
    # Without a normalizer, it is all the same whether a token is looked for before or after it.
    if backend is None or backend.normalizer is not None:
        fields.append("normalized")
    by_text: dict[str, Settings] = {}
    for token in tokenizer.added_tokens_decoder.values():
        by_text[token.content] = {field: getattr(token, field) for field in fields}
    return by_text
