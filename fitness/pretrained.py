"""Models of transformers that judge: found by their configs, loaded in float32 from safetensors alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def source(setting: str, model: str | Path, kind: str | None = None) -> str:
    """Where a model is, once its config is known to be right.

    Args:
        setting: what the user calls it, for messages.
        model: a folder, or owner/name of the hub.
        kind: the type that its config must have.

    Raises:
        ValueError: if there is no such model, or it is of another type.
    """
    path = Path(model).expanduser()
    where = str(path) if path.is_dir() else str(model)
    found = loaded(setting, "AutoConfig", where)
    if kind is not None and found.model_type != kind:
        raise ValueError(f"{setting}: expected a model of type {kind}, {model} is a {found.model_type}")
    return where


def loaded(setting: str, loader: str, where: str) -> Any:
    """What a class of transformers loads from there; a model is in float32, and ready to judge.

    Raises:
        ImportError: if transformers is not installed.
        ValueError: if it does not load.
    """
    try:
        import transformers
    except ImportError as error:
        raise ImportError("judges need the package transformers: pip install 'evomerge[diffusion]'") from error
    of_model = "Model" in loader
    try:
        made = getattr(transformers, loader).from_pretrained(where, **({"use_safetensors": True} if of_model else {}))
    except (ValueError, OSError, KeyError) as error:
        first = next((text for text in str(error).splitlines() if text.strip()), type(error).__name__)
        raise ValueError(f"{setting}: {where} cannot be loaded: {first}") from None
    return made.float().eval().requires_grad_(False) if of_model else made
