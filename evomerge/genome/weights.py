"""A genome as one flat vector of all parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.genome.crossover import Crossing, regions, slerp_coefficients
from evomerge.genome.recipe import Species, _inner_products


@dataclass(frozen=True, eq=False)
class Weights:
    """All parameters of a model as one flat vector: the genome of models that are small, or that mutate.

    Attributes:
        vector: (P,) float32, in the order of the population's axis. Never changed in place.
    """

    vector: np.ndarray

    def cross(self, other: Weights, crossing: Crossing, species: Species) -> Weights:
        """The child that takes `crossing`'s shares of this parent, the first, and of the other, the second."""
        a, b, child = self.vector, other.vector, np.empty_like(self.vector)
        for region in regions(crossing, species.axis):
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
