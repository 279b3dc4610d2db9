"""Pictures of datapoints as a part of a page: small, and checked to be pictures."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import numpy as np

SIZE = 96
"""Most pixels across a picture that comes as numbers."""

BYTES = 6_000
"""Most bytes of a picture that stays as it is; a larger one is kept less exactly."""

ACROSS, QUALITY = 128, 80
"""Most pixels across such a picture, and how exactly it is kept, as JPEG counts."""

DATA_URI = re.compile(r"data:image/(png|jpeg);base64,([A-Za-z0-9+/]+=*)")


def picture(rows: Any) -> str | None:
    """A picture as a data URI that a page can show.

    Args:
        rows: rows of grey or RGB values from 0 to 255, or a data URI of a PNG or a JPEG.

    Returns:
        None if it is no picture.
    """
    from PIL import Image

    try:
        data = _decoded(rows) if isinstance(rows, str) else _encoded(rows)
        with Image.open(io.BytesIO(data), formats=("png", "jpeg")) as image:
            image.load()
            kind = str(image.format).lower()
            if len(data) > BYTES:
                image.thumbnail((ACROSS, ACROSS))
                file, kind = io.BytesIO(), "jpeg"
                image.convert("RGB").save(file, format="jpeg", quality=QUALITY)
                data = file.getvalue()
    except (
        TypeError,
        ValueError,
        OSError,
        SyntaxError,
        Image.DecompressionBombError,
    ):  # as pillow says that a file is damaged
        return None
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _decoded(uri: str) -> bytes:
    """The bytes of a data URI.

    Raises:
        ValueError: if it is none of a picture.
    """
    found = DATA_URI.fullmatch(uri)
    if found is None:
        raise ValueError("no data URI of a picture")
    return base64.b64decode(found[2], validate=True)


def _encoded(rows: Any) -> bytes:
    """Rows of values as a PNG.

    Raises:
        ValueError: if they are none of a picture.
        TypeError: likewise.
    """
    from matplotlib.image import imsave

    pixels = np.nan_to_num(np.asarray(rows, dtype=np.float64)).clip(0, 255).astype(np.uint8)
    if (
        pixels.size == 0
        or pixels.ndim not in (2, 3)
        or (pixels.ndim == 3 and pixels.shape[2] not in (3, 4))
    ):
        raise ValueError(f"no picture has the shape {pixels.shape}")
    pixels = pixels[:: -(-pixels.shape[0] // SIZE), :: -(-pixels.shape[1] // SIZE)]
    file = io.BytesIO()
    imsave(file, pixels, format="png", cmap="gray", vmin=0, vmax=255, metadata={"Software": ""})
    return file.getvalue()
