"""Labelled pictures from a data set of the Hugging Face hub."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from fitness.contracts import can


class Picture(Protocol):
    """A picture as `datasets` gives it, an image of PIL."""

    def convert(self, mode: str) -> Any:
        """It in other colours, such as "L" for grey."""


def read_hub(name: str, revision: str | None) -> Any:
    """A data set by its name, all of its splits.

    Raises:
        ImportError: if the package `datasets` is not installed.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise ImportError(
            "data sets of the hub need the package datasets: pip install 'evomerge[hub]'"
        ) from None
    return load_dataset(name, revision=revision)


def pictures_of(
    loaded: Any, part: str, *, name: str, image: str, label: str
) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of a split, turned to grey, and their labels.

    Args:
        loaded: the data set.
        part: "train" or "test".
        name: of the data set, for messages.
        image: its column of pictures.
        label: its column of integer labels.

    Returns:
        (n, height, width) float32 in [0, 1], and (n,) integers.

    Raises:
        ValueError: if the split or a column is missing, or holds something else, or pictures
            differ in size.
    """
    if part not in loaded:
        raise ValueError(f"{name}: expected splits train and test, it has {', '.join(loaded)}")
    rows = loaded[part]
    for column in (image, label):
        if column not in rows.column_names:
            raise ValueError(f"{name}: no column {column!r}; it has {', '.join(rows.column_names)}")
    originals = list(rows[image])
    # a column of paths or of encoded bytes reads like one of pictures in the hub's viewer
    if not all(can(picture, Picture) for picture in originals):
        raise ValueError(
            f"{name}: expected pictures in the column {image!r}, got {rows.features[image]}"
        )
    # a column of texts or of lists would become classes of its own kind
    labels = np.asarray(list(rows[label]))
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ValueError(
            f"{name}: expected a whole number for each picture in the column {label!r}, "
            f"got {rows.features[label]}"
        )
    # a network has one size of input, and pictures are scored in stacks
    pictures = []
    shapes = set()
    for original in originals:
        picture = np.asarray(original.convert("L"), dtype=np.float32) / 255
        pictures.append(picture)
        shapes.add(picture.shape)
    if len(shapes) != 1:
        raise ValueError(f"{name}: the pictures of {part} differ in size")
    return np.stack(pictures), labels
