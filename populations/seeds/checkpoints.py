"""Checkpoints: a model's tensors in a folder of safetensors files, known by their headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from populations.seeds.json_files import read_json
from populations.seeds.safetensors_headers import Entry, read_header
from populations.settings.errors import first_line
from populations.settings.on_first_use import OnFirstUse

MODEL = "model"
"""What the files of a transformers model are called."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
"""Names of files of pickled weights, which can run any code when they are loaded."""

ADAPTER_CONFIG = "adapter_config.json"
"""The file that tells a LoRA adapter from a whole model."""


class Checkpoint(OnFirstUse):
    """The tensors of one model in a folder.

    They are in one safetensors file, or in several that an index names.
    """

    def __init__(self, folder: Path, entries: Mapping[str, Entry]) -> None:
        """Takes what the headers of a folder's files say; `open` reads them."""
        self.folder = folder
        self.entries = dict(entries)

    @classmethod
    def open(cls, folder: Path, stem: str = MODEL, variant: str | None = None) -> Checkpoint:
        """Reads the headers of a folder's files, and no weight.

        Args:
            folder: the folder of the files.
            stem: what the files are called.
            variant: which of several sets of files, such as "fp16".

        Raises:
            FileNotFoundError: if there is no such folder, no checkpoint in it, or a shard that its
                index names is missing.
            ValueError: if the weights are pickled, a file is not whole, or index and files do not
                agree.
        """
        single, index = file_names(stem, variant)
        if not folder.is_dir():
            raise FileNotFoundError(
                f"expected a folder with {single} or {index}, there is no folder {folder}"
            )
        # Without this, the message would say that nothing of this name is there.
        if (folder / single).is_dir():
            raise ValueError(f"{folder / single}: expected a file, it is a folder")
        # One file goes before an index beside it, as in transformers.
        if (folder / single).is_file():
            return cls(folder, read_header(folder / single))
        if (folder / index).is_file():
            return cls(folder, _read_shards(folder, index))
        # Old models come as pickles only; then the message says how to save them again.
        pickles = sorted(_names_matching(folder, PICKLES))
        if pickles:
            raise ValueError(
                f"{folder}: expected safetensors, got pickled weights ({pickles[0]}), which can "
                "run any code when they are loaded; save the model again with "
                "save_pretrained(..., safe_serialization=True)"
            )
        raise FileNotFoundError(
            f"{folder}: expected {single} or {index}, found neither"
            f"{_models_below(folder, (single, index, ADAPTER_CONFIG))}"
        )

    @property
    def name(self) -> str:
        """What messages call it."""
        return str(self.folder)

    @property
    def files(self) -> list[Path]:
        """The files that its weights are in."""
        return sorted({entry.file for entry in self.entries.values()})

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor, memory-mapped: what is not used is not read.

        Raises:
            KeyError: if there is no such tensor.
            ValueError: if its file cannot be read any more.
        """
        from safetensors import SafetensorError

        path = self.entries[name].file
        # The file may have been changed since its header was read.
        try:
            tensor: torch.Tensor = self._open_file(path).get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: {name!r} cannot be read ({first_line(error)})") from None
        return tensor

    @cached_property
    def _open_files(self) -> dict[Path, Any]:
        """The files that are open; a worker opens its own, since a mapping does not travel."""
        return {}

    def _open_file(self, path: Path) -> Any:
        """A file, opened once."""
        from safetensors import safe_open

        if path not in self._open_files:
            self._open_files[path] = safe_open(path, framework="pt")
        return self._open_files[path]


def file_names(stem: str, variant: str | None = None) -> tuple[str, str]:
    """The names of a checkpoint's files.

    Returns:
        What its one file is called, and, where it has several, what the index of them is called.
    """
    suffix = f".{variant}" if variant else ""
    return f"{stem}{suffix}.safetensors", f"{stem}.safetensors.index{suffix}.json"


def shards_of(index: Path) -> dict[str, str]:
    """Reads from an index which file each tensor is in.

    Raises:
        ValueError: if the index cannot be read.
    """
    expected = "JSON with a weight_map"
    weight_map = read_json(index, expected).get("weight_map")
    # An index without names would pass for a model without tensors.
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(
            f"{index}: expected {expected}, got {type(weight_map).__name__}: {str(weight_map)[:40]}"
        )
    for name, shard in weight_map.items():
        # A shard is a file in the same folder: no index sends its reader anywhere else.
        if not isinstance(shard, str) or shard in ("", ".", "..") or "/" in shard or "\\" in shard:
            raise ValueError(
                f"{index}: {name!r}: expected the name of a file beside it, got {shard!r}"
            )
    return weight_map


def _read_shards(folder: Path, index: str) -> dict[str, Entry]:
    """Reads the headers of all files that a folder's index names.

    Returns:
        All tensors of these files by name, those too that the index does not name.

    Raises:
        FileNotFoundError: if a shard is missing.
        ValueError: if the index cannot be read, or a shard lacks a tensor that the index says it
            has.
    """
    shard_of = shards_of(folder / index)
    shards = sorted(set(shard_of.values()))
    # All missing files are named at once, so that they can be fetched at once.
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {index} names {len(shards)} files, {len(missing)} are missing: "
            f"{', '.join(missing)}"
        )
    headers: dict[str, dict[str, Entry]] = {}
    entries: dict[str, Entry] = {}
    for shard in shards:
        headers[shard] = read_header(folder / shard)
        entries |= headers[shard]
    # Where two files have a tensor of one name, the index says whose counts.
    for name, shard in shard_of.items():
        if name not in headers[shard]:
            raise ValueError(
                f"{folder / shard}: expected a tensor {name!r}, since {index} says so; it has none"
            )
        entries[name] = headers[shard][name]
    return entries


def _models_below(folder: Path, names: Iterable[str]) -> str:
    """The end of a message that names models in folders below one; empty if there are none."""
    # Users often name the folder of all their models, or of a training run.
    folders = set()
    for name in names:
        for path in folder.glob(f"*/{name}"):
            folders.add(path.parent.name)
    if not folders:
        return ""
    return f"; there are models in folders below it: name one of {', '.join(sorted(folders))}"


def _names_matching(folder: Path, patterns: Iterable[str]) -> list[str]:
    """The names of a folder's files that match one of some patterns."""
    names: list[str] = []
    for pattern in patterns:
        names += [path.name for path in folder.glob(pattern)]
    return names
