"""Genomes: what is needed to rebuild a member, all its weights or a recipe for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np

from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossing, regions, slerp_coefficients
from evomerge.genome.grams import Grams

Noise = Literal["zero-sum", "free"]
"""Noise on a recipe's coefficients: with a sum of zero over the seeds, or on each one alone."""

NEARLY_ON_A_LINE = 0.9
"""Squared cosine above which float32 is too coarse for the angle between two vectors."""


class Species(Protocol):
    """What crossing two genomes needs to know of their population; `grams` for recipes only."""

    @property
    def axis(self) -> Axis:
        """The order of the parameters."""


class SpeciesOfRecipes(Species, Protocol):
    """A species whose members are linear combinations of its seeds."""

    @property
    def grams(self) -> Grams:
        """Inner products of the seeds along the axis."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """A linear combination of the seeds on every stretch of the axis: the genome of models too large to keep.

    weights on [bounds[i], bounds[i + 1])  =  sum_k coefficients[i, k] * seed_k

    Attributes:
        bounds: (m + 1,) int64, 0 = bounds[0] < ... < bounds[m] = P.
        coefficients: (m, K) float64. Never changed in place.
    """

    bounds: np.ndarray
    coefficients: np.ndarray

    @classmethod
    def seed(cls, index: int, count: int, size: int) -> Recipe:
        """The seed `index` of `count`, over an axis of `size` parameters."""
        return cls(np.array([0, size], dtype=np.int64), np.eye(count)[index : index + 1])

    def cross(self, other: Recipe, crossing: Crossing, species: SpeciesOfRecipes) -> Recipe:
        """The child that takes `crossing`'s shares of this parent, the first, and of the other, the second."""
        found = list(regions(crossing, species.axis))
        ends = [stop for region in found for _, stop, _ in region.parts]
        bounds = np.union1d(np.union1d(self.bounds, other.bounds), ends).astype(np.int64)
        a, b = self.at(bounds[:-1]), other.at(bounds[:-1])
        child = np.empty_like(a)
        products = np.zeros((3, len(a)))
        if crossing.angle != "none":
            grams = species.grams.over(bounds)
            products = np.stack(
                [np.einsum("ik,ikl,il->i", x, grams, y) for x, y in ((a, a), (a, b), (b, b))]
            )
        for region in found:
            first, last = np.searchsorted(bounds, (region.start, region.stop))
            aa, ab, bb = products[:, first:last].sum(axis=1).tolist()
            for start, stop, w in region.parts:
                here = slice(*np.searchsorted(bounds, (start, stop)))
                one, two = slerp_coefficients(w, aa, ab, bb, crossing.angle)
                child[here] = one * a[here] + two * b[here]
        return Recipe(bounds, child)._joined()

    def mutate(self, scale: float, seed: int, noise: Noise = "zero-sum") -> Recipe:
        """Adds Gaussian noise of standard deviation `scale` to every coefficient.

        Args:
            scale: the standard deviation, of each coefficient's noise in either case.
            seed: what the noise is drawn from.
            noise: "zero-sum": on every stretch the noise sums to zero over the seeds, so what all seeds
                share keeps its scale. "free": each coefficient's noise is drawn alone, so a merge may
                also become stronger or weaker than the seeds.
        """
        drawn = np.random.default_rng(seed).standard_normal(self.coefficients.shape)
        if noise == "zero-sum":
            # A mean taken out of K numbers leaves 1 - 1/K of their variance; the factor gives it back.
            count = drawn.shape[1]
            drawn = (drawn - drawn.mean(axis=1, keepdims=True)) * math.sqrt(
                count / max(count - 1, 1)
            )
        return Recipe(self.bounds, self.coefficients + scale * drawn)

    def at(self, positions: np.ndarray) -> np.ndarray:
        """(n, K) the coefficients at (n,) positions on the axis."""
        return self.coefficients[np.searchsorted(self.bounds, positions, side="right") - 1]

    def finite(self) -> bool:
        """Whether every coefficient is a finite number."""
        return bool(np.isfinite(self.coefficients).all())

    def tensors(self) -> dict[str, Any]:
        """What a snapshot stores, as torch tensors; `from_tensors` is the way back."""
        import torch

        return {
            "bounds": torch.from_numpy(self.bounds),
            "coefficients": torch.from_numpy(self.coefficients),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> Recipe:
        """A genome from what `tensors` gave."""
        return cls(tensors["bounds"].numpy(), tensors["coefficients"].numpy())

    def _joined(self) -> Recipe:
        """The same with adjacent stretches of equal coefficients as one."""
        differs = np.append(True, (np.diff(self.coefficients, axis=0) != 0).any(axis=1))
        return Recipe(
            np.append(self.bounds[:-1][differs], self.bounds[-1]), self.coefficients[differs]
        )


def _inner_products(a: np.ndarray, b: np.ndarray) -> tuple[float, float, float]:
    """<A, A>, <A, B> and <B, B>; in float64 where the angle between them would be lost in float32."""
    aa, ab, bb = float(a @ a), float(a @ b), float(b @ b)
    if ab * ab > NEARLY_ON_A_LINE * aa * bb:
        a, b = a.astype(np.float64), b.astype(np.float64)
        aa, ab, bb = (float(np.einsum("i,i->", x, y)) for x, y in ((a, a), (a, b), (b, b)))
    return aa, ab, bb
