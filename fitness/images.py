"""Labelled images to learn from and to be judged by: scikit-learn's digits, IDX files (MNIST), data sets of the hub.

Each is a small value that names its data and loads them on first use, once in a process.
"""

from __future__ import annotations

import difflib
import gzip
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

Split = tuple[torch.Tensor, torch.Tensor]


class Images(Protocol):
    """A set of labelled images."""

    def split(self, name: str) -> Split | None:
        """Images (n, pixels) or (n, channels, height, width) float32 and labels (n,) int64 of "train", "test" or "validation".

        None if there is no such split.
        """

    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""


@dataclass(frozen=True)
class SklearnDigits:
    """The 1,797 handwritten digits of 8x8 that ship with scikit-learn, in file order; pixels 0 to 16 as they are.

    Attributes:
        train: share of the images, from the start of the file, to train on; the rest is the test split.
        validation: share of the training images, from their end, set aside for validation.
        flat: rows of pixels; otherwise (channels, height, width), for convolutions.
    """

    train: float = 0.8
    validation: float = 0.0
    flat: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.train <= 1:
            raise ValueError(f"train: expected a share in (0, 1], got {self.train}")
        _check_validation(self.validation)

    def split(self, name: str) -> Split | None:
        """As `Images.split`."""
        return _sklearn_digits(self).get(name)

    def shape(self) -> tuple[int, int]:
        """8x8."""
        return 8, 8


@dataclass(frozen=True)
class Idx:
    """Images in the IDX format, such as MNIST: `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte`, gzipped (.gz) or not.

    Attributes:
        folder: where the four files lie.
        validation: share of the training images, from their end, set aside for validation.
        flat: rows of pixels; otherwise (channels, height, width), for convolutions.
    """

    folder: Path
    validation: float = 0.0
    flat: bool = True

    def __post_init__(self) -> None:
        _check_validation(self.validation)

    def split(self, name: str) -> Split | None:
        """As `Images.split`; pixels are scaled to [0, 1].

        Raises:
            FileNotFoundError: if the folder or a file is missing.
            ValueError: if a file is not IDX, is truncated, or images and labels do not match.
        """
        return _idx(self).get(name)

    def shape(self) -> tuple[int, int]:
        """As the training file says."""
        return _idx_shape(self)


@dataclass(frozen=True)
class HubImages:
    """A data set of the Hugging Face hub, for machines with a network (or with the set in their cache).

    Attributes:
        name: of the data set, such as "ylecun/mnist".
        image: its column of pictures; they are turned to grey and scaled to [0, 1].
        label: its column of integer labels.
        revision: commit, tag or branch.
        validation: share of the training images, from their end, set aside for validation.
        flat: rows of pixels; otherwise (channels, height, width), for convolutions.
    """

    name: str
    image: str = "image"
    label: str = "label"
    revision: str | None = None
    validation: float = 0.0
    flat: bool = True

    def __post_init__(self) -> None:
        _check_validation(self.validation)

    def split(self, name: str) -> Split | None:
        """As `Images.split`.

        Raises:
            ImportError: if the package `datasets` is not installed.
            ValueError: if a column is missing or pictures differ in size.
        """
        return _hub(self)[0].get(name)

    def shape(self) -> tuple[int, int]:
        """As its first picture."""
        return _hub(self)[1]


def _check_validation(share: float) -> None:
    if not 0 <= share < 1:
        raise ValueError(f"validation: expected a share in [0, 1), got {share}")


def _splits(
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    validation: float,
    flat: bool,
) -> Mapping[str, Split]:
    """Tensors of each split that is not empty."""
    kept = len(train[0]) - round(validation * len(train[0]))
    parts = {
        "train": (train[0][:kept], train[1][:kept]),
        "validation": (train[0][kept:], train[1][kept:]),
        "test": test,
    }
    return {
        name: (
            torch.from_numpy(
                np.ascontiguousarray(
                    images.reshape(len(images), -1) if flat else images[:, None], np.float32
                )
            ),
            torch.from_numpy(labels.astype(np.int64)),
        )
        for name, (images, labels) in parts.items()
        if len(images)
    }


@lru_cache(maxsize=4)
def _sklearn_digits(data: SklearnDigits) -> Mapping[str, Split]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    cut = int(data.train * len(digits.images))
    images, labels = digits.images, digits.target
    return _splits(
        (images[:cut], labels[:cut]), (images[cut:], labels[cut:]), data.validation, data.flat
    )


