"""Pictures in and out: what a record names, what a user's function gets, what a report shows."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch

THUMBNAIL = 128
"""Most pixels across a picture in a report."""


def opened(value: Any, whole: bool = True) -> Any:
    """A record's picture as a PIL image in RGB.

    Args:
        value: a path, a PIL image, or an array (H, W) or (H, W, 3) of uint8.
        whole: whether a file is read to its end; its head tells whether it is a picture at all.

    Raises:
        ValueError: if it is no picture, or there is no such file.
    """
    from PIL import Image

    if isinstance(value, Image.Image):
        return value.convert("RGB")
    if isinstance(value, str | Path):
        return _from_file(Path(value).expanduser(), whole)
    array = np.asarray(value)
    is_grey = array.ndim == 2
    is_coloured = array.ndim == 3 and array.shape[2] == 3
    # numbers of another type may be in [0, 1] or in [0, 255], and a guess would be wrong at times
    if array.dtype != np.uint8 or not (is_grey or is_coloured):
        raise ValueError(
            f"expected a picture: a path, or an array (H, W) or (H, W, 3) of uint8, "
            f"got {_kind(value)}"
        )
    return Image.fromarray(array).convert("RGB")


def pil(picture: torch.Tensor) -> Any:
    """A picture (3, H, W) in [0, 1] as a PIL image."""
    from PIL import Image

    pixels = (255 * picture.clamp(0, 1)).round().to(torch.uint8)
    return Image.fromarray(pixels.permute(1, 2, 0).numpy(force=True))


def data_uri(picture: torch.Tensor) -> str:
    """A picture (3, H, W) in [0, 1] as a small PNG in a data URI."""
    image = pil(picture)
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    file = io.BytesIO()
    image.save(file, format="png")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def _from_file(path: Path, whole: bool) -> Any:
    """A file's picture, as `opened`."""
    from PIL import Image, UnidentifiedImageError

    if not path.is_file():
        raise ValueError(f"expected a picture, there is no file {path}")
    # PIL says of a broken file what its format's reader says, in several ways
    try:
        with Image.open(path) as image:
            return image.convert("RGB") if whole else image
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise ValueError(f"expected a picture, {path} is none ({error})") from None


def _kind(value: Any) -> str:
    """What a message says of a value that is no picture."""
    if isinstance(value, np.ndarray):
        return f"an array {value.shape} of {value.dtype}"
    return f"{type(value).__name__} {value!r:.60}"
