"""Checkpoints as folders of safetensors: all that their headers tell, before a weight is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from populations.resident import OnFirstUse

MODEL = "model"
"""What the files of a transformers model are called."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


@dataclass(frozen=True)
class Entry:
    """One tensor as a header describes it.

    Attributes:
        file: where it is.
        dtype: its type.
        shape: its shape.
    """

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]


class Checkpoint(OnFirstUse):
    """The tensors of one model in a folder: one safetensors file, or several that an index names."""

    def __init__(self, folder: Path, entries: Mapping[str, Entry]) -> None:
        """Takes what `open` found."""
        self.folder, self.entries = folder, dict(entries)

    @classmethod
    def open(cls, folder: Path, stem: str = MODEL, variant: str | None = None) -> Checkpoint:
        """Reads the headers of a folder's files, and no weight.

        Args:
            folder: where they are.
            stem: what the files are called.
            variant: which of several sets of files, such as "fp16".

        Raises:
            FileNotFoundError: if there is no such folder, no checkpoint in it, or a shard that its index names is missing.
            ValueError: if the weights are pickled, a file is not whole, or index and files do not agree.
        """
        single, index = names(stem, variant)
        if not folder.is_dir():
            raise FileNotFoundError(f"expected a folder with {single} or {index}, there is no folder {folder}")
        if (folder / single).is_file():
            return cls(folder, read_header(folder / single))
        if not (folder / index).is_file():
            pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
            if pickles:
                raise ValueError(
                    f"{folder}: expected safetensors, got pickled weights ({pickles[0]}), which can run any code when they are "
                    "loaded; save the model again with save_pretrained(..., safe_serialization=True)"
                )
            raise FileNotFoundError(f"{folder}: expected {single} or {index}, found neither")
        return cls(folder, _sharded(folder, index))

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
        """
        tensor: torch.Tensor = self._file(self.entries[name].file).get_tensor(name)
        return tensor

    @cached_property
    def _files(self) -> dict[Path, Any]:
        return {}

    def _file(self, path: Path) -> Any:
        from safetensors import safe_open

        if path not in self._files:
            self._files[path] = safe_open(path, framework="pt")
        return self._files[path]


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of one safetensors file by name.

    Raises:
        ValueError: if it is not a whole safetensors file; the message says what is wrong with it.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > size - 8:
            raise ValueError(
                f"{path}: not a whole safetensors file, its header says {length} bytes and it has {max(size - 8, 0)}"
            )
        try:
            header = json.loads(file.read(length))
            tensors = {name: value for name, value in header.items() if name != "__metadata__"}
            entries = {
                name: Entry(path, DTYPES[value["dtype"]], tuple(int(n) for n in value["shape"]))
                for name, value in tensors.items()
            }
            end = max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
        except (ValueError, TypeError, KeyError, AttributeError, IndexError) as error:
            raise ValueError(f"{path}: not a safetensors file, its header cannot be read ({error!r})") from None
    if 8 + length + end != size:
        raise ValueError(f"{path}: not a whole safetensors file, expected {8 + length + end} bytes, got {size}")
    return entries


def names(stem: str, variant: str | None = None) -> tuple[str, str]:
    """What a checkpoint's one file is called, and, where it has several, the index of them."""
    of = f".{variant}" if variant else ""
    return f"{stem}{of}.safetensors", f"{stem}.safetensors.index{of}.json"


def shards_of(index: Path) -> dict[str, str]:
    """Which file each tensor is in, by an index.

    Raises:
        ValueError: if the index cannot be read.
    """
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        return {str(name): str(shard) for name, shard in weight_map.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"{index}: expected JSON with a weight_map, it cannot be read ({error!r})") from None


def _sharded(folder: Path, index: str) -> dict[str, Entry]:
    """The tensors of all files that a folder's index names.

    Raises:
        FileNotFoundError: if a shard is missing.
        ValueError: if the index cannot be read, or a shard lacks a tensor that the index says it has.
    """
    shard_of = shards_of(folder / index)
    shards = sorted(set(shard_of.values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise FileNotFoundError(f"{folder}: {index} names {len(shards)} files, {len(missing)} are missing: {', '.join(missing)}")
    headers = {shard: read_header(folder / shard) for shard in shards}
    for name, shard in shard_of.items():
        if name not in headers[shard]:
            raise ValueError(f"{folder / shard}: expected a tensor {name!r}, since {index} says so; it has none")
    return {name: headers[shard][name] for name, shard in shard_of.items()}
