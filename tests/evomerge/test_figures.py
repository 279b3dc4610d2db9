"""The diagrams: what is a picture and what is none."""

import numpy as np
import pytest

from evomerge import figures


@pytest.mark.parametrize("rows", ["text", [[1, 2], [3]], [], [[]], {"a": 1}, 7, [[[1, 2]]]])
def test_what_is_no_picture(rows):
    assert figures.picture(rows) is None


@pytest.mark.parametrize("rows", [[[0, 255], [300, -4]], np.zeros((500, 20, 3)).tolist(), [[float("nan")]]])
def test_what_is_a_picture(rows):
    assert figures.picture(rows).startswith("data:image/png;base64,")
