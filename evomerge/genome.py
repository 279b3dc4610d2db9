"""Genomes: what is needed to rebuild a member."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from evomerge.axis import Axis
from evomerge.crossover import Crossing, regions, slerp_coefficients


@dataclass(frozen=True, eq=False)
class Weights:
    """All parameters of a model as one flat vector: the genome of models that are small, or that mutate.

    Attributes:
        vector: (P,) float32 on the CPU, in the order of the population's axis. Never changed in place.
    """

    vector: torch.Tensor

    def cross(self, other: Weights, crossing: Crossing, axis: Axis) -> Weights:
        """The child that takes `crossing`'s shares of this parent, the first, and of the other, the second."""
        a, b, child = self.vector, other.vector, torch.empty_like(self.vector)
        for region in regions(crossing, axis):
            here = slice(region.start, region.stop)
            x, y = a[here].double(), b[here].double()
            aa, ab, bb = (float(torch.dot(*pair)) for pair in ((x, x), (x, y), (y, y)))
            for start, stop, w in region.parts:
                first, second = slerp_coefficients(w, aa, ab, bb, crossing.angle)
                torch.mul(a[start:stop], first, out=child[start:stop]).add_(b[start:stop], alpha=second)
        return Weights(child)

    def mutate(self, scale: float, seed: int) -> Weights:
        """Adds Gaussian noise of standard deviation `scale` to every parameter."""
        noise = torch.randn(len(self.vector), generator=torch.Generator().manual_seed(seed))
        return Weights(noise.mul_(scale).add_(self.vector))

    def finite(self) -> bool:
        """Whether every parameter is a finite number."""
        return bool(torch.isfinite(self.vector.sum())) or bool(torch.isfinite(self.vector).all())

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a snapshot stores; `from_tensors` is the way back."""
        return {"vector": self.vector}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor]) -> Weights:
        """A genome from what `tensors` gave."""
        return cls(tensors["vector"])
