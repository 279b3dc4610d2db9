"""A genome as a recipe: coefficients over the seeds, stretch by stretch of the axis."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from evomerge.genome.crossover import Crossing, Region, regions
from evomerge.genome.slerp import slerp_coefficients
from evomerge.genome.species import SpeciesOfRecipes

Noise = Literal["zero-sum", "free"]
"""Noise on a recipe's coefficients: with a sum of zero over the seeds, or on each one alone."""


@dataclass(frozen=True, eq=False)
class Recipe:
    """A linear combination of the seeds on every stretch of the axis.

    It is the genome of models too large to keep:

    weights on [bounds[i], bounds[i + 1])  =  sum_k coefficients[i, k] * seed_k

    Attributes:
        bounds: (m + 1,) int64, 0 = bounds[0] < ... < bounds[m] = P.
        coefficients: (m, K) float64. Never changed in place.
        settings: (n,) float64 in [0, 1]: for each number of the merge method that the population
            searches, where it is in its range. Most populations search none.
    """

    bounds: np.ndarray
    coefficients: np.ndarray
    settings: np.ndarray = field(default_factory=lambda: np.zeros(0))

    @classmethod
    def seed(cls, index: int, count: int, size: int) -> Recipe:
        """The seed `index` of `count`, over an axis of `size` parameters."""
        return cls(np.array([0, size], dtype=np.int64), np.eye(count)[index : index + 1])

    def cross(self, other: Recipe, crossing: Crossing, species: SpeciesOfRecipes) -> Recipe:
        """The child of this parent, the first, and the other, the second (M2N2, equation 2).

        SLERP is a linear merge whose two scalars depend on inner products. So a child of two
        recipes is a recipe, and no weights are needed to make it:

        child[i]  =  first * a[i] + second * b[i],    <A, B>  =  sum_i a[i] @ grams[i] @ b[i]

        Two seeds are crossed over an axis of ten parameters, without an angle. The split falls at
        position 4. The child has 25 % of the second seed before it, and 75 % behind it:

            >>> from types import SimpleNamespace
            >>> from evomerge.genome import Axis, Crossing, Recipe
            >>> species = SimpleNamespace(axis=Axis.flat({"w": (10,)}))
            >>> one, two = Recipe.seed(0, 2, size=10), Recipe.seed(1, 2, size=10)
            >>> child = one.cross(two, Crossing((0.25,), ((4,),), "none"), species)
            >>> child.bounds.tolist()
            [0, 4, 10]
            >>> child.coefficients.tolist()
            [[0.75, 0.25], [0.25, 0.75]]

        A child of that child and the second seed, with a split at 7, has both splits:

            >>> child = child.cross(two, Crossing((0.25,), ((7,),), "none"), species)
            >>> child.bounds.tolist()
            [0, 4, 7, 10]
            >>> child.coefficients.tolist()
            [[0.5625, 0.4375], [0.1875, 0.8125], [0.0625, 0.9375]]

        Settings are no part of the axis. They are mixed with the mean of the mixing ratios, and
        stay within their ranges.

        Args:
            other: the second parent.
            crossing: the shares of the parents along the axis.
            species: their population; its `grams` are read where the crossing has an angle.
        """
        crossed = list(regions(crossing, species.axis))
        bounds = _common_bounds(self, other, crossed)  # (m + 1,)
        a = self.at(bounds[:-1])  # (m, K)
        b = other.at(bounds[:-1])  # (m, K)
        # (3, m): <A, A>, <A, B> and <B, B> on every stretch. A linear merge needs none of them.
        products = np.zeros((3, len(a)))
        if crossing.angle != "none":
            grams = species.grams.over(bounds)  # (m, K, K)
            products = np.stack([_dot(a, grams, a), _dot(a, grams, b), _dot(b, grams, b)])
        child = np.empty_like(a)
        for region in crossed:
            first, last = np.searchsorted(bounds, (region.start, region.stop))
            aa, ab, bb = products[:, first:last].sum(axis=1).tolist()
            for start, stop, share in region.parts:
                part = slice(*np.searchsorted(bounds, (start, stop)))
                one, two = slerp_coefficients(share, aa, ab, bb, crossing.angle)
                child[part] = one * a[part] + two * b[part]
        ratio = float(np.mean(crossing.ratios))
        settings = (1 - ratio) * self.settings + ratio * other.settings  # (n,)
        return Recipe(bounds, child, settings.clip(0, 1))._joined()

    def mutate(self, scale: float, seed: int, noise: Noise = "zero-sum") -> Recipe:
        """Adds Gaussian noise of standard deviation `scale` to every coefficient.

        Settings get noise of the same standard deviation, as a share of their ranges, in which
        they stay.

        Args:
            scale: the standard deviation, of each coefficient's noise in either case.
            seed: what the noise is drawn from.
            noise: "zero-sum": on every stretch the noise sums to zero over the seeds, so what all
                seeds share keeps its scale. "free": each coefficient's noise is drawn alone, so a
                merge may also become stronger or weaker than the seeds.
        """
        rng = np.random.default_rng(seed)
        drawn = rng.standard_normal(self.coefficients.shape)  # (m, K)
        settings = self.settings + scale * rng.standard_normal(self.settings.shape)  # (n,)
        if noise == "zero-sum":
            # A mean taken out of K numbers leaves 1 - 1/K of their variance. The factor gives the
            # rest back.
            count = drawn.shape[1]
            factor = math.sqrt(count / max(count - 1, 1))
            drawn = (drawn - drawn.mean(axis=1, keepdims=True)) * factor
        return Recipe(self.bounds, self.coefficients + scale * drawn, settings.clip(0, 1))

    def at(self, positions: np.ndarray) -> np.ndarray:
        """(n, K) the coefficients at (n,) positions on the axis."""
        return self.coefficients[np.searchsorted(self.bounds, positions, side="right") - 1]

    def finite(self) -> bool:
        """Whether every coefficient, and every setting, is a finite number."""
        return bool(np.isfinite(self.coefficients).all() and np.isfinite(self.settings).all())

    def tensors(self) -> dict[str, Any]:
        """What a snapshot stores, as torch tensors; `from_tensors` is the way back."""
        import torch

        tensors = {
            "bounds": torch.from_numpy(self.bounds),
            "coefficients": torch.from_numpy(self.coefficients),
        }
        # Most recipes have none, and their snapshots say nothing of it.
        if len(self.settings):
            tensors["settings"] = torch.from_numpy(self.settings)
        return tensors

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Any]) -> Recipe:
        """A genome from what `tensors` gave."""
        recipe = cls(tensors["bounds"].numpy(), tensors["coefficients"].numpy())
        if "settings" in tensors:
            return replace(recipe, settings=tensors["settings"].numpy())
        return recipe

    def _joined(self) -> Recipe:
        """The same with adjacent stretches of equal coefficients as one.

        Without it the child of a hundred generations would have a hundred splits, most of which
        lie inside what it took from one ancestor.
        """
        changes = (np.diff(self.coefficients, axis=0) != 0).any(axis=1)  # (m - 1,)
        begins = np.append(True, changes)  # (m,)
        bounds = np.append(self.bounds[:-1][begins], self.bounds[-1])
        return replace(self, bounds=bounds, coefficients=self.coefficients[begins])


def _common_bounds(first: Recipe, second: Recipe, crossed: Sequence[Region]) -> np.ndarray:
    """Bounds between which both parents and the shares that a child takes of them are constant."""
    ends = []
    for region in crossed:
        ends += [portion.stop for portion in region.parts]
    parents = np.union1d(first.bounds, second.bounds)
    return np.union1d(parents, ends).astype(np.int64)


def _dot(a: np.ndarray, grams: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The inner products a[i] @ grams[i] @ b[i] on every stretch: (m,)."""
    return np.einsum("ik,ikl,il->i", a, grams, b)
