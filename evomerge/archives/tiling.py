"""Tiles: the training split in pieces that are always scored whole, with the same company."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


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
    def cut(cls, number: int, order: np.ndarray, tile: int) -> Tiling:
        """Cuts datapoints into tiles of one size or one less, or fewer, where D asks for it.

        Args:
            number: which cut of the run this is.
            order: (D,) the datapoints, in the order in which they will be scored.
            tile: the greatest size of a tile.
        """
        # Tiles are evened out: a last one of a few datapoints would cost a batch like any other.
        count = math.ceil(len(order) / tile)
        return cls(number, tuple(np.array_split(order, count)))
