"""Tiles: the training split in pieces that are always scored whole, with the same company."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class BatchedGroup(NamedTuple):
    """Datapoints that a model reads only with others of their group.

    Attributes:
        name: what the group is called.
        datapoints: (n,) int64 indices, one or more.
        batch: how many of them the model reads side by side at most.
    """

    name: str
    datapoints: np.ndarray
    batch: int


@dataclass(frozen=True, eq=False)
class Tiling:
    """The training split cut into tiles.

    Attributes:
        number: which cut of the run this is.
        tiles: index arrays that together name every datapoint once, in the order in which they are
            scored.
    """

    number: int
    tiles: tuple[np.ndarray, ...]

    @classmethod
    def cut(
        cls, number: int, order: np.ndarray, tile: int, groups: Sequence[BatchedGroup] = ()
    ) -> Tiling:
        """Cuts datapoints into tiles of one size or one less, or fewer, where D asks for it.

        Groups that a model reads in batches of their own are cut into whole batches first, and a
        tile has as many of those as go into it: a batch that two tiles share would be two calls of
        the model.

            >>> sums = BatchedGroup("sums", np.array([0, 1, 2]), 3)
            >>> words = BatchedGroup("words", np.array([3, 4, 5]), 3)
            >>> Tiling.cut(1, np.array([0, 3, 1, 4, 2, 5]), 4, [sums, words]).tiles
            (array([0, 1, 2]), array([3, 4, 5]))

        Args:
            number: which cut of the run this is.
            order: (D,) the datapoints, in the order in which they will be scored.
            tile: the greatest size of a tile.
            groups: what is read in batches of its own; no datapoint is in two of them.
        """
        if groups and len(order) > tile:
            return cls(number, tuple(_packed(_blocks(order, tile, groups), tile)))
        # Tiles are evened out: a last one of a few datapoints would cost a batch like any other.
        count = math.ceil(len(order) / tile)
        return cls(number, tuple(np.array_split(order, count)))


def _blocks(order: np.ndarray, tile: int, groups: Sequence[BatchedGroup]) -> list[np.ndarray]:
    """The pieces that no tile may cut: even batches of each group, and each other datapoint alone.

    They come in the order of the mean place that their datapoints have, and so have these in them.
    """
    places = np.empty(len(order), dtype=np.int64)  # (D,) the place of each datapoint in the order
    places[order] = np.arange(len(order))
    alone = np.ones(len(order), dtype=bool)
    blocks = []
    for group in groups:
        alone[group.datapoints] = False
        own = np.sort(places[group.datapoints])
        # A batch has no more datapoints than a tile has.
        count = math.ceil(len(own) / min(group.batch, tile))
        blocks += np.array_split(own, count)
    blocks += np.split(np.sort(places[alone]), range(1, np.count_nonzero(alone)))
    blocks = [block for block in blocks if len(block)]
    blocks.sort(key=lambda block: (block.mean(), block[0]))
    return [order[block] for block in blocks]


def _packed(blocks: Sequence[np.ndarray], tile: int) -> list[np.ndarray]:
    """Tiles of whole blocks, in their order, each with as many as go into it."""
    tiles: list[list[np.ndarray]] = [[]]
    size = 0
    for block in blocks:
        if size + len(block) > tile:
            tiles.append([])
            size = 0
        tiles[-1].append(block)
        size += len(block)
    return [np.concatenate(own) for own in tiles]
