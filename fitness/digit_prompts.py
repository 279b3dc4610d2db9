"""Prompts for pictures of digits, with the digit that each asks for and a real one to compare with.

No wording ("the digit seven", "7 on black") and no picture is in two splits, whatever the seed; the
seed sets their order. The pictures of the split "lessons" are for training models; its wordings are
those of all splits, as a model must know the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from fitness.split_sizes import first_of_split

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

FIGURES = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")

TEMPLATES = (
    "digit {}",
    "number {}",
    "figure {}",
    "the digit {}",
    "the number {}",
    "the figure {}",
    "the numeral {}",
    "a handwritten {}",
    "a small {}",
    "a white {}",
    "a neat {}",
    "a plain {}",
    "a handwritten digit {}",
    "a handwritten number {}",
    "a small figure {}",
    "a white numeral {}",
    "a neat number {}",
    "a picture of the digit {}",
    "a picture of the number {}",
    "a picture of a handwritten {}",
    "a picture of a white {}",
    "a drawing of the digit {}",
    "a drawing of the figure {}",
    "a drawing of a small {}",
    "a drawing of a neat {}",
    "a scan of the number {}",
    "a scan of a handwritten {}",
    "{} on black",
    "{} in white on black",
    "{} written by hand",
)
"""Each is two wordings, one with a word and one with a figure."""

SPLITS = ("train", "test", "validation")
"""To which wordings go in turn."""

SHARES = (*["lessons"] * 5, *["train"] * 2, *["test"] * 2, "validation")
"""Of the pictures of each digit, which go to them in turn."""

SIDE = 16
"""Pixels of a picture's side; scikit-learn's have 8."""

BRIGHTEST = 16
"""The largest pixel of scikit-learn's digits."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class DigitPrompts:
    """Prompts for the ten digits, which take turns: record i asks for the digit i % 10.

    Attributes:
        train: prompts of the training split.
        test: prompts of the test split.
        validation: prompts of the validation split.
        seed: from which the order of wordings and pictures is drawn.
    """

    train: int = 200
    test: int = 200
    validation: int = 0
    seed: int = 0

    def split(self, name: str) -> Sequence[Record] | None:
        """Records with "prompt", "label" (0 to 9) and "image" ((16, 16) uint8, white on black).

        None if there is no such split, or nothing in it. Record i of a split is the same whatever
        the sizes are. The first 200 prompts of a split differ; no picture comes twice.

        Raises:
            ValueError: if more prompts are asked for than there are pictures.
        """
        sizes = {"train": self.train, "test": self.test, "validation": self.validation}
        return first_of_split(_records(self.seed), name, sizes, "prompts")


def wordings(split: str) -> Sequence[Sequence[str]]:
    """All ways to ask in a split, each as its ten prompts: "the digit zero", "the digit one", ...

    Args:
        split: "train", "test" or "validation"; "lessons" has all of theirs.
    """
    asked = []
    for place, template in enumerate(TEMPLATES):
        for shift, names in enumerate((WORDS, FIGURES)):
            # a template's two wordings are in different splits
            if split in ("lessons", SPLITS[(place + shift) % len(SPLITS)]):
                asked.append([template.format(name) for name in names])
    return asked


@lru_cache(maxsize=4)
def pictures(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and labels of "lessons", "train", "test" or "validation", in file order.

    Returns:
        (n, 16, 16) uint8 and (n,) int64.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    small = torch.from_numpy(digits.images)[:, None]  # (N, 1, 8, 8)
    large = interpolate(small, size=(SIDE, SIDE), mode="bilinear")[:, 0]  # (N, 16, 16)
    images = (large * 255 / BRIGHTEST).round().to(torch.uint8).numpy()
    # each digit's pictures take turns by themselves, so that every split has all digits
    turns = np.zeros(len(images), dtype=np.int64)  # (N,)
    for digit in range(len(WORDS)):
        is_digit = digits.target == digit
        turns[is_digit] = np.arange(is_digit.sum()) % len(SHARES)
    chosen = np.asarray(SHARES)[turns] == split
    images = images[chosen]
    labels = digits.target[chosen].astype(np.int64)
    # they are kept, so nobody may write into them
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


@lru_cache(maxsize=8)
def _records(seed: int) -> Mapping[str, Sequence[Record]]:
    """All records by split."""
    rng = np.random.default_rng(seed)
    parts = {}
    for split in ("lessons", *SPLITS):
        images, labels = pictures(split)
        asked = wordings(split)
        columns = []
        for digit in range(len(WORDS)):
            digit_images = images[rng.permutation(np.flatnonzero(labels == digit))]
            order = rng.permutation(len(asked))
            columns.append(_column(digit, digit_images, asked, order))
        # the digits take turns, as far as the rarest goes
        records: list[Record] = []
        for turn in zip(*columns, strict=False):
            records += turn
        parts[split] = records
    return parts


def _column(
    digit: int, images: np.ndarray, asked: Sequence[Sequence[str]], order: np.ndarray
) -> list[Record]:
    """The records of one digit.

    Args:
        digit: what they ask for.
        images: (n, 16, 16) one for each record.
        asked: the ways to ask, each as its ten prompts.
        order: in which they come; after the last the first comes again.
    """
    records: list[Record] = []
    for turn, image in enumerate(images):
        prompt = asked[order[turn % len(asked)]][digit]
        records.append({"prompt": prompt, "label": digit, "image": image})
    return records
