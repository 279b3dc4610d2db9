"""Express a recipe: the seeds' weighted sum goes into the one resident model, in place.

A weight is sum_k c[k] * seed_k[i], added up in float32 and rounded once to the model's type.
Torch would go over the memory once for every operation. So the sum is compiled into one pass, for
so many seeds of such a type: by numba on the CPU (`fused_numba`), by torch.compile on a GPU
(`fused_torch`). One pass takes about as long as a copy. Torch does the same in pieces where
neither compiler knows the types or the device.

Low-rank changes (`factored`) are summed by matrix products, some rows at a time, and each such sum
is one more tensor of the pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from types import ModuleType

import numpy as np
import torch

from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe
from populations.express.factored import Factored
from populations.express.fused_torch import combine_at_once, compiled_sum

PIECE = 1 << 22
"""Entries that torch takes at a time, where it has to."""

CHANGED = 1 << 20
"""Entries whose changes are summed at a time in the CPU's memory; so many stay in its cache."""

CHANGED_AT_ONCE = 1 << 26
"""As `CHANGED`, on other devices, where starting a kernel takes longer than its memory costs."""

NUMBA_DTYPES = (torch.float32, torch.bfloat16)
"""Types that numba's loop reads and writes."""


@torch.no_grad()
def express(
    slots: Mapping[str, torch.Tensor],
    seeds: Callable[[str], Factored],
    recipe: Recipe,
    axis: Axis,
) -> None:
    """Fills a model's tensors with a recipe's weights, in place.

    Args:
        slots: what to fill, by name; a tied tensor once.
        seeds: a tensor's name to that tensor of all K seeds, each of the slot's shape.
        recipe: bounds and coefficients along the axis.
        axis: where each tensor lies.
    """
    for placement in axis.placements(recipe.bounds):
        combine_factored(
            slots[placement.tensor],
            seeds(placement.tensor),
            recipe.coefficients[placement.stretches],
            placement.edges,
            placement.dim,
        )


