"""Checkpoints as folders of safetensors: all that their headers tell, before a weight is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

import torch

from populations.express.resident import OnFirstUse, line
from populations.seeds.reading import read_json

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
    "F8_E4M3FNUZ": torch.float8_e4m3fnuz,
    "F8_E5M2FNUZ": torch.float8_e5m2fnuz,
    "F8_E8M0": torch.float8_e8m0fnu,
    "C64": torch.complex64,
    "U64": torch.uint64,
    "U32": torch.uint32,
    "U16": torch.uint16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}

PACKED = {"F4", "F6_E2M3", "F6_E3M2"}
"""Types of safetensors whose numbers are smaller than a byte: quantized weights."""

ADAPTER = "adapter_config.json"
"""What tells a LoRA adapter from a whole model."""


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
            raise FileNotFoundError(
                f"expected a folder with {single} or {index}, there is no folder {folder}"
            )
        if (folder / single).is_dir():
            raise ValueError(f"{folder / single}: expected a file, it is a folder")
        if (folder / single).is_file():
            return cls(folder, read_header(folder / single))
        if not (folder / index).is_file():
            pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
            if pickles:
                raise ValueError(
                    f"{folder}: expected safetensors, got pickled weights ({pickles[0]}), which can run any code when they are "
                    "loaded; save the model again with save_pretrained(..., safe_serialization=True)"
                )
            below = sorted(
                {
                    path.parent.name
                    for name in (single, index, ADAPTER)
                    for path in folder.glob(f"*/{name}")
                }
            )
            hint = (
                f"; there are models in folders below it: name one of {', '.join(below)}"
                if below
                else ""
            )
            raise FileNotFoundError(f"{folder}: expected {single} or {index}, found neither{hint}")
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
            ValueError: if its file cannot be read any more.
        """
        from safetensors import SafetensorError

        path = self.entries[name].file
        try:
            tensor: torch.Tensor = self._file(path).get_tensor(name)
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: {name!r} cannot be read ({line(error)})") from None
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
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if size < 8 or length > size - 8:
                raise ValueError(
                    f"{path}: not a whole safetensors file, its header says {length} bytes and it has {max(size - 8, 0)}"
                )
            text = file.read(length)
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read ({error.strerror or error})") from None
    try:
        tensors = {
            name: value for name, value in json.loads(text).items() if name != "__metadata__"
        }
        entries = {name: _entry(path, name, value) for name, value in tensors.items()}
        end = max((int(value["data_offsets"][1]) for value in tensors.values()), default=0)
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a safetensors file, its header cannot be read ({_words(error)})"
        ) from None
    if 8 + length + end != size:
        raise ValueError(
            f"{path}: not a whole safetensors file, expected {8 + length + end} bytes, got {size}"
        )
    return entries


def dtype_of(name: str, kind: str) -> torch.dtype:
    """The type of a tensor, by what safetensors calls it.

    Raises:
        ValueError: if torch has none such.
    """
    if kind in PACKED:
        raise ValueError(f"{name!r} is {kind}: it is quantized, expected floating-point weights")
    if kind not in DTYPES:
        raise ValueError(
            f"{name!r} is of a type that is not known, {kind}; known are {', '.join(DTYPES)}"
        )
    return DTYPES[kind]


def names(stem: str, variant: str | None = None) -> tuple[str, str]:
    """What a checkpoint's one file is called, and, where it has several, the index of them."""
    of = f".{variant}" if variant else ""
    return f"{stem}{of}.safetensors", f"{stem}.safetensors.index{of}.json"


def shards_of(index: Path) -> dict[str, str]:
    """Which file each tensor is in, by an index.

    Raises:
        ValueError: if the index cannot be read.
    """
    what = "JSON with a weight_map"
    weight_map = read_json(index, what).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(
            f"{index}: expected {what}, got {type(weight_map).__name__}: {str(weight_map)[:40]}"
        )
    for name, shard in weight_map.items():
        # a name of a file in the same folder: no index sends its reader anywhere else
        if not isinstance(shard, str) or shard in ("", ".", "..") or "/" in shard or "\\" in shard:
            raise ValueError(
                f"{index}: {name!r}: expected the name of a file beside it, got {shard!r}"
            )
    return weight_map


def _sharded(folder: Path, index: str) -> dict[str, Entry]:
    """The tensors of all files that a folder's index names, those too that it does not name.

    Raises:
        FileNotFoundError: if a shard is missing.
        ValueError: if the index cannot be read, or a shard lacks a tensor that the index says it has.
    """
    shard_of = shards_of(folder / index)
    shards = sorted(set(shard_of.values()))
    missing = [shard for shard in shards if not (folder / shard).is_file()]
    if missing:
        raise FileNotFoundError(
            f"{folder}: {index} names {len(shards)} files, {len(missing)} are missing: {', '.join(missing)}"
        )
    headers = {shard: read_header(folder / shard) for shard in shards}
    for name, shard in shard_of.items():
        if name not in headers[shard]:
            raise ValueError(
                f"{folder / shard}: expected a tensor {name!r}, since {index} says so; it has none"
            )
    stray = {name: entry for header in headers.values() for name, entry in header.items()}
    return stray | {name: headers[shard][name] for name, shard in shard_of.items()}


def _entry(path: Path, name: str, value: Mapping[str, Any]) -> Entry:
    """One tensor of a header, checked against the bytes that it says it has.

    Raises:
        ValueError: if its type is not known, or its bytes are not as many as its numbers need.
    """
    dtype = dtype_of(name, str(value["dtype"]))
    shape = tuple(int(n) for n in value["shape"])
    begin, end = (int(n) for n in value["data_offsets"])
    needed = prod(shape) * dtype.itemsize
    if min(begin, *shape, 0) < 0 or end - begin != needed:
        raise ValueError(
            f"{name!r} of shape {shape} in {dtype} needs {needed} bytes, the header says {begin} to {end}"
        )
    return Entry(path, dtype, shape)


def _words(error: Exception) -> str:
    """What a parser's error says, with its kind where that is all that tells it."""
    return str(error) if type(error) is ValueError else repr(error)
