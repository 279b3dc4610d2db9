"""Pictures of datapoints: what is one and what is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from evomerge.report.thumbnails import picture


def as_uri(pixels, kind="png"):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format=kind)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


NOISE = np.random.default_rng(0).integers(0, 256, (256, 256, 3)).astype(np.uint8)
SMALL = as_uri(NOISE[:8, :8])


@pytest.mark.parametrize(
    "rows",
    [
        *("text", [[1, 2], [3]], [], [[]], {"a": 1}, 7, [[[1, 2]]], None),
        *(
            f'{SMALL}" onerror="alert(1)',
            "data:image/svg+xml;base64,AAAA",
            "data:image/png;base64,AAAA",
            SMALL[:-60],
            "data:image/png;base64,A",
        ),
    ],
)
def test_what_is_no_picture(rows):
    assert picture(rows) is None


@pytest.mark.parametrize(
    "rows", [[[0, 255], [300, -4]], [[float("nan")]], np.zeros((500, 20, 3)).tolist()]
)
def test_what_is_a_picture(rows):
    assert picture(rows).startswith("data:image/png;base64,")


def test_small_ones_stay_as_they_are_and_large_ones_become_small():
    assert picture(SMALL) == SMALL
    for large in (
        as_uri(NOISE),
        as_uri(NOISE, "jpeg"),
        NOISE.tolist(),
        as_uri(np.concatenate([NOISE, NOISE[..., :1]], axis=2)),
    ):
        assert picture(large).startswith("data:image/jpeg;base64,")
        assert len(picture(large)) < 20_000