def combine_factored(
    out: torch.Tensor,
    seeds: Factored,
    coefficients: np.ndarray,
    edges: np.ndarray,
    dim: int | None = 0,
) -> None:
    """Linear combinations of a tensor of K seeds, some of which are changes of a tensor they share.

    Args:
        out: receives the sum on each stretch, added up in float32 and rounded once.
        seeds: K tensors of the shape of `out`.
        coefficients: (n, K).
        edges: (n + 1,) entries along `dim` at which stretches begin, from 0 to its size.
        dim: the dimension; None for the tensors as flat vectors.
    """
    # Weights are added up before they are rounded: coefficients that sum to 1 give the base itself.
    of_wholes = seeds.weights(coefficients)  # (n, M)
    of_ranks = None if seeds.factors is None else seeds.factors.weights(coefficients)  # (n, R)
    if seeds.factors is None or of_ranks is None or not of_ranks.any():
        combine(out, seeds.wholes, of_wholes, edges, dim)
        return
    factors = seeds.factors.moved(out.device)
    with_change = np.column_stack([of_wholes, np.ones(len(of_wholes))])  # (n, M + 1)
    limit = CHANGED if out.device.type == "cpu" else CHANGED_AT_ONCE
    step = max(1, limit // out.shape[1])
    for first in range(0, len(out), step):
        rows = slice(first, min(len(out), first + step))
        near, stretches = _within(rows, edges, dim, out.shape[1])
        change = factors.summed(of_ranks[stretches], near, dim, rows)
        wholes = [whole[rows] for whole in seeds.wholes]
        combine(out[rows], [*wholes, change], with_change[stretches], near, dim)


def _within(
    rows: slice, edges: np.ndarray, dim: int | None, columns: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which stretches some rows of a matrix have.

    Args:
        rows: the rows.
        edges: (n + 1,) as of `combine_factored`.
        dim: the dimension that the edges are along.
        columns: of the matrix.

    Returns:
        (m + 1,) edges within the rows, counted from the first of them; (m,) numbers of stretches.
    """
    # Stretches along columns go through all rows.
    if dim == 1:
        return edges, np.arange(len(edges) - 1)
    width = 1 if dim == 0 else columns
    cut = np.clip(edges, rows.start * width, rows.stop * width) - rows.start * width
    stretches = np.flatnonzero(np.diff(cut))
    return np.append(cut[stretches], cut[-1]), stretches


def combine(
    out: torch.Tensor,
    seeds: Sequence[torch.Tensor],
    coefficients: np.ndarray,
    edges: np.ndarray,
    dim: int | None = 0,
) -> None:
    """Linear combinations of K tensors, other ones for each of n stretches along one dimension.

    Args:
        out: receives sum_k coefficients[i, k] * seeds[k] on stretch i, added up in float32.
        seeds: K tensors of the shape of `out`.
        coefficients: (n, K). A seed whose coefficients are all 0 is not read.
        edges: (n + 1,) entries along `dim` at which stretches begin, from 0 to its size.
        dim: the dimension; None for the tensors as flat vectors.
    """
    # A seed that gives nothing here costs no reading, and what is not finite in it does no harm.
    needed = np.flatnonzero(coefficients.any(axis=0)).tolist()
    if not needed:
        out.zero_()
        return
    chosen = [seeds[k] for k in needed]
    weights = coefficients[:, needed].astype(np.float32)  # (n, chosen)

    # All ways see the tensors as `rows` matrices one after another, in each of which the
    # stretches begin at the same numbers.
    rows, inner = 1, 1
    if dim is not None:
        rows = prod(out.shape[:dim])
        inner = prod(out.shape[dim + 1 :])
    edges = edges.astype(np.int64) * inner  # (n + 1,)

    # On the CPU the loop takes nearly everything. Half precision, and seeds of another device than
    # the model, are left to torch, because numba does not know them.
    if _known_to_numba([out, *chosen]):
        loop = _numba_loop()
        if loop is not None:
            _run_loop(loop, out, chosen, weights, edges, rows)
            return

    # On a GPU the compiled sum takes a weight for each entry along `dim`. A flat vector of several
    # stretches would need one for each number, which is more memory than the seeds.
    by_entry = dim is not None or len(weights) == 1
    if out.device.type == "cuda" and by_entry and compiled_sum("cuda") is not None:
        combine_at_once(out, chosen, weights, edges, rows, inner)
        return

    matrices = [tensor.view(rows, -1) for tensor in chosen]
    _combine_in_pieces(out.view(rows, -1), matrices, weights, edges)


def _known_to_numba(tensors: Sequence[torch.Tensor]) -> bool:
    """Whether all tensors are in the CPU's memory, and of types that numba's loop knows."""
    for tensor in tensors:
        if tensor.device.type != "cpu" or tensor.dtype not in NUMBA_DTYPES:
            return False
    return True


@cache
def _numba_loop() -> ModuleType | None:
    """The loop that numba compiles, None where numba is not installed."""
    try:
        from populations.express import fused_numba
    except ImportError:
        return None
    return fused_numba


def _run_loop(
    loop: ModuleType,
    out: torch.Tensor,
    seeds: Sequence[torch.Tensor],
    weights: np.ndarray,
    edges: np.ndarray,
    rows: int,
) -> None:
    """As `combine`, by numba's loop, on as many threads as torch has.

    Args:
        loop: `fused_numba`.
        out: of `rows` matrices, in the CPU's memory.
        seeds: K tensors of the shape of `out`, each of a type that numba's loop knows.
        weights: (n, K) float32.
        edges: (n + 1,) numbers within a matrix at which stretches begin.
        rows: how many matrices.
    """
    # A small tensor may have fewer blocks than there are threads. The others would be started for
    # nothing, and a model has many small tensors.
    threads = torch.get_num_threads()
    blocks = -(-out.numel() // loop.BLOCK)
    loop.set_threads(min(threads, blocks))

    # The loop is compiled for tuples of so many arrays, one of weights for each seed.
    arrays = tuple(_as_flat_array(seed) for seed in seeds)
    loop.combine(_as_flat_array(out), arrays, edges, tuple(weights.T.copy()), rows)

    # Numba's first launch sets the number of threads for all that OpenMP runs in this process.
    # Scores of one thread would become scores of several, which differ in the last bits.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


def _as_flat_array(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's memory as a flat array; bfloat16, which numpy does not know, as its bits."""
    flat = tensor.detach().view(-1)
    if tensor.dtype == torch.bfloat16:
        flat = flat.view(torch.uint16)
    return flat.numpy()


def _combine_in_pieces(
    out: torch.Tensor, seeds: Sequence[torch.Tensor], weights: np.ndarray, edges: np.ndarray
) -> None:
    """As `combine`, by torch's own operations, for any types and devices.

    Args:
        out: (rows, columns), cut by columns.
        seeds: K matrices of the shape of `out`.
        weights: (n, K) float32.
        edges: (n + 1,) columns at which stretches begin.
    """
    # A sum in float32 needs memory of its own. Piece by piece it needs little.
    step = max(1, PIECE // len(out))
    begins = edges[:-1].tolist()
    ends = edges[1:].tolist()
    for begin, end, row in zip(begins, ends, weights.tolist(), strict=True):
        for first in range(begin, end, step):
            piece = slice(first, min(end, first + step))
            total = seeds[0][:, piece].to(out.device, torch.float32) * row[0]
            for seed, weight in zip(seeds[1:], row[1:], strict=True):
                total.add_(seed[:, piece].to(out.device, torch.float32), alpha=weight)
            out[:, piece] = total
