"""SLERP as two scalars, with mergekit as the judge."""

import math

import numpy as np
import pytest
import torch
from mergekit.merge_methods.slerp import slerp

from evomerge.genome.slerp import slerp_coefficients


def pair(rng, cosine):
    """Two vectors of random length with this cosine between them, exact to float64."""
    a, b = np.linalg.qr(rng.standard_normal((12, 2)))[0].T
    return a * rng.uniform(0.1, 10), (cosine * a + math.sqrt(1 - cosine**2) * b) * rng.uniform(
        0.1, 10
    )


@pytest.mark.parametrize(
    "cosine", [-1.0, -0.99951, -0.99949, -0.9, -1e-9, 0.0, 0.3, 0.99, 0.99949, 0.99951, 1.0]
)
def test_the_angle_of_a_tensor_is_mergekits(cosine):
    rng = np.random.default_rng(7)
    for w in (-0.3, 0.0, 0.1, 0.5, 0.77, 1.0, 1.3):
        a, b = pair(rng, cosine)
        first, second = slerp_coefficients(w, a @ a, a @ b, b @ b, "tensor")
        merged = slerp(
            torch.tensor([w], dtype=torch.float64), *(torch.from_numpy(x)[None] for x in (a, b))
        )[0].numpy()
        np.testing.assert_allclose(first * a + second * b, merged, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("angle", ["part", "whole"])
@pytest.mark.parametrize(
    ("theta", "linear"),
    [(0.0, True), (0.02, False), (math.pi - 2e-6, False), (math.pi - 5e-7, True), (math.pi, True)],
)
def test_parts_are_linear_below_a_sine_of_a_millionth(angle, theta, linear):
    found = slerp_coefficients(0.3, 4.0, math.cos(theta) * 2.0 * 3.0, 9.0, angle)
    slerped = [math.sin(share * theta) / (math.sin(theta) or 1) for share in (0.7, 0.3)]
    assert found == ((0.7, 0.3) if linear else pytest.approx(slerped, rel=1e-3))
    assert linear or found != pytest.approx((0.7, 0.3), rel=1e-6)


@pytest.mark.parametrize("angle", ["tensor", "part", "whole"])
@pytest.mark.parametrize(
    "products",
    [(4.0, 1.0, 9.0), (4.0, 5.9999, 9.0), (0.0, 0.0, 9.0), (0.0, 0.0, 0.0), (1.0, -1.0, 1.0)],
)
def test_no_share_gives_the_first_parent_and_all_of_it_the_second(angle, products):
    assert slerp_coefficients(0.0, *products, angle) == pytest.approx((1, 0), abs=1e-12)
    assert slerp_coefficients(1.0, *products, angle) == pytest.approx((0, 1), abs=1e-12)
