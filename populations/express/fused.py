"""The loop behind `populations.express`, compiled by numba for each number of seeds and each type of number: a second each.

A function with an `overload` is one that numba compiles from the body that the overload returns for these types. Tuples are
taken apart by recursion, so that no loop over the seeds is left inside the loop over the entries, and LLVM vectorises it.
bfloat16, which numba does not know, comes and goes as its 16 bits.
"""

# ruff: noqa: ANN001, ANN201, ANN202, ARG001, ARG005, D103

import numba
import numpy as np
from numba.extending import overload

BLOCK = 1 << 16
"""Entries that one thread takes at a time."""


def widened(x): ...


def narrowed(x, like): ...


def total(seeds, weights, i): ...


def weights_of(coefficients, stretch): ...


@overload(widened, inline="always")
def _widened(x):
    if isinstance(x, numba.types.Float):
        return lambda x: x
    return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)


@overload(narrowed, inline="always")
def _narrowed(x, like):
    if isinstance(like, numba.types.Float):
        return lambda x, like: x
    return lambda x, like: _nearest(np.float32(x).view(np.uint32))


@numba.njit(inline="always")
def _nearest(bits):
    """The bits of a float32 to those of the nearest bfloat16, ties to even; what is not a number stays none."""
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    return np.uint16(0x7FC0 if (bits & np.uint32(0x7FFFFFFF)) > np.uint32(0x7F800000) else rounded)


@overload(total)
def _total(seeds, weights, i):
    if len(seeds) == 1:
        return lambda seeds, weights, i: weights[0] * widened(seeds[0][i])
    return lambda seeds, weights, i: (
        weights[0] * widened(seeds[0][i]) + total(seeds[1:], weights[1:], i)
    )


@overload(weights_of)
def _weights_of(coefficients, stretch):
    if len(coefficients) == 1:
        return lambda coefficients, stretch: (coefficients[0][stretch],)
    return lambda coefficients, stretch: (
        (coefficients[0][stretch],) + weights_of(coefficients[1:], stretch)
    )


def compiled(function):
    """The function, compiled; kept on disk for the next process, where there is a place to keep it."""
    settings = {"parallel": True, "fastmath": {"contract"}, "boundscheck": False}
    try:
        return numba.njit(**settings, cache=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's can be written to
        return numba.njit(**settings)(function)


@compiled
def combine(out, seeds, edges, coefficients, rows):
    """Fills (rows * S,) `out` with the seeds' combinations: in each row, entries edges[s] to edges[s + 1] by coefficients[k][s].

    Args:
        out: (rows * S,) float32, or uint16 that are a bfloat16's bits.
        seeds: a tuple of K arrays like `out`.
        edges: (n + 1,) int64, from 0 to S.
        coefficients: a tuple of K (n,) float32 arrays.
        rows: how many rows there are.
    """
    size = edges[-1]
    blocks = (size + BLOCK - 1) // BLOCK
    for block in numba.prange(rows * blocks):
        row, start = np.int64(block) // blocks, np.int64(block) % blocks * BLOCK
        end = min(size, start + BLOCK)
        stretch = np.searchsorted(edges, start, side="right") - 1
        while start < end:
            stop = min(end, edges[stretch + 1])
            weights = weights_of(coefficients, stretch)
            for i in range(np.uint64(row * size + start), np.uint64(row * size + stop)):
                out[i] = narrowed(total(seeds, weights, i), out[i])
            start, stretch = stop, stretch + 1


def threads(count):
    """Sets how many threads `combine` has."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
