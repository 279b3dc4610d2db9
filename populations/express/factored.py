"""A tensor of K seeds, some of them low-rank changes of one tensor that they share.

Adapters of one base are the base and a few small matrices. The sum of such seeds is

    sum_k c[k] * (W + s[k] * B[k] @ A[k]) = (sum_k c[k]) * W + sum_k c[k] * s[k] * B[k] @ A[k]

so that W is kept and read once, and no seed is rounded before the sum is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch


@dataclass(frozen=True)
class LowRank:
    """A change of a matrix: scale * left @ right.

    Attributes:
        left: (rows, rank).
        right: (rank, columns).
        scale: what their product is multiplied by.
    """

    left: torch.Tensor
    right: torch.Tensor
    scale: float

    def added_to(self, whole: torch.Tensor) -> torch.Tensor:
        """The sum of a matrix and the change, in float32."""
        product = self.left.float() @ self.right.float()
        return whole.float() + self.scale * product


@dataclass(frozen=True)
class Factors:
    """Low-rank changes of one matrix by several seeds, side by side, in float32.

    Attributes:
        left: (rows, R), with R the sum of all ranks.
        right: (R, columns).
        seeds: (R,) which seed each column of `left` and row of `right` belongs to.
        scales: (R,) float64 that seed's scale.
    """

    left: torch.Tensor
    right: torch.Tensor
    seeds: np.ndarray
    scales: np.ndarray

    @classmethod
    def stacked(cls, changes: Mapping[int, LowRank]) -> Factors:
        """Lays changes side by side, by the places of their seeds; there is at least one."""
        ranks = [change.left.shape[1] for change in changes.values()]
        scales = [change.scale for change in changes.values()]
        return cls(
            torch.cat([change.left.float() for change in changes.values()], dim=1),
            torch.cat([change.right.float() for change in changes.values()], dim=0),
            np.repeat(list(changes), ranks),
            np.repeat(scales, ranks),
        )

    def change_by(self, seed: int) -> LowRank | None:
        """One seed's change, None if it has none."""
        ranks = np.flatnonzero(self.seeds == seed)
        if not len(ranks):
            return None
        # A seed's ranks lie side by side.
        part = slice(int(ranks[0]), int(ranks[-1]) + 1)
        return LowRank(self.left[:, part], self.right[part], float(self.scales[ranks[0]]))

    def moved(self, device: torch.device) -> Factors:
        """The same on a device."""
        return replace(self, left=self.left.to(device), right=self.right.to(device))

    def pinned(self) -> Factors:
        """The same in page-locked memory."""
        return replace(self, left=self.left.pin_memory(), right=self.right.pin_memory())

    def weights(self, coefficients: np.ndarray) -> np.ndarray:
        """Each rank's weight in a sum of the seeds.

        Args:
            coefficients: (n, K).

        Returns:
            (n, R) in the type of the coefficients.
        """
        weights: np.ndarray = coefficients[:, self.seeds] * self.scales
        return weights

    def summed(
        self, weights: np.ndarray, edges: np.ndarray, dim: int | None, rows: slice
    ) -> torch.Tensor:
        """The sum of all changes on some rows, with other weights for each of n stretches.

        Args:
            weights: (n, R) each rank's weight on a stretch.
            edges: (n + 1,) where stretches begin: entries along `dim`, counted from the first of
                the rows.
            dim: 0 for rows, 1 for columns, None for the rows as one flat vector.
            rows: the rows.

        Returns:
            A matrix of these rows, in float32.
        """
        # What no stretch needs costs no multiplying.
        needed = np.flatnonzero(weights.any(axis=0))
        left = self.left[rows]
        right = self.right
        if len(needed) < len(self.seeds):
            chosen = torch.from_numpy(needed).to(left.device)
            left = left.index_select(1, chosen)
            right = right.index_select(0, chosen)
        scaled = torch.from_numpy(weights[:, needed].astype(np.float32)).to(left.device)
        # A flat vector of one stretch is cut nowhere, like a matrix of one stretch of rows.
        if len(scaled) == 1:
            return (left * scaled) @ right
        # Along rows or columns each of them has weights of its own, and one product is enough.
        if dim is not None:
            lengths = torch.from_numpy(np.diff(edges)).to(left.device)
            each = scaled.repeat_interleave(lengths, dim=0)  # (rows or columns, R)
            if dim == 0:
                return (left * each) @ right
            return left @ (right * each.T)
        return _summed_flat(left, right, scaled, edges)


