"""Questions and answers that are made up, for small models: sums, letters and words to sort.

Each skill has some ten thousand questions. Which split a question belongs to is written in the
question itself (a checksum), so no question is in two splits, whatever the seed; the seed sets
their order. The split "lessons", half of all questions, is for training models: nothing is scored
on it.
"""

from __future__ import annotations

import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fitness.split_sizes import first_of_split

SPLITS = (*["lessons"] * 10, *["train"] * 4, "validation", *["test"] * 5)
"""Twenty shares."""

LETTERS = "abcdefghijklmnopqrst"
LENGTH = 5
"""Letters that are to be sorted."""

WORDS = (
    "apple bread chair cloud dance eagle field flute glass grape green honey horse house ivory "
    "jelly knife lemon light mouse music night ocean paper plant queen river robot smile stone "
    "sugar table tiger train uncle voice water wheel yacht zebra"
)
WORDS_TO_SORT = 3

DRAWN = 15_000
"""Times that letters or words are drawn, some of them twice."""

Record = Mapping[str, str]


@dataclass(frozen=True)
class Skill(ABC):
    """What the skills have in common.

    Attributes:
        train: questions of the training split.
        test: questions of the test split.
        validation: questions of the validation split.
        seed: from which their order is drawn.
    """

    train: int = 500
    test: int = 2000
    validation: int = 0
    seed: int = 0

    def split(self, name: str) -> Sequence[Record] | None:
        """Records with "question" and "answer"; None if there is no such split, or nothing in it.

        Record i of a split is the same whatever the sizes are.

        Raises:
            ValueError: if more questions are asked for than there are.
        """
        sizes = {"train": self.train, "test": self.test, "validation": self.validation}
        return first_of_split(_records(type(self), self.seed), name, sizes, "questions")

    @classmethod
    @abstractmethod
    def questions(cls) -> Iterator[tuple[str, str]]:
        """All questions of the skill with their answers, in a fixed order."""


class Arithmetic(Skill):
    """Sums and differences of two numbers below 100, none of them negative: 47 + 38, 85."""

    @classmethod
    def questions(cls) -> Iterator[tuple[str, str]]:
        """As `Skill.questions`."""
        for a in range(100):
            for b in range(100):
                yield f"{a} + {b}", str(a + b)
                if a >= b:
                    yield f"{a} - {b}", str(a - b)


class Sorting(Skill):
    """Letters to put in order: sort d b t a m, a b d m t."""

    @classmethod
    def questions(cls) -> Iterator[tuple[str, str]]:
        """As `Skill.questions`."""
        # the questions are the same for every seed, which only sets their order
        rng = np.random.default_rng(0)
        for _ in range(DRAWN):
            letters = [LETTERS[place] for place in rng.permutation(len(LETTERS))[:LENGTH]]
            yield "sort " + " ".join(letters), " ".join(sorted(letters))


class Sums(Skill):
    """Sums of two numbers of two digits: What is 47 + 38?, 85."""

    @classmethod
    def questions(cls) -> Iterator[tuple[str, str]]:
        """As `Skill.questions`."""
        for a in range(10, 100):
            for b in range(10, 100):
                yield f"What is {a} + {b}?", str(a + b)


class WordSorting(Skill):
    """Words to put in order: Sort these words: river apple stone, apple river stone."""

    @classmethod
    def questions(cls) -> Iterator[tuple[str, str]]:
        """As `Skill.questions`."""
        all_words = WORDS.split()
        rng = np.random.default_rng(0)
        for _ in range(DRAWN):
            drawn = rng.permutation(len(all_words))[:WORDS_TO_SORT]
            words = [all_words[place] for place in drawn]
            yield f"Sort these words: {' '.join(words)}", " ".join(sorted(words))


@lru_cache(maxsize=8)
def _records(skill: type[Skill], seed: int) -> Mapping[str, Sequence[Record]]:
    """All records of a skill by split."""
    # a dict, since what was drawn twice is one question
    questions = list(dict(skill.questions()).items())
    parts: dict[str, list[Record]] = {name: [] for name in SPLITS}
    for place in np.random.default_rng(seed).permutation(len(questions)):
        question, answer = questions[place]
        # a checksum is the same on every machine, unlike Python's hash
        share = zlib.crc32(question.encode()) % len(SPLITS)
        parts[SPLITS[share]].append({"question": question, "answer": answer})
    return parts
