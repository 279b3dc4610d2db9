"""Express a recipe: one fused pass from the seeds into the one resident model, in place, at about the speed of a copy.

A weight is sum_k c[k] * seed_k[i], added up in float32 and rounded once to the model's type. Torch would go over the memory once for
every operation, so that sum is compiled for so many seeds of such a type: on the CPU by numba, on a GPU by torch.compile. Elsewhere,
and for what these do not know, torch does the same in pieces.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from math import prod
from types import ModuleType

import numpy as np
import torch

from evomerge.genome.axis import Axis
from evomerge.genome.recipe import Recipe

log = logging.getLogger(__name__)

PIECE = 1 << 22
"""Entries that torch takes at a time, where it has to."""

KERNELS = 256
"""Most kernels that torch.compile may make; it takes some ten for each number of seeds and type."""

COMPILED = (torch.float32, torch.bfloat16)
"""Types that numba's loop reads and writes."""


@torch.no_grad()
def express(
    slots: Mapping[str, torch.Tensor],
    seeds: Callable[[str], Sequence[torch.Tensor]],
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
        combine(
            slots[placement.tensor],
            seeds(placement.tensor),
            recipe.coefficients[placement.stretches],
            placement.edges,
            placement.dim,
        )


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
    needed = np.flatnonzero(coefficients.any(axis=0)).tolist()
    if not needed:
        out.zero_()
        return
    chosen, weights = [seeds[k] for k in needed], coefficients[:, needed].astype(np.float32)
    rows = 1 if dim is None else prod(out.shape[:dim])
    inner = 1 if dim is None else prod(out.shape[dim + 1 :])
    edges = edges.astype(np.int64) * inner
    alike = all(
        tensor.device.type == "cpu" and tensor.dtype == out.dtype for tensor in (out, *chosen)
    )
    if alike and out.dtype in COMPILED and (loop := _fused()) is not None:
        threads = torch.get_num_threads()
        loop.threads(min(threads, -(-out.numel() // loop.BLOCK)))
        loop.combine(
            _numbers(out), tuple(map(_numbers, chosen)), edges, tuple(weights.T.copy()), rows
        )
        if (
            torch.get_num_threads() != threads
        ):  # numba's first launch sets the number for all that OpenMP runs in this process
            torch.set_num_threads(threads)
    elif (
        out.device.type == "cuda"
        and (dim is not None or len(weights) == 1)
        and compiled("cuda") is not None
    ):
        at_once(out, chosen, weights, edges, rows, inner)
    else:
        _in_pieces(out.view(rows, -1), [tensor.view(rows, -1) for tensor in chosen], weights, edges)


def at_once(
    out: torch.Tensor,
    seeds: Sequence[torch.Tensor],
    weights: np.ndarray,
    edges: np.ndarray,
    rows: int,
    inner: int,
) -> None:
    """As `combine`, in one pass that is `compiled` for the device; seeds that lie elsewhere are brought there first.

    Args:
        out: of `rows` matrices, each of so many entries of `inner` numbers.
        seeds: K tensors of the shape of `out`.
        weights: (n, K) float32.
        edges: (n + 1,) numbers within a matrix at which stretches begin.
        rows: how many matrices.
        inner: how many numbers an entry has.
    """
    from torch._dynamo import config

    here = [seed.to(out.device, non_blocking=True) for seed in seeds]
    each = torch.from_numpy(weights.T.copy()).to(out.device, non_blocking=True)  # (K, n)
    if len(weights) == 1:
        rows, inner = 1, 1
    else:
        each = each.repeat_interleave(
            torch.from_numpy(np.diff(edges) // inner).to(out.device), dim=1
        )
    shape = (rows, -1, inner)
    fill = compiled(out.device.type)
    assert fill is not None
    with config.patch(recompile_limit=KERNELS):
        fill(out.view(shape), [seed.view(shape) for seed in here], each[:, None, :, None].unbind())


@cache
def compiled(device: str) -> Callable[..., None] | None:
    """The sum for any number of seeds, as torch.compile makes it for a kind of device; None, with a warning, where it cannot."""

    def fill(
        out: torch.Tensor, seeds: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> None:
        total = weights[0] * seeds[0].float()
        for seed, weight in zip(seeds[1:], weights[1:], strict=True):
            total = total + weight * seed.float()
        out.copy_(total)

    made, tiny = torch.compile(fill, dynamic=True), torch.ones(2, 3, 2, device=device)
    try:
        made(tiny, [tiny.clone(), tiny.clone()], [tiny[:1, :, :1].clone(), tiny[:1, :, :1].clone()])
    except Exception as error:  # no compiler, no triton, or what else these need
        log.warning(
            "torch.compile does not work here (%s); expressing a child takes several passes",
            type(error).__name__,
        )
        return None
    return made


def _in_pieces(
    out: torch.Tensor, seeds: Sequence[torch.Tensor], weights: np.ndarray, edges: np.ndarray
) -> None:
    """As `combine` for matrices that are cut by columns, of any type and on any device, by torch's own operations."""
    step = max(1, PIECE // len(out))
    for start, stop, by in zip(
        edges[:-1].tolist(), edges[1:].tolist(), weights.tolist(), strict=True
    ):
        for first in range(start, stop, step):
            piece = slice(first, min(stop, first + step))
            total = seeds[0][:, piece].to(out.device, torch.float32) * by[0]
            for seed, weight in zip(seeds[1:], by[1:], strict=True):
                total.add_(seed[:, piece].to(out.device, torch.float32), alpha=weight)
            out[:, piece] = total


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    """A tensor's memory as a flat array; bfloat16, which numpy does not know, as its bits."""
    flat = tensor.detach().view(-1)
    return (flat.view(torch.uint16) if tensor.dtype == torch.bfloat16 else flat).numpy()


@cache
def _fused() -> ModuleType | None:
    """The compiled loop, None where numba is not installed."""
    try:
        from populations.express import fused
    except ImportError:
        return None
    return fused
