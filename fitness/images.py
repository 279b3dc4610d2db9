"""Labelled images to learn from and to be judged by.

There are scikit-learn's digits, IDX files (MNIST) and data sets of the hub. Each is a small
value that names its data and loads them on first use, once in a process.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from fitness.hub_pictures import pictures_of, read_hub
from fitness.idx_files import read_idx
from fitness.portable import Portable
from fitness.versions import Version, version_of

Split = tuple[torch.Tensor, torch.Tensor]
"""Images and their labels, as `Images.split` has them."""

Arrays = tuple[np.ndarray, np.ndarray]
"""Images (n, height, width) and labels (n,), as they were read."""


class Images(Protocol):
    """A set of labelled images."""

    def split(self, name: str) -> Split | None:
        """Images and labels of "train", "test" or "validation".

        Images are (n, pixels) or (n, channels, height, width) float32, labels (n,) int64. None if
        there is no such split.
        """

    def shape(self) -> tuple[int, int]:
        """Height and width of an image."""


@dataclass(frozen=True)
class SklearnDigits:
    """The 1,797 handwritten digits of 8x8 that ship with scikit-learn, in file order.

    Pixels are 0 to 16, as they are.

    Attributes:
        train: share of the images, from the start of the file, to train on; the rest is the test
            split.
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
class Idx(Portable):
    """Images in the IDX format, such as MNIST, gzipped (.gz) or not.

    The files are called `train-images-idx3-ubyte`, `t10k-labels-idx1-ubyte` and so on.

    Attributes:
        folder: where the four files are.
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
        return self._splits.get(name)

    def shape(self) -> tuple[int, int]:
        """As the training file says."""
        return self._shape

    @cached_property
    def _splits(self) -> Mapping[str, Split]:
        """The splits of the files as they are on first use."""
        return _idx(self, self._version())

    @cached_property
    def _shape(self) -> tuple[int, int]:
        """Height and width of the training images as they are on first use."""
        return _idx_shape(self, self._version())

    def _version(self) -> Version:
        """Of all files of the folder, since each may have an ending or none."""
        return version_of(sorted(Path(self.folder).expanduser().glob("*-ubyte*")))


@dataclass(frozen=True)
class HubImages:
    """A data set of the Hugging Face hub.

    It is for machines with a network, or with the set in their cache.

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
    """Refuses a share of the training images that would leave none."""
    if not 0 <= share < 1:
        raise ValueError(f"validation: expected a share in [0, 1), got {share}")


def _splits(train: Arrays, test: Arrays, validation: float, flat: bool) -> Mapping[str, Split]:
    """Tensors of each split that is not empty.

    Args:
        train: (n, height, width) images and (n,) labels.
        test: likewise.
        validation: share of the training images, from their end, set aside for validation.
        flat: whether images become rows of pixels.
    """
    # validation images come from the end, so that a share of 0 changes nothing
    images, labels = train
    kept = len(images) - round(validation * len(images))
    splits = {}
    for name, arrays in (
        ("train", (images[:kept], labels[:kept])),
        ("validation", (images[kept:], labels[kept:])),
        ("test", test),
    ):
        # a split without datapoints is none
        if len(arrays[0]):
            splits[name] = _tensors(*arrays, flat)
    return splits


def _tensors(images: np.ndarray, labels: np.ndarray, flat: bool) -> Split:
    """Images (n, height, width) and labels (n,) as a split has them."""
    shaped = images[:, None]  # (n, 1, height, width)
    if flat:
        shaped = images.reshape(len(images), -1)  # (n, pixels)
    # torch takes an array as it is, so it has to be in one piece and of the type of the weights
    inputs = torch.from_numpy(np.ascontiguousarray(shaped, np.float32))
    return inputs, torch.from_numpy(labels.astype(np.int64))


@lru_cache(maxsize=4)
def _sklearn_digits(data: SklearnDigits) -> Mapping[str, Split]:
    """The splits of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = digits.images
    labels = digits.target
    cut = int(data.train * len(images))
    return _splits(
        (images[:cut], labels[:cut]), (images[cut:], labels[cut:]), data.validation, data.flat
    )


@lru_cache(maxsize=4)
def _idx(data: Idx, _version: Version) -> Mapping[str, Split]:
    """The splits of IDX files."""
    train = _idx_part(data, "train")
    test = _idx_part(data, "t10k")
    # files of two data sets in one folder
    if train[0].shape[1:] != test[0].shape[1:]:
        raise ValueError(
            f"{data.folder}: train has images of {train[0].shape[1:]}, t10k of {test[0].shape[1:]}"
        )
    return _splits(train, test, data.validation, data.flat)


def _idx_part(data: Idx, part: str) -> Arrays:
    """The images, scaled to [0, 1], and labels of "train" or "t10k"."""
    # a config's value for a path is a text, and may begin with ~
    folder = Path(data.folder).expanduser()
    images = read_idx(folder, f"{part}-images-idx3-ubyte", dimensions=3)
    labels = read_idx(folder, f"{part}-labels-idx1-ubyte", dimensions=1)
    if len(images) != len(labels):
        raise ValueError(
            f"{data.folder}: {part} has {len(images)} images, but {len(labels)} labels"
        )
    return images / np.float32(255), labels


@lru_cache(maxsize=4)
def _idx_shape(data: Idx, _version: Version) -> tuple[int, int]:
    """Height and width of the training images; nothing else need be there."""
    folder = Path(data.folder).expanduser()
    images = read_idx(folder, "train-images-idx3-ubyte", dimensions=3)
    height, width = images.shape[1:]
    return height, width


@lru_cache(maxsize=4)
def _hub(data: HubImages) -> tuple[Mapping[str, Split], tuple[int, int]]:
    """The splits of a data set of the hub, with the height and width of its images."""
    loaded = read_hub(data.name, data.revision)
    train = pictures_of(loaded, "train", name=data.name, image=data.image, label=data.label)
    test = pictures_of(loaded, "test", name=data.name, image=data.image, label=data.label)
    # unlike files in the IDX format, a data set says its size nowhere
    height, width = train[0].shape[1:]
    return _splits(train, test, data.validation, data.flat), (height, width)
