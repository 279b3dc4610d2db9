"""Prompts for pictures of digits, with the digit that each asks for and a real one of its kind to compare with.

No wording ("the digit seven", "7 on black") and no picture is in two splits, whatever the seed; the seed sets their order. The
pictures of the split "lessons" are for training models; its wordings are those of all splits, as a model must know the words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch.nn.functional import interpolate

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

TEMPLATES = (
    *(
        "digit {}",
        "number {}",
        "figure {}",
        "the digit {}",
        "the number {}",
        "the figure {}",
        "the numeral {}",
    ),
    *("a handwritten {}", "a small {}", "a white {}", "a neat {}", "a plain {}"),
    *(
        "a handwritten digit {}",
        "a handwritten number {}",
        "a small figure {}",
        "a white numeral {}",
        "a neat number {}",
    ),
    *(
        "a picture of the digit {}",
        "a picture of the number {}",
        "a picture of a handwritten {}",
        "a picture of a white {}",
    ),
    *(
        "a drawing of the digit {}",
        "a drawing of the figure {}",
        "a drawing of a small {}",
        "a drawing of a neat {}",
    ),
    *(
        "a scan of the number {}",
        "a scan of a handwritten {}",
        "{} on black",
        "{} in white on black",
        "{} written by hand",
    ),
)
"""Each is two wordings, one with a word and one with a figure."""

SPLITS = ("train", "test", "validation")
"""To which wordings go in turn."""

SHARES = (*["lessons"] * 5, *["train"] * 2, *["test"] * 2, "validation")
"""Of the pictures of each digit, which go to them in turn."""

SIDE = 16
"""Pixels of a picture's side; scikit-learn's have 8."""

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

        None if there is no such split, or nothing in it. Record i of a split is the same whatever the sizes are. The first 200
        prompts of a split differ; no picture comes twice.

        Raises:
            ValueError: if more prompts are asked for than there are pictures.
        """
        parts = _records(self.seed)
        sizes = {
            "lessons": len(parts["lessons"]),
            "train": self.train,
            "test": self.test,
            "validation": self.validation,
        }
        size = sizes.get(name, 0)
        if not 0 <= size <= len(parts.get(name, ())):
            raise ValueError(
                f"{name}: expected a number of prompts from 0 to {len(parts[name])}, got {size}"
            )
        return parts[name][:size] if size else None


def wordings(split: str) -> Sequence[Sequence[str]]:
    """All ways to ask in a split, each as its ten prompts: "the digit zero", "the digit one", ...

    Args:
        split: "train", "test" or "validation"; "lessons" has all of theirs.
    """
    forms = (WORDS, tuple(map(str, range(10))))
    return [
        [template.format(name) for name in names]
        for place, template in enumerate(TEMPLATES)
        for shift, names in enumerate(forms)
        if split in ("lessons", SPLITS[(place + shift) % len(SPLITS)])
    ]


@lru_cache(maxsize=4)
def pictures(split: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (n, 16, 16) uint8 and labels (n,) int64 of "lessons", "train", "test" or "validation", in file order."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    large = interpolate(
        torch.from_numpy(digits.images)[:, None], size=(SIDE, SIDE), mode="bilinear"
    )[:, 0]
    images = (large * 255 / 16).round().to(torch.uint8).numpy()
    turns = np.zeros(len(images), dtype=np.int64)
    for digit in range(10):
        own = digits.target == digit
        turns[own] = np.arange(own.sum()) % len(SHARES)
    chosen = np.asarray(SHARES)[turns] == split
    images, labels = images[chosen], digits.target[chosen].astype(np.int64)
    images.setflags(write=False)
    labels.setflags(write=False)
    return images, labels


@lru_cache(maxsize=8)
def _records(seed: int) -> Mapping[str, Sequence[Record]]:
    """All records by split."""
    rng = np.random.default_rng(seed)
    parts = {}
    for name in ("lessons", *SPLITS):
        images, labels = pictures(name)
        asked = wordings(name)
        columns = []  # a digit each
        for digit in range(10):
            own = images[rng.permutation(np.flatnonzero(labels == digit))]
            order = rng.permutation(len(asked))
            prompts = [asked[order[turn % len(asked)]][digit] for turn in range(len(own))]
            columns.append(
                [
                    {"prompt": prompt, "label": digit, "image": image}
                    for prompt, image in zip(prompts, own, strict=True)
                ]
            )
        parts[name] = [
            record for turn in zip(*columns, strict=False) for record in turn
        ]  # as far as the rarest digit goes
    return parts
