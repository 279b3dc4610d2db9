"""The sum behind `populations.express`, in one pass over memory, compiled by torch.compile."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch

log = logging.getLogger(__name__)

KERNELS = 256
"""Most kernels that torch may make; it takes some ten for each number of seeds and type."""


def combine_at_once(
    out: torch.Tensor,
    seeds: Sequence[torch.Tensor],
    weights: np.ndarray,
    edges: np.ndarray,
    rows: int,
    inner: int,
) -> None:
    """As `combine`, in one pass; seeds that are elsewhere are brought to the device first.

    Args:
        out: of `rows` matrices, each of so many entries of `inner` numbers.
        seeds: K tensors of the shape of `out`.
        weights: (n, K) float32.
        edges: (n + 1,) numbers within a matrix at which stretches begin.
        rows: how many matrices.
        inner: how many numbers an entry has.
    """
    from torch._dynamo import config

    device = out.device
    here = [seed.to(device, non_blocking=True) for seed in seeds]

    # One stretch is one number for each seed, whatever the shape. Several become a weight for
    # each entry, so that the compiled sum has no loop over stretches.
    each = torch.from_numpy(weights.T.copy()).to(device, non_blocking=True)  # (K, n)
    if len(weights) == 1:
        rows, inner = 1, 1
    else:
        lengths = torch.from_numpy(np.diff(edges) // inner).to(device)  # (n,) entries
        each = each.repeat_interleave(lengths, dim=1)  # (K, entries)

    # A weight holds for all rows, and for all numbers of its entry.
    shape = (rows, -1, inner)
    shaped = [seed.view(shape) for seed in here]
    fill = compiled_sum(device.type)
    assert fill is not None
    # Torch gives up after eight kernels for one function. It needs more for the tensors of a model.
    with config.patch(recompile_limit=KERNELS):
        fill(out.view(shape), shaped, each[:, None, :, None].unbind())


@cache
def compiled_sum(device: str) -> Callable[..., None] | None:
    """The sum for any number of seeds, as torch.compile makes it for a kind of device.

    Args:
        device: "cuda" or "cpu".

    Returns:
        fill(out, seeds, weights). None, with a warning, where torch.compile does not work.
    """

    def fill(
        out: torch.Tensor, seeds: Sequence[torch.Tensor], weights: Sequence[torch.Tensor]
    ) -> None:
        total = weights[0] * seeds[0].float()
        for seed, weight in zip(seeds[1:], weights[1:], strict=True):
            total = total + weight * seed.float()
        out.copy_(total)

    # Whether there is a compiler, triton and what else torch needs shows only in a first call.
    compiled = torch.compile(fill, dynamic=True)
    tiny = torch.ones(2, 3, 2, device=device)
    weight = tiny[:1, :, :1]
    try:
        compiled(tiny, [tiny.clone(), tiny.clone()], [weight.clone(), weight.clone()])
    except Exception as error:
        log.warning(
            "torch.compile does not work here (%s); expressing a child takes several passes",
            type(error).__name__,
        )
        return None
    return compiled
