"""What a member has of whom along the parameter axis, by what the log has of all its ancestors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from evomerge.genome.groups import Stretch
from evomerge.report.record import Record
from evomerge.rundir.births import id_of

POINTS, FEWEST = 600, 8
"""Positions along the axis at which shares are taken, and the fewest in each stretch."""


def parts(entry: Mapping[str, Any], stretches: Sequence[Stretch]) -> list[tuple[int, int, float]]:
    """How a child was merged along the axis.

    Args:
        entry: the log's line of the child.
        stretches: what lies where.

    Returns:
        (start, stop, w) of each part, with the share w of the second parent there.
    """
    # Each chromosome lies in one piece on the axis, and has a ratio and split points of its own.
    edges_of: dict[str, tuple[int, int]] = {}
    for chromosome, _, start, stop in stretches:
        first, _ = edges_of.get(chromosome, (start, stop))
        edges_of[chromosome] = first, stop
    merged = []
    for (first, last), ratio, points in zip(
        edges_of.values(), entry["ratios"], entry["splits"], strict=True
    ):
        for turn, (start, stop) in enumerate(pairwise([first, *points, last])):
            # The parents change places at each split point.
            share = ratio if turn % 2 == 0 else 1 - ratio
            # Two split points may be the same one.
            if start < stop:
                merged.append((start, stop, share))
    return merged


def second_share(
    entry: Mapping[str, Any], stretches: Sequence[Stretch], positions: np.ndarray
) -> np.ndarray:
    """(n,) the share w of the second parent at (n,) positions, from a line of the log."""
    share = np.empty(len(positions))  # (n,)
    for start, stop, w in parts(entry, stretches):
        share[(positions >= start) & (positions < stop)] = w
    return share


def positions_along(stretches: Sequence[Stretch]) -> np.ndarray:
    """(n,) int64 positions spread evenly along the axis, some in every stretch that has as many."""
    size = stretches[-1].stop
    positions = []
    for *_, start, stop in stretches:
        length = stop - start
        count = min(length, max(FEWEST, round(POINTS * length / size)))
        # In the middle of each of so many equal pieces.
        offsets = length * (np.arange(count) + 0.5) / count
        positions.append(start + offsets.astype(np.int64))
    return np.concatenate(positions)


def founder_shares(run: Record, positions: np.ndarray) -> tuple[np.ndarray, int] | None:
    """How much of the best comes from which founder, as if every merge were linear.

    Going back from child to parents, each passes on what is said of it: 1 - w to the first, w to
    the second parent.

    Args:
        run: the run.
        positions: (n,) on the axis.

    Returns:
        (n, K) shares, with one more column for all immigrants if there are any, and the number of
        births among the ancestors. None where a search made one of them.
    """
    waiting = {id_of(run.bests[-1]): np.ones(len(positions))}
    shares = np.zeros((len(positions), len(run.founders)))  # (n, K)
    immigrants = np.zeros(len(positions))  # (n,)
    births = 0
    while waiting:
        # Nobody is older than its parents: when the youngest is taken, all its children have
        # passed on what they have of it.
        id = max(waiting)
        share, entry = waiting.pop(id), run.by_id[id]
        if "founder" in entry:
            shares[:, entry["founder"]] = share
            continue
        # What a search made of its parents, no mixing ratio says.
        if entry.get("made"):
            return None
        births += 1
        # One without parents that is no founder came later, as a random one.
        if not entry["parents"]:
            immigrants += share
        for parent, given in _given(entry, run.stretches, positions):
            waiting[parent] = waiting.get(parent, 0.0) + share * given
    if immigrants.any():
        shares = np.column_stack([shares, immigrants])  # (n, K + 1)
    return shares, births


def by_layer(
    stretches: Iterable[Stretch], positions: np.ndarray, shares: np.ndarray
) -> dict[str, list[tuple[str, list[float]]]]:
    """The mean shares in each layer, chromosome by chromosome.

    A layer may be several stretches, which count by their length.

    Args:
        stretches: what lies where.
        positions: (n,) on the axis.
        shares: (n, K) at these.

    Returns:
        For each chromosome its layers, each with K means.
    """
    lengths: dict[tuple[str, str], int] = {}
    sums: dict[tuple[str, str], np.ndarray] = {}
    for chromosome, layer, start, stop in stretches:
        place, length = (chromosome, layer), stop - start
        mean = shares[(positions >= start) & (positions < stop)].mean(axis=0)  # (K,)
        lengths[place] = lengths.get(place, 0) + length
        sums[place] = sums.get(place, np.zeros(shares.shape[1])) + length * mean
    tables: dict[str, list[tuple[str, list[float]]]] = {}
    for (chromosome, layer), total in sums.items():
        means = (total / lengths[chromosome, layer]).tolist()
        tables.setdefault(chromosome, []).append((layer, means))
    return tables


def _given(
    entry: Mapping[str, Any], stretches: Sequence[Stretch], positions: np.ndarray
) -> Iterable[tuple[int, np.ndarray]]:
    """What a child has of each parent: the parent's id, and its (n,) shares at positions."""
    parents = entry["parents"]
    # A child of one parent, which was only mutated, has all of it.
    second = np.zeros(len(positions))  # (n,)
    if len(parents) > 1:
        second = second_share(entry, stretches, positions)
    return zip(parents, (1 - second, second), strict=False)
