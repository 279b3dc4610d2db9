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

    damaged = (TypeError, ValueError, OSError, SyntaxError, Image.DecompressionBombError)
    try:
        data = _decoded(rows) if isinstance(rows, str) else _encoded(rows)
        with Image.open(io.BytesIO(data), formats=("png", "jpeg")) as image:
            # Only now all of the file is read, and what is damaged found.
            image.load()
            kind = str(image.format).lower()
            # Some hundred pictures may be on a page, which should open on a telephone.
            if len(data) > BYTES:
                image.thumbnail((ACROSS, ACROSS))
                kind = "jpeg"
                file = io.BytesIO()
                image.convert("RGB").save(file, format=kind, quality=QUALITY)
                data = file.getvalue()
    except damaged:
        return None
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"


def _decoded(uri: str) -> bytes:
    """The bytes of a data URI.

    Raises:
        ValueError: if it is none of a picture.
    """
    match = DATA_URI.fullmatch(uri)
    if match is None:
        raise ValueError("no data URI of a picture")
    return base64.b64decode(match[2], validate=True)


def _encoded(rows: Any) -> bytes:
    """Rows of values as a PNG.

    Raises:
        ValueError: if they are none of a picture.
        TypeError: likewise.
    """
    from matplotlib.image import imsave

    values = np.nan_to_num(np.asarray(rows, dtype=np.float64))
    pixels = values.clip(0, 255).astype(np.uint8)  # (H, W), (H, W, 3) or (H, W, 4)
    is_grey = pixels.ndim == 2
    is_colour = pixels.ndim == 3 and pixels.shape[2] in (3, 4)
    if pixels.size == 0 or not (is_grey or is_colour):
        raise ValueError(f"no picture has the shape {pixels.shape}")
    # Every so many-th pixel: of rows of values it is not known how they may be blurred.
    step_down = -(-pixels.shape[0] // SIZE)
    step_across = -(-pixels.shape[1] // SIZE)
    pixels = pixels[::step_down, ::step_across]
    file = io.BytesIO()
    # The name of the software would change the file from version to version.
    imsave(file, pixels, format="png", cmap="gray", vmin=0, vmax=255, metadata={"Software": ""})
    return file.getvalue()
