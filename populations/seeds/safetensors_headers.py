"""The header of a safetensors file: the names, types and shapes of its tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import torch

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

LENGTH = 8
"""Bytes at the beginning of a file that say how long its header is."""


@dataclass(frozen=True)
class Entry:
    """One tensor as a header describes it.

    Attributes:
        file: the file that it is in.
        dtype: its type.
        shape: its shape.
    """

    file: Path
    dtype: torch.dtype
    shape: tuple[int, ...]


def read_header(path: Path) -> dict[str, Entry]:
    """Reads the header of one safetensors file.

    Returns:
        Its tensors by name.

    Raises:
        ValueError: if it is not a whole safetensors file; the message says what is wrong with it.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = int.from_bytes(file.read(LENGTH), "little")
            # Without this check, a file of another kind could ask for exabytes of memory.
            if size < LENGTH or length > size - LENGTH:
                raise ValueError(
                    f"{path}: not a whole safetensors file, its header says {length} bytes "
                    f"and it has {max(size - LENGTH, 0)}"
                )
            text = file.read(length)
    except OSError as error:
        raise ValueError(f"{path}: it cannot be read ({error.strerror or error})") from None
    entries = {}
    end = 0
    try:
        for name, value in json.loads(text).items():
            if name != "__metadata__":
                entries[name] = _entry(path, name, value)
                end = max(end, int(value["data_offsets"][1]))
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"{path}: not a safetensors file, its header cannot be read ({_error_text(error)})"
        ) from None
    # A download that was cut off has a whole header and lacks weights.
    if LENGTH + length + end != size:
        raise ValueError(
            f"{path}: not a whole safetensors file, expected {LENGTH + length + end} bytes, "
            f"got {size}"
        )
    return entries


def dtype_of(name: str, kind: str) -> torch.dtype:
    """The torch type of a tensor.

    Args:
        name: the tensor's name, for the message.
        kind: what safetensors calls the type.

    Raises:
        ValueError: if torch has none such.
    """
    # torch has no such types, but these are known to be quantized.
    if kind in PACKED:
        raise ValueError(f"{name!r} is {kind}: it is quantized, expected floating-point weights")
    if kind not in DTYPES:
        raise ValueError(
            f"{name!r} is of a type that is not known, {kind}; known are {', '.join(DTYPES)}"
        )
    return DTYPES[kind]


def _entry(path: Path, name: str, value: Mapping[str, Any]) -> Entry:
    """One tensor of a header, checked against the bytes that it says it has.

    Raises:
        ValueError: if its type is not known, or its bytes are not as many as its numbers need.
    """
    dtype = dtype_of(name, str(value["dtype"]))
    shape = tuple([int(size) for size in value["shape"]])
    begin, end = map(int, value["data_offsets"])
    # With other offsets, tensors would overlap or reach beyond the file.
    needed = prod(shape) * dtype.itemsize
    if min(begin, *shape, 0) < 0 or end - begin != needed:
        raise ValueError(
            f"{name!r} of shape {shape} in {dtype} needs {needed} bytes, "
            f"the header says {begin} to {end}"
        )
    return Entry(path, dtype, shape)


def _error_text(error: Exception) -> str:
    """The text of a parser's error, with its kind where the text alone tells nothing."""
    # A KeyError, for one, has no more to say than the key.
    if type(error) is ValueError:
        return str(error)
    return repr(error)
