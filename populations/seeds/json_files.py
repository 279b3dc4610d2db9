"""The small JSON files beside a seed's weights: reading them, and saying what is wrong with them.

Others wrote these files. Whatever the parser stumbles on becomes one line that names the file and
the reason.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONFIG = "config.json"

TOKENIZER_SETTINGS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)

SETTINGS = (CONFIG, "generation_config.json", *TOKENIZER_SETTINGS)
"""The small files beside a seed's weights that libraries read."""

QUANTIZED = ("quantization_config", "quantization", "compression_config")
"""Keys of a config that say how weights were packed.

transformers' quantizers write the first, MLX the second, old compressed-tensors the third.
"""


def read_json(path: Path, expected: str = "JSON") -> dict[str, Any]:
    """Reads an object of JSON.

    Args:
        path: the file.
        expected: what the file should be, for the message.

    Raises:
        ValueError: if there is no such file, or it is no JSON in UTF-8, or no object.
    """
    try:
        # From bytes, since the system's own encoding may be another one than UTF-8.
        text = path.read_bytes().decode()
        content = json.loads(text)
    except UnicodeDecodeError as error:
        reason = f"it is not UTF-8, at byte {error.start}"
    except json.JSONDecodeError as error:
        reason = str(error) if text.strip() else "it is empty"
    except RecursionError:
        reason = "it is nested too deep"
    except OSError as error:
        reason = error.strerror or str(error)
        # Reading a folder fails with other words on each system.
        if path.is_dir():
            reason = "it is a folder"
    else:
        # A list or a number is JSON, too, and no settings.
        if isinstance(content, dict):
            return content
        raise ValueError(f"{path}: expected an object in braces, got {type(content).__name__}")
    raise ValueError(f"{path}: expected {expected}, it cannot be read ({reason})") from None


def check_settings(folder: Path) -> None:
    """Checks the small files of a seed, and that its config says nothing of quantized weights.

    A file that the seed does not have is no mistake here.

    Raises:
        ValueError: if one cannot be read, or the weights are quantized.
    """
    contents = {name: read_json(folder / name) for name in SETTINGS if (folder / name).exists()}
    config = contents.get(CONFIG, {})
    parts = [config]
    # A model of text and images has the config of its text inside its own.
    text = config.get("text_config")
    if isinstance(text, dict):
        parts.append(text)
    for part in parts:
        for key in QUANTIZED:
            packing = part.get(key)
            if packing:
                raise ValueError(
                    f"{folder / CONFIG}: its weights are quantized ({key}: {_packing(packing)}), "
                    "expected floating-point weights; take the model that it was made from"
                )


def _packing(settings: Any) -> str:
    """How weights are packed, as far as a config says it in a word or two."""
    if not isinstance(settings, dict):
        return str(settings)
    words = [str(settings[key]) for key in ("quant_method", "mode", "fmt") if settings.get(key)]
    # Some quantizers give no name, and others no number of bits.
    bits = _bits(settings)
    if bits:
        words.append(f"{bits} bits")
    return ", ".join(words) or "of a kind that it does not name"


def _bits(settings: dict[str, Any]) -> Any:
    """The bits of a packed number, under the names that the quantizers have for them; or None."""
    if settings.get("load_in_4bit"):
        return 4
    if settings.get("load_in_8bit"):
        return 8
    for key in ("bits", "w_bit", "num_bits"):
        if settings.get(key):
            return settings[key]
    return None