def _summed_flat(
    left: torch.Tensor, right: torch.Tensor, scaled: torch.Tensor, edges: np.ndarray
) -> torch.Tensor:
    """As `Factors.summed`, for stretches that begin within rows.

    Args:
        left: (rows, R).
        right: (R, columns).
        scaled: (n, R) weights.
        edges: (n + 1,) entries of the flat matrix at which stretches begin.
    """
    columns = right.shape[1]
    total = torch.empty(len(left), columns, device=left.device)
    flat = total.view(-1)
    for row, begin, end in zip(scaled, edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        # A stretch is cut out of the rows that it touches.
        first = begin // columns
        last = -(-end // columns)
        product = (left[first:last] * row) @ right
        start = first * columns
        flat[begin:end] = product.view(-1)[begin - start : end - start]
    return total


@dataclass(frozen=True)
class Factored:
    """A tensor of K seeds: each is one of M whole tensors, some with a low-rank change.

    Attributes:
        wholes: M tensors of one shape.
        standing: (K,) which of them each seed stands on.
        factors: the changes, None where no seed has one.
    """

    wholes: Sequence[torch.Tensor]
    standing: np.ndarray
    factors: Factors | None = None

    @classmethod
    def plain(cls, tensors: Sequence[torch.Tensor]) -> Factored:
        """Seeds that share nothing: K tensors."""
        return cls(tensors, np.arange(len(tensors)))

    def size_in(self, dtype: torch.dtype) -> int:
        """Bytes of what `moved` and `pinned` make for a model of a type."""
        size = 0
        for whole in self.wholes:
            size += whole.numel() * self._kept_dtype(whole, dtype).itemsize
        if self.factors is not None:
            size += self.factors.left.nbytes + self.factors.right.nbytes
        return size

    def tensors(self) -> list[torch.Tensor]:
        """The tensor of every seed; in float32, and made anew, where it has a change."""
        tensors = []
        for seed, place in enumerate(self.standing.tolist()):
            tensor = self.wholes[place]
            change = None if self.factors is None else self.factors.change_by(seed)
            if change is not None:
                tensor = change.added_to(tensor)
            tensors.append(tensor)
        return tensors

    def weights(self, coefficients: np.ndarray) -> np.ndarray:
        """Each whole tensor's weight in a sum of the seeds: that of all seeds that stand on it.

        Args:
            coefficients: (n, K).

        Returns:
            (n, M) in the type of the coefficients.
        """
        weights = np.zeros((len(coefficients), len(self.wholes)), coefficients.dtype)
        for seed, place in enumerate(self.standing.tolist()):
            weights[:, place] += coefficients[:, seed]
        return weights

    def moved(self, device: torch.device, dtype: torch.dtype) -> Factored:
        """The same on a device, for a model of a type."""
        wholes = []
        for whole in self.wholes:
            wholes.append(whole.to(device, self._kept_dtype(whole, dtype)))
        factors = None if self.factors is None else self.factors.moved(device)
        return replace(self, wholes=wholes, factors=factors)

    def pinned(self, dtype: torch.dtype) -> Factored:
        """The same in page-locked memory, for a model of a type."""
        wholes = []
        for whole in self.wholes:
            wholes.append(whole.to(self._kept_dtype(whole, dtype)).pin_memory())
        factors = None if self.factors is None else self.factors.pinned()
        return replace(self, wholes=wholes, factors=factors)

    def _kept_dtype(self, whole: torch.Tensor, dtype: torch.dtype) -> torch.dtype:
        """The type that a whole tensor is kept in, for a model of a type."""
        # Seeds are converted once, and not anew for each birth. What changes are added to is left
        # as it is, or it would be rounded before the sum is.
        return dtype if self.factors is None else whole.dtype
