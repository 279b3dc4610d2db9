"""What a fitness says of its datapoints: how many there are, what each weighs, and their groups."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from evomerge.archives.tiling import BatchedGroup
from evomerge.contracts import BatchedParts, Fitness, Grouped, Watches, Weighted, can
from evomerge.errors import UserError, as_user_error, reason

log = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")

WATCHED = "watched"
"""The split of a fitness that `Watches`: it counts in no mean."""


def sizes_of(fitness: Fitness) -> dict[str, int]:
    """The number of datapoints of each split; none are watched where the fitness watches nothing.

    Raises:
        UserError: if one is not a whole number of at least 0, or there are none to train on.
    """
    sizes = dict.fromkeys((*SPLITS, WATCHED), 0)
    splits = list(SPLITS)
    # Others may answer with anything to the name of a split that they do not know.
    if can(fitness, Watches):
        splits.append(WATCHED)
    for split in splits:
        size = as_user_error("fitness", partial(fitness.size, split))
        if not _is_whole(size, 0):
            raise UserError(
                f"fitness: size({split!r}): expected a whole number of at least 0, got {size!r}"
            )
        sizes[split] = int(size)
    if sizes["train"] < 1:
        raise UserError("fitness: the training split has no datapoints")
    if WATCHED in splits and not sizes[WATCHED]:
        raise UserError("fitness: there are no datapoints in what is watched")
    return sizes


def _is_whole(value: Any, least: int) -> bool:
    """Whether a value is a whole number, and not below the least."""
    # bool is a kind of int, and True would be taken for one datapoint
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        return False
    return bool(value >= least)


def weights_of(fitness: Fitness, split: str, size: int) -> np.ndarray | None:
    """(D,) float64 weights of the datapoints of a split; None where all weigh the same.

    Args:
        fitness: the fitness.
        split: which split.
        size: D, how many datapoints the split has.

    Raises:
        UserError: if they are not one finite number above 0 for each datapoint.
    """
    if not can(fitness, Weighted):
        return None
    where = f"fitness.weights({split!r})"
    expected = f"expected {size} numbers above 0"
    weights: np.ndarray = as_user_error(
        where, lambda: np.asarray(fitness.weights(split), dtype=np.float64)
    )
    if weights.shape != (size,):
        raise UserError(f"{where}: {expected}, got shape {weights.shape}")
    wrong = weights[~(np.isfinite(weights) & (weights > 0))]
    if wrong.size:
        raise UserError(f"{where}: {expected}, {wrong.size} are not, such as {wrong[0]}")
    return weights


def groups_of(fitness: Any, split: str, size: int) -> dict[str, np.ndarray]:
    """The groups of the datapoints of a split, as (n,) int64 indices by name.

    There are none where the fitness has none. There are none either, and a warning says so, where
    the fitness cannot tell them: groups are for people, and may not cost a run.
    """
    if not size or not can(fitness, Grouped):
        return {}
    groups = {}
    try:
        for name, datapoints in fitness.groups(split).items():
            # a list of floats or of booleans is no list of indices
            indices = np.asarray(datapoints).astype(np.int64, casting="safe")
            within = not indices.size or 0 <= indices.min() <= indices.max() < size
            if indices.ndim != 1 or not within:
                raise ValueError(f"{name!r}: expected indices from 0 to {size - 1}")
            groups[str(name)] = indices
    except Exception as error:
        log.warning("groups(%r) of the fitness are left out: %s", split, reason(error))
        return {}
    return groups


def batched_groups(fitness: Any, split: str, size: int) -> list[BatchedGroup]:
    """The groups of a split that a model reads in batches of their own, such as parts of a sum.

    There are none where the fitness does not say so. A datapoint of several groups belongs to the
    first.

    Raises:
        UserError: if a batch is not a whole number of at least 1.
    """
    if not can(fitness, BatchedParts):
        return []
    batches = as_user_error("fitness", fitness.batches)
    batched = []
    free = np.ones(size, dtype=bool)
    for name, datapoints in groups_of(fitness, split, size).items():
        own = np.unique(datapoints[free[datapoints]])
        if name not in batches or not len(own):
            continue
        batch = batches[name]
        if not _is_whole(batch, 1):
            raise UserError(
                f"fitness: batches()[{name!r}]: expected a whole number of at least 1, "
                f"got {batch!r}"
            )
        free[own] = False
        batched.append(BatchedGroup(name, own, int(batch)))
    return batched


def group_codes(
    fitness: Any, sizes: Mapping[str, int]
) -> tuple[dict[str, np.ndarray], tuple[str, ...]]:
    """The groups of all splits as numbers, and the groups' names.

    Args:
        fitness: the fitness.
        sizes: how many datapoints each split has.

    Returns:
        By split (D,) int64, the place of each datapoint's group among the names, -1 for none. A
        datapoint of several groups belongs to the first. A split without groups is left out.
    """
    by_split = {split: groups_of(fitness, split, size) for split, size in sizes.items()}
    names: list[str] = []
    for groups in by_split.values():
        names += [name for name in groups if name not in names]
    codes = {}
    for split, groups in by_split.items():
        if groups:
            codes[split] = np.full(sizes[split], -1, dtype=np.int64)
            # backwards, so that the first group of a datapoint is written last
            for name, datapoints in reversed(groups.items()):
                codes[split][datapoints] = names.index(name)
    return codes, tuple(names)