@lru_cache(maxsize=4)
def _idx(data: Idx) -> Mapping[str, Split]:
    sets = []
    for part in ("train", "t10k"):
        images = _read_idx(
            Path(data.folder).expanduser(), f"{part}-images-idx3-ubyte", dimensions=3
        )
        labels = _read_idx(
            Path(data.folder).expanduser(), f"{part}-labels-idx1-ubyte", dimensions=1
        )
        if len(images) != len(labels):
            raise ValueError(
                f"{data.folder}: {part} has {len(images)} images, but {len(labels)} labels"
            )
        sets.append((images / np.float32(255), labels))
    if sets[0][0].shape[1:] != sets[1][0].shape[1:]:
        raise ValueError(
            f"{data.folder}: train has images of {sets[0][0].shape[1:]}, t10k of {sets[1][0].shape[1:]}"
        )
    return _splits(sets[0], sets[1], data.validation, data.flat)


@lru_cache(maxsize=4)
def _idx_shape(data: Idx) -> tuple[int, int]:
    height, width = _read_idx(
        Path(data.folder).expanduser(), "train-images-idx3-ubyte", dimensions=3
    ).shape[1:]
    return height, width


def _read_idx(folder: Path, name: str, dimensions: int) -> np.ndarray:
    """An IDX file of unsigned bytes, gzipped or not."""
    if not folder.is_dir():
        raise FileNotFoundError(
            f"folder: expected a folder with {name}[.gz], but there is no folder {folder}"
        )
    path = next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)
    if path is None:
        near = difflib.get_close_matches(name, [file.name for file in folder.iterdir()], 1)
        hint = f"; is it {near[0]!r}? Then rename it" if near else ""
        raise FileNotFoundError(
            f"folder: expected the file {folder / name} or {name}.gz, found neither{hint}"
        )
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ValueError(f"{path}: not a whole gzip file ({error})") from None
    header = 4 + 4 * dimensions
    magic = bytes([0, 0, 8, dimensions])
    if raw[:4] != magic:
        raise ValueError(f"{path}: expected an IDX file of unsigned bytes in {dimensions} dimensions (it begins {magic.hex()}), "
                         f"this one begins {raw[:4].hex() or 'and ends at once'}")  # fmt: skip
    if len(raw) < header:
        raise ValueError(
            f"{path}: expected a header of {header} bytes, the file ends after {len(raw)}"
        )
    shape = tuple(np.frombuffer(raw, ">u4", dimensions, offset=4).tolist())
    if len(raw) - header != prod(shape):
        raise ValueError(
            f"{path}: its header promises {prod(shape)} bytes of shape {shape}, it holds {len(raw) - header}"
        )
    if not prod(shape):
        raise ValueError(f"{path}: it is empty, shape {shape}")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


@lru_cache(maxsize=4)
def _hub(data: HubImages) -> tuple[Mapping[str, Split], tuple[int, int]]:
    try:
        from datasets import load_dataset
    except ImportError:
        raise ImportError(
            "data sets of the hub need the package datasets: pip install 'evomerge[hub]'"
        ) from None
    loaded = load_dataset(data.name, revision=data.revision)
    sets = []
    for part in ("train", "test"):
        if part not in loaded:
            raise ValueError(
                f"{data.name}: expected splits train and test, it has {', '.join(loaded)}"
            )
        for name in (data.image, data.label):
            if name not in loaded[part].column_names:
                raise ValueError(
                    f"{data.name}: no column {name!r}; it has {', '.join(loaded[part].column_names)}"
                )
        column = list(loaded[part][data.image])
        if not all(hasattr(picture, "convert") for picture in column):
            raise ValueError(
                f"{data.name}: expected pictures in the column {data.image!r}, got {loaded[part].features[data.image]}"
            )
        labels = np.asarray(list(loaded[part][data.label]))
        if labels.dtype.kind not in "iu" or labels.ndim != 1:
            raise ValueError(
                f"{data.name}: expected a whole number for each picture in the column {data.label!r}, "
                f"got {loaded[part].features[data.label]}"
            )
        pictures = [np.asarray(picture.convert("L"), dtype=np.float32) / 255 for picture in column]
        if len({picture.shape for picture in pictures}) != 1:
            raise ValueError(f"{data.name}: the pictures of {part} differ in size")
        sets.append((np.stack(pictures), labels))
    height, width = sets[0][0].shape[1:]
    return _splits(sets[0], sets[1], data.validation, data.flat), (height, width)
