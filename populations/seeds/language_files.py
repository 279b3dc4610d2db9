"""A language model's config and tokenizer, read by transformers.

Parsers, what is written in Rust, and code that comes with a seed raise any kind of error. Each
becomes one line that names the file and the reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from populations.seeds.json_files import CONFIG, TOKENIZER_SETTINGS, read_json
from populations.settings.errors import first_line

TOKENIZER_JSON = "tokenizer.json"

TOKENIZER = (*TOKENIZER_SETTINGS, "vocab.json", TOKENIZER_JSON)
"""The files of a tokenizer that are JSON."""


def read_config(folder: Path, trust_remote_code: bool) -> Any:
    """Reads the config of a model.

    Args:
        folder: the model's.
        trust_remote_code: whether code that comes with it may run.

    Raises:
        ImportError: if transformers is not installed.
        ValueError: if it cannot be read.
    """
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise ImportError(
            "language models need the package transformers: pip install 'evomerge[llm]'"
        ) from error
    return _read("config", AutoConfig, (CONFIG,), folder, trust_remote_code)


def read_tokenizer(folder: Path, trust_remote_code: bool) -> Any:
    """Reads a tokenizer.

    Args:
        folder: the tokenizer's.
        trust_remote_code: whether code that comes with it may run.

    Raises:
        ValueError: if it cannot be read.
    """
    from transformers import AutoTokenizer

    return _read("tokenizer", AutoTokenizer, TOKENIZER, folder, trust_remote_code)


def _read(
    part: str, auto_class: Any, files: Sequence[str], folder: Path, trust_remote_code: bool
) -> Any:
    """Has a class of transformers read a part of a seed, and says what is wrong with its files."""
    try:
        return auto_class.from_pretrained(folder, trust_remote_code=trust_remote_code)
    except Exception as error:
        reason = _in_one_line(folder, files, error)
        # transformers' own hint names an argument of Python, where our user has a setting.
        if not trust_remote_code and "trust_remote_code" in str(error):
            reason = f"{reason}; trust_remote_code: true lets its code run"
        raise ValueError(f"seeds: {folder}: its {part} cannot be read: {reason}") from None


def _in_one_line(folder: Path, files: Sequence[str], error: Exception) -> str:
    """Says in one line why something in a folder cannot be read.

    Args:
        folder: what a library was given.
        files: the names of what it reads there.
        error: what it raised.

    Returns:
        The file that no parser takes and the reason; if there is none, what the library said.
    """
    # A library often names no file, or blames the wrong one, so each is read again by itself.
    for name in files:
        if (folder / name).exists():
            try:
                read_json(folder / name)
                # An older tokenizers cannot read what a newer one wrote, though it is JSON.
                if name == TOKENIZER_JSON:
                    _check_tokenizer(folder / name)
            except ValueError as fault:
                return str(fault)
    # With a tokenizer.model alone, transformers needs a package that it names in a long text only.
    model = folder / "tokenizer.model"
    if TOKENIZER_JSON in files and not (folder / TOKENIZER_JSON).exists() and model.exists():
        for package in ("sentencepiece", "tiktoken"):
            if not _importable(package):
                return (
                    f"{model}: it needs the package {package}: pip install {package} "
                    f"({first_line(error)})"
                )
    return f"{first_line(error)} ({type(error).__name__})"


def _check_tokenizer(path: Path) -> None:
    """Checks that the installed tokenizers can read a file.

    Raises:
        ValueError: if they cannot.
    """
    import tokenizers

    try:
        tokenizers.Tokenizer.from_file(str(path))
    except Exception as error:
        raise ValueError(
            f"{path}: tokenizers {tokenizers.__version__} cannot read it; "
            f"a newer version may have written it ({first_line(error)})"
        ) from None


def _importable(package: str) -> bool:
    """Whether a package can be imported here."""
    try:
        return find_spec(package) is not None
    except ValueError:
        # Somebody has put None in its place in sys.modules.
        return False
