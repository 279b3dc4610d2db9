"""Rows of embeddings that a seed lacks: which they are, and what stands in for them.

A seed whose user added tokens has more rows than the others (`vocabulary: trailing`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import torch


def known_rows(
    rows: int, stored: int, place: int, tokens: Sequence[Collection[int] | None]
) -> torch.Tensor:
    """Which rows of an embedding one seed has: it stores the row, and its tokenizer has the token.

    Args:
        rows: of the members' embedding, V.
        stored: rows that the seed stores, at most V.
        place: of the seed among the K.
        tokens: (K,) for each seed the numbers of its tokenizer's tokens; None: all that it stores.

    Returns:
        (V,) booleans.
    """
    known = torch.zeros(rows, dtype=torch.bool)
    its_tokens = tokens[place]
    if its_tokens is None:
        known[:stored] = True
    else:
        known[[number for number in its_tokens if number < stored]] = True
    # Padding belongs to no token of any seed; of it, each seed has what it stores.
    everybody: set[int] = set()
    for numbers in tokens:
        if numbers is None:
            return known
        everybody.update(numbers)
    padding = torch.ones(rows, dtype=torch.bool)
    padding[[number for number in everybody if number < rows]] = False
    known[:stored] |= padding[:stored]
    return known


def with_lent_rows(
    tensor: torch.Tensor,
    known: torch.Tensor,
    shape: Sequence[int],
    lenders: Iterable[tuple[torch.Tensor, torch.Tensor]],
) -> torch.Tensor:
    """A seed's embedding, with the mean of the other seeds' rows where it has none.

    So a row stays what it is between the seeds that have it, however they are mixed.

    Args:
        tensor: what the seed stores; at most V rows.
        known: (V,) whether the seed has each row.
        shape: of the members' embedding, (V, ...).
        lenders: for each seed what it stores, and (V,) which rows it has.

    Returns:
        A tensor of the shape, in the type of `tensor`.
    """
    padded = torch.zeros(*shape)  # (V, ...)
    count = torch.zeros(len(padded), *[1] * (tensor.dim() - 1))  # (V, 1, ...)
    for lent, lent_rows in lenders:
        rows = lent_rows & ~known  # (V,)
        padded[rows] += lent[rows[: len(lent)]]
        count[rows] += 1
    # A row that nobody has stays zero.
    padded /= count.clamp(min=1)
    padded[known] = tensor[known[: len(tensor)]].to(padded.dtype)
    return padded.to(tensor.dtype)
