"""SLERP, spherical linear interpolation, as two scalars: merged = first * A + second * B.

mergekit is the authority on what a merge means. Its SLERP is a * A + b * B with two scalars for
each tensor. They are taken here directly, because a call of mergekit's costs as much as scoring a
small network. The tests hold the two equal.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np

Angle = Literal["tensor", "part", "whole", "none"]

NEARLY_PARALLEL = 0.9995
"""mergekit merges two tensors linearly above this |cosine|."""

NO_ANGLE = 1e-6
"""M2N2's reference code merges linearly below this sine."""

NO_LENGTH = 1e-16
"""A squared norm up to this counts as a vector of zeros, which has no direction to divide by."""

NEARLY_ON_A_LINE = 0.9
"""Squared cosine above which float32 is too coarse for the angle between two vectors."""


def slerp_coefficients(
    w: float, aa: float, ab: float, bb: float, angle: Angle
) -> tuple[float, float]:
    """The two scalars of SLERP (M2N2, equation 2: f_w).

        f_w(A, B) = sin((1 - w) * theta) / sin(theta) * A + sin(w * theta) / sin(theta) * B
        cos(theta) = <A, B> / (|A| * |B|)

    Halfway between two vectors of length 1 at a right angle lies one of length 1 again. A linear
    merge, 0.5 * A + 0.5 * B, is shorter:

        >>> from evomerge.genome import slerp_coefficients
        >>> first, second = slerp_coefficients(0.5, aa=1.0, ab=0.0, bb=1.0, angle="part")
        >>> print(round(first, 4), round(second, 4))
        0.7071 0.7071
        >>> slerp_coefficients(0.5, aa=1.0, ab=0.0, bb=1.0, angle="none")
        (0.5, 0.5)

    Parallel vectors have no angle to divide by, so their merge is linear:

        >>> slerp_coefficients(0.25, aa=1.0, ab=2.0, bb=4.0, angle="part")
        (0.75, 0.25)

    Args:
        w: share of B; 0 gives A, 1 gives B, beyond that it extrapolates.
        aa: inner product <A, A> over the region of the angle.
        ab: <A, B>.
        bb: <B, B>.
        angle: its scope, which decides when the merge is linear: "tensor" as mergekit does it,
            above a |cosine| of 0.9995; "part" and "whole" as the reference code of M2N2, below a
            sine of 1e-6; "none" always.

    Returns:
        (first, second).
    """
    # A linear merge reads no inner products, so its caller need not have any.
    if angle == "none":
        return 1.0 - w, w
    # Rounding may carry a cosine beyond 1, where there is no angle.
    cosine = max(-1.0, min(1.0, ab / (_norm(aa) * _norm(bb))))
    theta = math.acos(cosine)
    sine = math.sin(theta)
    if _no_angle(cosine, sine, angle):
        return 1.0 - w, w
    return math.sin((1.0 - w) * theta) / sine, math.sin(w * theta) / sine


def inner_products(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """The inner products <A, A>, <A, B> and <B, B> of two (n,) float32 vectors."""
    aa = float(a @ a)
    ab = float(a @ b)
    bb = float(b @ b)
    if ab * ab <= NEARLY_ON_A_LINE * aa * bb:
        return aa, ab, bb
    # Between vectors nearly on a line the angle is in digits that float32 does not have.
    a = a.astype(np.float64)
    b = b.astype(np.float64)
    return _dot(a, a), _dot(a, b), _dot(b, b)


def _no_angle(cosine: float, sine: float, angle: Angle) -> bool:
    """Whether two vectors are so nearly parallel that they are merged linearly."""
    # mergekit and the reference code draw this line in different places.
    if angle == "tensor":
        return abs(cosine) > NEARLY_PARALLEL
    return sine < NO_ANGLE


def _norm(square: float) -> float:
    """The length of a vector by its square; 1 for a vector of zeros, which no length scales."""
    if square > NO_LENGTH:
        return math.sqrt(square)
    return 1.0


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.einsum("i,i->", a, b))
