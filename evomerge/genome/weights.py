"""A genome as one flat vector of all parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evomerge.genome.crossover import Crossing, regions
from evomerge.genome.slerp import inner_products, slerp_coefficients
from evomerge.genome.species import Species


@dataclass(frozen=True, eq=False)
class Weights:
    """All parameters of a model as one flat vector.

    It is the genome of models that are small, or that mutate.

    Attributes:
        vector: (P,) float32, in the order of the population's axis. Never changed in place.
    """

    vector: np.ndarray

    def cross(self, other: Weights, crossing: Crossing, species: Species) -> Weights:
        """The child of this parent, the first, and the other, the second (M2N2, equation 2).

        Args:
            other: the second parent.
            crossing: the shares of the parents along the axis.
            species: their population.
        """
        a = self.vector
        b = other.vector
        child = np.empty_like(a)  # (P,)
        for region in regions(crossing, species.axis):
            span = slice(region.start, region.stop)
            aa, ab, bb = inner_products(a[span], b[span])
            for start, stop, share in region.parts:
                first, second = slerp_coefficients(share, aa, ab, bb, crossing.angle)
                # Written into the child's own memory, which saves an array for each term.
                part = child[start:stop]
                np.multiply(a[start:stop], np.float32(first), out=part)
                part += b[start:stop] * np.float32(second)
        return Weights(child)

    def mutate(self, scale: float, seed: int) -> Weights:
        """Adds Gaussian noise of standard deviation `scale` to every parameter."""
        # torch draws normal numbers three times as fast as numpy.
        import torch

        vector = np.empty_like(self.vector)
        torch.from_numpy(vector).normal_(0.0, scale, generator=torch.Generator().manual_seed(seed))
        vector += self.vector
        return Weights(vector)

    def finite(self) -> bool:
        """Whether every parameter is a finite number."""
        # A finite sum says so in one pass. A sum of finite numbers may overflow, though.
        return math.isfinite(self.vector.sum()) or bool(np.isfinite(self.vector).all())

    def tensors(self) -> dict[str, Any]:
        """What a snapshot stores, as torch tensors; `from_tensors` is the way back."""
        import torch

        return {"vector": torch.from_numpy(self.vector)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> Weights:
        """A genome from what `tensors` gave."""
        return cls(tensors["vector"].numpy())
