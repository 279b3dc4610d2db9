"""A shop in words, small enough for a tiny model: search, choose by clicks, buy.

    want wool hat not shoe red not white small
    > search hat
    red white blue
    > click red
    huge small tiny
    > click small
    silk wool linen
    > click wool
    ready
    > buy

A wish names a kind, a colour, a size and a material in any order, and some of them also say what is
not wanted. The score is the share of the four that the purchase has as wished, so what comes close
is worth something; a shopper who has bought nothing in seven steps gets nothing.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

STEPS = 7
"""Actions after which a visit is over."""

OFFERS = 3
"""Choices that a page shows."""

UNWANTED = 0.5
"""How often a wish says of an attribute what is not wanted."""

KINDS = ("hat", "coat", "shoe", "shirt", "scarf", "glove")
COLOURS = ("red", "blue", "green", "black", "white", "pink")
SIZES = ("tiny", "small", "medium", "large", "huge")
MATERIALS = ("wool", "silk", "linen", "cotton", "leather")
ATTRIBUTES = (KINDS, COLOURS, SIZES, MATERIALS)
"""What is searched for, and then what each page asks."""

WANT, NOT, READY, INVALID = "want", "not", "ready", "invalid"
SEARCH, CLICK, BUY = "search", "click", "buy"
CUE = "\n> "
"""What stands before an action."""


@dataclass(frozen=True)
class Shop:
    """As many episodes as asked for; what an episode is depends on seed, split and datapoint alone.

    Attributes:
        train: episodes of the training split.
        test: episodes of the test split.
        validation: episodes of the validation split.
        seed: from which every wish and every page is drawn.
    """

    train: int = 500
    test: int = 2000
    validation: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, size in self._sizes().items():
            if size < 0:
                raise ValueError(f"{name}: expected a number of episodes of at least 0, got {size}")

    def size(self, split: str) -> int:
        """Number of episodes of "train", "test" or "validation"; 0 if there is no such split."""
        return self._sizes().get(split, 0)

    def episode(self, datapoint: int, split: str) -> Episode:
        """The episode of this number.

        Any name is a split: there is more to learn from than what is scored.
        """
        key = (zlib.crc32(split.encode()), datapoint)
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))
        # of each attribute the first word is wanted, and the others are on offer beside it
        drawn = [_shuffled(words, rng)[:OFFERS] for words in ATTRIBUTES]
        wish = []
        phrases = []
        for words in drawn:
            wish.append(words[0])
            # what is not wanted is on offer, or the shopper could not be tempted by it
            if rng.random() < UNWANTED:
                phrases.append(f"{words[0]} {NOT} {words[1]}")
            else:
                phrases.append(words[0])
        text = WANT
        for place in rng.permutation(len(phrases)):
            text += " " + phrases[place]
        # the kind is searched for, and the rest is asked page by page
        pages = tuple(tuple(_shuffled(words, rng)) for words in drawn[1:])
        return Episode(text, tuple(wish), pages)

    def _sizes(self) -> dict[str, int]:
        """The episodes that are scored, by split."""
        return {"train": self.train, "test": self.test, "validation": self.validation}


@dataclass
class Episode:
    """One visit to the shop.

    Attributes:
        text: the wish as the shopper reads it.
        wish: the kind, colour, size and material that are wanted.
        pages: the colours, sizes and materials on offer, the wanted one among them.
    """

    text: str
    wish: tuple[str, ...]
    pages: tuple[tuple[str, ...], ...]
    _left: int = field(default=0, init=False)
    _chosen: list[str] = field(default_factory=list, init=False)

    def reset(self) -> str:
        """Starts anew: the wish, and the cue for the first action."""
        self._left = STEPS
        self._chosen = []
        return self.text + CUE

    def step(self, action: str) -> tuple[str, float, bool]:
        """What comes of an action: "search KIND", "click WORD" with a word of the page, or "buy".

        A search begins again from the first page. An action that cannot be taken costs a step like
        any other.

        Returns:
            The next observation, the score so far in [0, 1], and whether the episode is over, as it
            is after a purchase and after seven steps.

        Raises:
            RuntimeError: if the episode is over, or was never begun.
        """
        # a step too many is a mistake of the caller's, not of the shopper's
        if not self._left:
            raise RuntimeError("this episode is over or was never begun: call reset() first")
        self._left -= 1
        # a model may write anything, and what is no action costs it a step
        match action.split():
            case ["buy"] if self._chosen:
                self._left = 0
                return "", self._share_as_wished(), True
            case ["search", kind] if kind in KINDS:
                self._chosen = [kind]
            case ["click", word] if word in self._page():
                self._chosen.append(word)
            case _:
                return INVALID + CUE, 0.0, not self._left
        # behind the last page there is nothing to click, only to buy
        page = " ".join(self._page()) or READY
        return page + CUE, 0.0, not self._left

    def expert(self) -> list[str]:
        """Actions that get the full score."""
        kind, *others = self.wish
        clicks = [f"{CLICK} {word}" for word in others]
        return [f"{SEARCH} {kind}", *clicks, BUY]

    def _page(self) -> tuple[str, ...]:
        """What can be clicked: nothing before a search, and nothing behind the last page."""
        if 0 < len(self._chosen) <= len(self.pages):
            return self.pages[len(self._chosen) - 1]
        return ()

    def _share_as_wished(self) -> float:
        """The share of the wish that the choice has; what was not chosen is not as wished."""
        right = 0
        for word, wish in zip(self._chosen, self.wish, strict=False):
            right += word == wish
        return right / len(self.wish)


def _shuffled(words: Sequence[str], rng: np.random.Generator) -> list[str]:
    """Words in a random order, as Python's own texts."""
    return [str(word) for word in rng.permutation(words)]
