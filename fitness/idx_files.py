"""Files in the IDX format, in which MNIST comes: unsigned bytes in some dimensions."""

from __future__ import annotations

import difflib
import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np


def read_idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes, gzipped or not.

    Args:
        folder: where it is.
        name: of the file, without .gz.
        dimensions: how many it must have.

    Returns:
        An array of uint8 with so many dimensions.

    Raises:
        FileNotFoundError: if there is no such folder or file.
        ValueError: if it is not such a file, or truncated, or empty.
    """
    path = _path(folder, name)
    raw = _content(path)
    # two zeros, 8 for unsigned bytes, and the number of dimensions
    magic = bytes([0, 0, 8, dimensions])
    if raw[:4] != magic:
        raise ValueError(
            f"{path}: expected an IDX file of unsigned bytes in {dimensions} dimensions "
            f"(it begins {magic.hex()}), this one begins {raw[:4].hex() or 'and ends at once'}"
        )
    header = 4 + 4 * dimensions
    if len(raw) < header:
        raise ValueError(
            f"{path}: expected a header of {header} bytes, the file ends after {len(raw)}"
        )
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, offset=4).tolist())
    # a download that broke off is often still a file that opens
    if len(raw) - header != prod(shape):
        raise ValueError(
            f"{path}: its header promises {prod(shape)} bytes of shape {shape}, "
            f"it holds {len(raw) - header}"
        )
    if not prod(shape):
        raise ValueError(f"{path}: it is empty, shape {shape}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _path(folder: Path, name: str) -> Path:
    """The path of a file, which may be gzipped."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"folder: expected a folder with {name}[.gz], but there is no folder {folder}"
        )
    for path in (folder / name, folder / f"{name}.gz"):
        if path.is_file():
            return path
    # some mirrors write a dot where the others have a hyphen
    hint = ""
    near = difflib.get_close_matches(name, [file.name for file in folder.iterdir()], 1)
    if near:
        hint = f"; is it {near[0]!r}? Then rename it"
    raise FileNotFoundError(
        f"folder: expected the file {folder / name} or {name}.gz, found neither{hint}"
    )


def _content(path: Path) -> bytes:
    """What is in a file, unpacked."""
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from None
