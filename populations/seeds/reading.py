"""What others wrote is read here: whatever a parser stumbles on becomes one line that says which file, and why."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from populations.express.resident import line

CONFIG = "config.json"

SETTINGS = (
    CONFIG,
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""The small files beside a seed's weights that libraries read."""

TOKENIZER = (*SETTINGS[2:], "vocab.json", "tokenizer.json")
"""What of a tokenizer is JSON."""

QUANTIZED = ("quantization_config", "quantization", "compression_config")
"""Keys of a config that say how weights were packed: by transformers' quantizers, by MLX, by compressed-tensors of old."""


def read_json(path: Path, what: str = "JSON") -> dict[str, Any]:
    """An object of JSON.

    Args:
        path: of the file.
        what: what it should be, for the message.

    Raises:
        ValueError: if there is no such file, or it is no JSON in UTF-8, or no object.
    """
    try:
        text = path.read_bytes().decode()
        content = json.loads(text)
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8, at byte {error.start}"
    except json.JSONDecodeError as error:
        reason = str(error) if text.strip() else "it is empty"
    except RecursionError:
        reason = "it is nested too deep"
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else error.strerror or str(error)
    else:
        if isinstance(content, dict):
            return content
        raise ValueError(f"{path}: expected an object in braces, got {type(content).__name__}")
    raise ValueError(f"{path}: expected {what}, it cannot be read ({reason})") from None


def check_settings(folder: Path) -> None:
    """Checks the small files of a seed, as far as it has them, and that its config says that its weights are plain numbers.

    Raises:
        ValueError: if one cannot be read, or the weights are quantized.
    """
    contents = {name: read_json(folder / name) for name in SETTINGS if (folder / name).exists()}
    config = contents.get(CONFIG, {})
    text = config.get("text_config")
    for part in (config, text if isinstance(text, dict) else {}):
        for key in QUANTIZED:
            if packed := part.get(key):
                raise ValueError(
                    f"{folder / CONFIG}: its weights are quantized ({key}: {_kind(packed)}), "
                    "expected floating-point weights; take the model that it was made from"
                )


def as_user_error(folder: Path, files: Sequence[str], error: Exception) -> str:
    """Why something of a folder cannot be read, in one line.

    Args:
        folder: what a library was given.
        files: what it reads there.
        error: what it raised.

    Returns:
        The file that no parser takes and the reason; if there is none, what the library said.
    """
    for name in files:
        if (folder / name).exists():
            try:
                read_json(folder / name)
                if name == "tokenizer.json":
                    _check_tokenizer(folder / name)
            except ValueError as fault:
                return str(fault)
    if (
        "tokenizer.json" in files
        and not (folder / "tokenizer.json").exists()
        and (folder / "tokenizer.model").exists()
    ):
        missing = [package for package in ("sentencepiece", "tiktoken") if not _has(package)]
        if missing:
            return f"{folder / 'tokenizer.model'}: it needs the package {missing[0]}: pip install {missing[0]} ({line(error)})"
    return f"{line(error)} ({type(error).__name__})"


def _check_tokenizer(path: Path) -> None:
    """Checks that the tokenizers of this machine can read a file.

    Raises:
        ValueError: if they cannot.
    """
    import tokenizers

    try:
        tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ValueError(
            f"{path}: tokenizers {tokenizers.__version__} cannot read it; a newer version may have written it ({line(error)})"
        ) from None


def _has(package: str) -> bool:
    """Whether a package can be imported here."""
    try:
        return find_spec(package) is not None
    except ValueError:  # somebody has put None in its place
        return False


def _kind(packed: Any) -> str:
    """How weights are packed, as far as a config says it in a word or two."""
    if not isinstance(packed, dict):
        return str(packed)
    words = [str(packed[key]) for key in ("quant_method", "mode", "fmt") if packed.get(key)]
    bits = next((packed[key] for key in ("bits", "w_bit", "num_bits") if packed.get(key)), None)
    bits = 4 if packed.get("load_in_4bit") else 8 if packed.get("load_in_8bit") else bits
    return (
        ", ".join([*words, *([f"{bits} bits"] if bits else [])])
        or "of a kind that it does not name"
    )
