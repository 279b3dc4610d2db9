"""WebShop's goals with the queries that people typed: does a model ask a shop as they did?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from fitness.matching import checked_by
from fitness.messages import shown
from fitness.part_names import name_of_file
from fitness.portable import Portable
from fitness.readable import check_readable
from fitness.records import once
from fitness.versions import Version, version_of


@dataclass(frozen=True)
class GoalQueries(Portable):
    """Records with "goal", what somebody wants, and "queries", what people then typed.

    They are from WebShop's goal_query_map.json.

    Attributes:
        path: the file, a JSON object of a goal to a list of queries.
        train: (first, behind the last) goal of the training split, in file order.
        test: of the test split, if there is one.
        validation: of the validation split, if there is one.
    """

    path: Path
    train: tuple[int, int]
    test: tuple[int, int] | None = None
    validation: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for name, part in self._parts().items():
            if part is not None and not 0 <= part[0] < part[1]:
                raise ValueError(
                    f"{name}: expected a first goal and one behind the last, got {list(part)}"
                )

    @property
    def name(self) -> str:
        """What the records are called: by their file."""
        return name_of_file(self.path)

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """As `fitness.questions.Records.split`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is not such an object, or has fewer goals than asked for.
        """
        part = self._parts().get(name)
        if part is None:
            return None
        pairs = self._pairs
        # a slice would quietly be shorter than the config says
        if part[1] > len(pairs):
            raise ValueError(
                f"{name}: {self.path} has {len(pairs):,} goals, "
                f"asked for {part[0]:,} to {part[1]:,}"
            )
        return pairs[part[0] : part[1]]

    def where(self, index: int, split: str) -> str:
        """The file and the number of a goal in it, from 1."""
        part = self._parts()[split]
        assert part is not None
        return f"{self.path}, goal {part[0] + index + 1}"

    @cached_property
    def _pairs(self) -> list[dict[str, Any]]:
        """The goals of the file as it is on first use."""
        path = Path(self.path).expanduser()
        return _pairs(path, version_of([path]))

    def _parts(self) -> dict[str, tuple[int, int] | None]:
        """The first goal, and the one behind the last, by split."""
        return {"train": self.train, "test": self.test, "validation": self.validation}


def _queries(reference: Any) -> None:
    """Refuses a reference that is no list of queries.

    Raises:
        ValueError: if it is something else, or a query of it has no word.
    """
    queries = []
    if isinstance(reference, list | tuple):
        queries = list(reference)
    if not queries or not all(isinstance(query, str) and query.strip() for query in queries):
        raise ValueError(
            f"expected a list of one query or more, each a text with a word in it, "
            f"got {shown(reference)}"
        )
    # half a character would never be in an answer
    for query in queries:
        check_readable(query)


@checked_by(_queries)
def overlap(_prompt: str, response: str, reference: Any) -> float:
    """The F1 of the response's words against those of the query that it is closest to.

    It is in [0, 1]; the order of the words does not count.
    """
    written = Counter(_words(response))
    return max(_f1(written, Counter(_words(query))) for query in reference)


@checked_by(_queries)
def bigram_overlap(_prompt: str, response: str, reference: Any) -> float:
    """The F1 of the response's pairs of neighbouring words against those of the closest query.

    It is in [0, 1]. The order of the words counts, as in ROUGE-2 (Lin 2004): who gives the words of
    a wish back in another order has little of it. Start and end stand for a word each.

        >>> bigram_overlap("", "red hat", ["red hat"])
        1.0
        >>> bigram_overlap("", "hat red", ["red hat"])
        0.0
    """
    written = _bigrams(response)
    return max(_f1(written, _bigrams(query)) for query in reference)


def _bigrams(text: str) -> Counter[tuple[str, str]]:
    """Each pair of neighbouring words, with the start and the end of the text; none of no words."""
    words = _words(text)
    if not words:
        return Counter()
    # no word of a text is empty
    return Counter(pairwise(["", *words, ""]))


def _words(text: str) -> list[str]:
    """The words of a text, in small letters."""
    return text.lower().split()


def _f1(written: Counter[Any], wanted: Counter[Any]) -> float:
    """The harmonic mean of precision and recall; 0 where there is nothing."""
    return 2 * (written & wanted).total() / max(written.total() + wanted.total(), 1)


@lru_cache(maxsize=2)
def _pairs(path: Path, _version: Version) -> list[dict[str, Any]]:
    """All goals with their queries, in file order."""
    # a goal that stands there twice would have two lists of queries
    try:
        goals = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: expected JSON, {error}") from None
    # an empty object has no goal, and an empty list no query to be compared with
    right = (
        isinstance(goals, dict)
        and goals
        and all(_are_queries(queries) for queries in goals.values())
    )
    if not right:
        raise ValueError(
            f"{path}: expected an object of goals, each with a list of one or more queries"
        )
    return [{"goal": goal, "queries": queries} for goal, queries in goals.items()]


def _are_queries(queries: Any) -> bool:
    """Whether it is a list of one text or more."""
    if not isinstance(queries, list) or not queries:
        return False
    return all(isinstance(query, str) for query in queries)
