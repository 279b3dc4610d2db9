"""Genomes: what is needed to rebuild a member."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.axis import Axis
from evomerge.crossover import Crossing, regions, slerp_coefficients

NEARLY_ON_A_LINE = 0.9
"""Squared cosine above which float32 is too coarse for the angle between two vectors."""


@dataclass(frozen=True, eq=False)
class Weights:
    """All parameters of a model as one flat vector: the genome of models that are small, or that mutate.

    Attributes:
        vector: (P,) float32, in the order of the population's axis. Never changed in place.
    """

    vector: np.ndarray

    def cross(self, other: Weights, crossing: Crossing, axis: Axis) -> Weights:
        """The child that takes `crossing`'s shares of this parent, the first, and of the other, the second."""
        a, b, child = self.vector, other.vector, np.empty_like(self.vector)
        for region in regions(crossing, axis):
            products = _inner_products(a[region.start : region.stop], b[region.start : region.stop])
            for start, stop, w in region.parts:
                first, second = slerp_coefficients(w, *products, crossing.angle)
                part = child[start:stop]
                np.multiply(a[start:stop], np.float32(first), out=part)
                part += b[start:stop] * np.float32(second)
        return Weights(child)

    def mutate(self, scale: float, seed: int) -> Weights:
        """Adds Gaussian noise of standard deviation `scale` to every parameter."""
        import torch  # draws normal numbers three times as fast as numpy

        vector = np.empty_like(self.vector)
        torch.from_numpy(vector).normal_(0.0, scale, generator=torch.Generator().manual_seed(seed))
        vector += self.vector
        return Weights(vector)

    def finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return math.isfinite(self.vector.sum()) or bool(np.isfinite(self.vector).all())

    def tensors(self) -> dict[str, Any]:
        """What a snapshot stores, as torch tensors; `from_tensors` is the way back."""
        import torch

        return {"vector": torch.from_numpy(self.vector)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> Weights:
        """A genome from what `tensors` gave."""
        return cls(tensors["vector"].numpy())


def _inner_products(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """<A, A>, <A, B> and <B, B>; in float64 where the angle between them would be lost in float32."""
    aa, ab, bb = float(a @ a), float(a @ b), float(b @ b)
    if ab * ab > NEARLY_ON_A_LINE * aa * bb:
        a, b = a.astype(np.float64), b.astype(np.float64)
        aa, ab, bb = (float(np.einsum("i,i->", x, y)) for x, y in ((a, a), (a, b), (b, b)))
    return aa, ab, bb
