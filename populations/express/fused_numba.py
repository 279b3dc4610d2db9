"""The loop behind `populations.express`, in one pass over memory, compiled by numba.

It is compiled for each number of seeds and each type of number, which takes a second each.
A function with an `overload` is one that numba compiles from the body that the overload returns
for these types. Recursion takes tuples apart, so that no loop over the seeds is left inside the
loop over the entries, and LLVM vectorises it. Numba does not know bfloat16, which comes and goes
as its 16 bits.
"""

# ruff: noqa: ANN001, ANN201, ANN202, ARG001, ARG005, D103, RUF005

import numba
import numpy as np
from numba.extending import overload

BLOCK = 1 << 16
"""Entries that one thread takes at a time."""

INFINITY_BITS = 0x7F800000
"""Infinity as a float32's bits; larger ones, without the sign, are no number."""

NAN_BITS = 0x7FC0
"""What is not a number as a bfloat16's bits."""


# The names of the functions that numba overloads. Python itself never calls them.
def widened(x): ...


def narrowed(x, like): ...


def total(seeds, weights, i): ...


def weights_of(coefficients, stretch): ...


@overload(widened, inline="always")
def _widened(x):
    if isinstance(x, numba.types.Float):
        return lambda x: x
    # A bfloat16 is the upper half of a float32.
    return lambda x: np.uint32(np.uint32(x) << np.uint32(16)).view(np.float32)


@overload(narrowed, inline="always")
def _narrowed(x, like):
    if isinstance(like, numba.types.Float):
        return lambda x, like: x
    return lambda x, like: _nearest(np.float32(x).view(np.uint32))


@numba.njit(inline="always")
def _nearest(bits):
    """The nearest bfloat16's bits for a float32's, ties to even; NaN stays NaN."""
    # Adding a little less than half of the last place that stays carries into it where the rest
    # is more than a half. Adding its own last bit as well makes ties even.
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    # The same carry would turn some that are not a number into infinity, or into zero. It stays
    # one expression: with a branch LLVM might not vectorise the loop.
    no_number = (bits & np.uint32(0x7FFFFFFF)) > np.uint32(INFINITY_BITS)
    return np.uint16(NAN_BITS if no_number else rounded)


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
    """The function, compiled; it is kept on disk for the next process, where there is a place."""
    # A product and a sum may become one instruction, with one rounding less. Nothing may be
    # reordered, since other sums would be other children.
    settings = {"parallel": True, "fastmath": {"contract"}, "boundscheck": False}
    try:
        return numba.njit(**settings, cache=True)(function)
    except RuntimeError:
        # Neither the package's folder nor the user's can be written to.
        return numba.njit(**settings)(function)


@compiled
def combine(out, seeds, edges, coefficients, rows):
    """Fills `out` with linear combinations of the seeds, other ones for each stretch of a row.

    Entries edges[s] to edges[s + 1] of each row are sum_k coefficients[k][s] * seeds[k].

    Args:
        out: (rows * S,) float32, or uint16 that are a bfloat16's bits.
        seeds: a tuple of K arrays as long as `out`, each of either type.
        edges: (n + 1,) int64, from 0 to S.
        coefficients: a tuple of K (n,) float32 arrays.
        rows: how many rows there are.
    """
    size = edges[-1]
    # Threads share blocks and not rows, as there may be a single row. A block lies in one row.
    blocks = (size + BLOCK - 1) // BLOCK
    for block in numba.prange(rows * blocks):
        row = np.int64(block) // blocks
        start = np.int64(block) % blocks * BLOCK
        end = min(size, start + BLOCK)
        stretch = np.searchsorted(edges, start, side="right") - 1
        # Weights are looked up once for each stretch of the block, so that the innermost loop has
        # nothing in it but the sum.
        while start < end:
            stop = min(end, edges[stretch + 1])
            weights = weights_of(coefficients, stretch)
            # An unsigned index spares the test for one that counts from the end.
            for i in range(np.uint64(row * size + start), np.uint64(row * size + stop)):
                out[i] = narrowed(total(seeds, weights, i), out[i])
            start = stop
            stretch += 1


def set_threads(count):
    """Sets how many threads `combine` has."""
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
