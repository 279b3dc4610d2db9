import math
import re
from types import SimpleNamespace

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from evomerge.archives.tiling import BatchedGroup, Tiling
from evomerge.datapoints import batched_groups
from evomerge.errors import UserError
from fitness.combined import Combined


@pytest.mark.parametrize(
    ("datapoints", "tile", "sizes"),
    [(10, 4, [4, 3, 3]), (8, 4, [4, 4]), (3, 5, [3]), (5, 1, [1] * 5)],
)
def test_tiles_are_even_and_hold_every_datapoint_once(datapoints, tile, sizes):
    order = np.random.default_rng(0).permutation(datapoints)
    tiling = Tiling.cut(3, order, tile)
    assert tiling.number == 3
    assert [len(part) for part in tiling.tiles] == sizes
    assert np.concatenate(tiling.tiles).tolist() == order.tolist()


GROUP = strategies.tuples(strategies.integers(1, 40), strategies.integers(1, 20))


@hypothesis.given(
    strategies.lists(GROUP, min_size=1, max_size=4),
    strategies.integers(0, 10),
    strategies.integers(1, 60),
    strategies.integers(0, 9),
)
def test_no_tile_cuts_a_batch(sizes, alone, tile, seed):
    """A group is read in as few calls as its batches make, however its datapoints are strewn."""
    rng = np.random.default_rng(seed)
    count = sum(n for n, _ in sizes) + alone
    named = rng.permutation(count)
    groups, start = [], 0
    for number, (n, batch) in enumerate(sizes):
        groups.append(BatchedGroup(str(number), named[start : start + n], batch))
        start += n
    order = rng.permutation(count)
    tiles = Tiling.cut(1, order, tile, groups).tiles

    assert sorted(np.concatenate(tiles)) == list(range(count))
    assert all(0 < len(part) <= tile for part in tiles)
    places = np.argsort(order)
    for group in groups:
        own = [part[np.isin(part, group.datapoints)] for part in tiles]
        calls = sum(math.ceil(len(part) / group.batch) for part in own)
        assert calls <= math.ceil(len(group.datapoints) / min(group.batch, tile))
        # the scarcest of a group still come first
        met = places[np.concatenate(own)]
        assert (np.diff(met) > 0).all() or count <= tile or len(met) < 2
    if count <= tile:
        assert tiles[0].tolist() == order.tolist()


def test_the_part_with_the_scarcest_datapoints_comes_first():
    groups = [BatchedGroup("a", np.arange(4), 4), BatchedGroup("b", np.arange(4, 8), 4)]
    tiles = Tiling.cut(1, np.array([5, 0, 4, 6, 1, 2, 7, 3]), 4, groups).tiles
    assert [part.tolist() for part in tiles] == [[5, 4, 6, 7], [0, 1, 2, 3]]


def part(count, **more):
    return SimpleNamespace(size=lambda split: count, **more)


def test_the_parts_of_a_sum_are_read_in_batches_of_their_own():
    combined = Combined([part(3, batch=2), part(2), part(4, batch=9)], names=["a", "b", "c"])
    groups = batched_groups(combined, "train", 9)
    assert [(name, own.tolist(), batch) for name, own, batch in groups] == [
        ("a", [0, 1, 2], 2),
        ("c", [5, 6, 7, 8], 9),
    ]
    assert batched_groups(part(5, batch=2), "train", 5) == []


def grouped(batch, groups):
    return part(5, batches=lambda: {"a": batch, "b": 2}, groups=lambda split: groups)


def test_a_datapoint_is_read_with_its_first_group():
    groups = batched_groups(grouped(2, {"a": [0, 1, 1, 2], "b": [2, 4], "c": [3]}), "train", 5)
    assert [own.tolist() for _, own, _ in groups] == [[0, 1, 2], [4]]


@pytest.mark.parametrize("batch", [0, -1, True, 2.5, None, "4"])
def test_a_batch_that_is_no_size_is_refused(batch):
    with pytest.raises(UserError, match=re.escape("batches()['a']: expected a whole number of at")):
        batched_groups(grouped(batch, {"a": [0]}), "train", 5)
