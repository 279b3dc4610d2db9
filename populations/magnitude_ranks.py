"""Which numbers a method trims by their size, whatever share of them it is to keep.

TIES keeps the largest numbers of a task vector, Breadcrumbs those below the very largest. mergekit
sorts all of them for it, which takes nearly all of the time of a merge. The order is that of the
task vector alone. So where the share is searched, it is found once, and a birth compares ranks.

The order, and how many numbers are kept of it, are as mergekit has them: `mergekit.sparsify`.
"""

from __future__ import annotations

import torch

DESCENDING = "magnitude"
"""mergekit's name of what keeps the largest."""

ASCENDING = "magnitude_outliers"
"""mergekit's name of what drops the very largest and the smallest."""

TRIMMING = (DESCENDING, ASCENDING)
"""What goes by the size of numbers alone."""

MOST = 2**31
"""Numbers of a tensor whose ranks have room in 32 bits."""


def ranks(trimming: str | None, vector: torch.Tensor) -> torch.Tensor | None:
    """The rank of each number by its size, as a method sorts them.

    Args:
        trimming: mergekit's name of how it drops numbers; None if it does not.
        vector: a task vector.

    Returns:
        (n,) int32, or int64 for tensors of 2**31 numbers and more, on the vector's device. None for
        a method that does not go by size alone.
    """
    if trimming not in TRIMMING:
        return None
    sizes = vector.abs().reshape(-1)
    if sizes.device.type == "cpu":
        sizes = sizes.float()
    order = torch.argsort(sizes, descending=trimming == DESCENDING)
    count = order.numel()
    whole = torch.int32 if count < MOST else torch.int64
    places = torch.empty(count, dtype=whole, device=order.device)
    places[order] = torch.arange(count, dtype=whole, device=order.device)
    return places


def kept(trimming: str, places: torch.Tensor, density: float, gamma: float) -> torch.Tensor:
    """Which numbers stay.

    Args:
        trimming: as for `ranks`.
        places: (n,) what `ranks` gave.
        density: the share that stays, above 0 and below 1.
        gamma: the share of the largest that go, where they do.

    Returns:
        (n,) bool.
    """
    count = places.numel()
    most = int(density * count)
    if trimming == DESCENDING:
        return places < max(1, most)
    smallest = max(0, count - most - int(gamma * count))
    return (places >= smallest) & (places < smallest + most)
