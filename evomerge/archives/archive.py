"""The archive: the members alive now, who is fit, and who has to leave."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from fitness.attraction import ahead
from fitness.competition import Capacity, RejectionBound, check, price, rows, worth


@dataclass(frozen=True, eq=False)
class Member:
    """A genome with its scores.

    Attributes:
        id: its birth number; founders, born before birth 1, have 1 - K to 0.
        parents: ids of its parents; none for a founder or an immigrant.
        genome: what rebuilds it; None where only its scores are still needed.
        scores: (D,) float32 in [0, 1], one for each datapoint of the training split.
    """

    id: int
    parents: tuple[int, ...]
    genome: Any
    scores: np.ndarray


@dataclass(frozen=True, eq=False)
class Tiling:
    """The training split cut into tiles, which are always scored whole.

    Attributes:
        number: which cut of the run this is.
        tiles: index arrays that together name every datapoint once, in the order in which they are scored.
    """

    number: int
    tiles: tuple[np.ndarray, ...]

    @classmethod
    def cut(cls, number: int, order: np.ndarray, tile: int) -> Tiling:
        """Cuts (D,) datapoints, in this order, into tiles of `tile` or one less (or fewer, where D asks for it)."""
        return cls(number, tuple(np.array_split(order, -(-len(order) // tile))))


@dataclass(frozen=True)
class Competition:
    """How members compete; see `fitness.competition`.

    Attributes:
        alpha: strength of the competition, at least 0.
        capacity: "max" or "one".
        relative: subtract each datapoint's worst score before competing.
        weights: (D,) weight of each datapoint, all ones if None.
    """

    alpha: float = 1.0
    capacity: Capacity = "max"
    relative: bool = False
    weights: np.ndarray | None = None

    def __post_init__(self) -> None:
        check(self.alpha, self.capacity)

    def price(self, total: np.ndarray, peak: np.ndarray) -> np.ndarray:
        """What one unit of score earns at each datapoint, from the members' total and best scores there: (D,)."""
        return price(total, peak, alpha=self.alpha, capacity=self.capacity, weights=self.weights)

    @property
    def bounded(self) -> bool:
        """Whether a rejection can be foreseen: not for relative scores, nor for alpha above 1."""
        return not self.relative and self.alpha <= 1

    def bound(self, scores: np.ndarray, tiles: Sequence[np.ndarray]) -> RejectionBound:
        """The bound by which a rejection is foreseen."""
        return RejectionBound(
            scores, tiles, alpha=self.alpha, capacity=self.capacity, weights=self.weights
        )

    def mean(self, scores: np.ndarray) -> float:
        """The weighted mean of (D,) scores."""
        if self.weights is None:
            return float(scores.sum(dtype=np.float64)) / len(scores)
        return float(scores.astype(np.float64) @ self.weights / self.weights.sum())


@dataclass(frozen=True, eq=False)
class View:
    """The archive as it was at one moment. A birth is planned from one, and its worker stops scoring by it.

    Attributes:
        members: the members, oldest first.
        scores: their (N, D) scores in float64.
        competition: how they compete.
        full: whether a newcomer has to displace somebody.
    """

    members: tuple[Member, ...]
    scores: np.ndarray
    competition: Competition
    full: bool

    @cached_property
    def _bounds(self) -> dict[int, RejectionBound]:
        return {}

    def bound(self, tiling: Tiling) -> RejectionBound:
        """The bound by which a rejection is foreseen, for scores that come in the tiles of `tiling`; made once."""
        if tiling.number not in self._bounds:
            self._bounds[tiling.number] = self.competition.bound(self.scores, tiling.tiles)
        return self._bounds[tiling.number]

    @cached_property
    def rows(self) -> np.ndarray:
        """(N, D) the scores as they compete, relative or not."""
        return rows(self.scores, self.competition.relative)

    @cached_property
    def total(self) -> np.ndarray:
        """(D,) sum of the competing scores: z."""
        return self.rows.sum(axis=0)

    @cached_property
    def peak(self) -> np.ndarray:
        """(D,) best of the competing scores."""
        return self.rows.max(axis=0, initial=0.0)

    @cached_property
    def price(self) -> np.ndarray:
        """(D,) what one unit of score earns."""
        return self.competition.price(self.total, self.peak)

    @cached_property
    def fitness(self) -> np.ndarray:
        """(N,) competitive fitness."""
        return worth(self.rows, self.price)

    @cached_property
    def _attractions(self) -> dict[int, np.ndarray]:
        return {}

    def attraction(self, first: int) -> np.ndarray:
        """(N,) attraction of each member for row `first`; taken once, since an archive outlives many births."""
        if first not in self._attractions:
            self._attractions[first] = worth(ahead(self.rows, first), self.price)
        return self._attractions[first]

    def compete(self, newcomer: np.ndarray) -> np.ndarray:
        """(N + 1,) fitness of the members and, last, of a newcomer with these (D,) scores, were it one of them."""
        newcomer = newcomer.astype(np.float64)
        if self.competition.relative:
            competing = rows(np.concatenate([self.scores, newcomer[None]]), relative=True)
            return worth(
                competing, self.competition.price(competing.sum(axis=0), competing.max(axis=0))
            )
        prices = self.competition.price(self.total + newcomer, np.maximum(self.peak, newcomer))
        return np.append(worth(self.rows, prices), worth(newcomer[None], prices))

    def scarcity(self) -> np.ndarray:
        """(D,) datapoint indices, the ones with the least score in all first, ties by index."""
        return np.argsort(self.total, kind="stable")

    @cached_property
    def coverage(self) -> float:
        """Mean over datapoints of the best member's score; for 0/1 scores the share that somebody solves."""
        return float(self.scores.max(axis=0).mean())

    @cached_property
    def entropy(self) -> float:
        """Mean over datapoints of the binary entropy, in bits, of the members' mean score: how differently they score."""
        p = self.scores.mean(axis=0)
        p = p[(p > 0) & (p < 1)]
        bits = p * np.log2(p) + (1 - p) * np.log2(1 - p)
        return abs(float(bits.sum())) / self.scores.shape[1]


@dataclass
class Archive:
    """At most `size` members; the least fit of N + 1 leaves.

    Attributes:
        size: how many members live.
        competition: how they compete.
        members: the members alive, oldest first.
    """

    size: int
    competition: Competition = field(default_factory=Competition)
    members: tuple[Member, ...] = ()

    def __post_init__(self) -> None:
        if self.size < 2:
            raise ValueError(f"size: expected an archive of at least 2, got {self.size}")
        self.view = self._look(
            self.members, np.array([member.scores for member in self.members], dtype=np.float64)
        )

    @property
    def scores(self) -> np.ndarray:
        """(N, D) float64 scores of the members, oldest first. Never changed in place."""
        return self.view.scores

    def admit(self, member: Member) -> tuple[Member | None, float]:
        """Lets a newcomer compete for its place.

        Args:
            member: the newcomer, younger than all members.

        Returns:
            Who left (None while there is room, perhaps the newcomer; of equally fit ones the oldest), and the newcomer's
            fitness among the N + 1.

        Raises:
            ValueError: if its scores are not as many as the members'.
        """
        if not self.members:
            self.members = (member,)
            self.view = self._look(self.members, member.scores.astype(np.float64)[None])
            return None, float(self.view.fitness[0])
        if member.scores.shape != self.members[0].scores.shape:
            raise ValueError(
                f"scores: expected shape {self.members[0].scores.shape}, got {member.scores.shape}"
            )
        fitness = self.view.compete(member.scores)
        least = self._leaver(member, fitness)
        if least == len(self.members):
            return member, float(fitness[-1])
        kept, leaver = np.ones(len(self.members), dtype=bool), None
        if least is not None:
            leaver, kept[least] = self.members[least], False
        self.members = (*(old for old in self.members if old is not leaver), member)
        self.view = self._look(
            self.members,
            np.concatenate([self.scores[kept], member.scores.astype(np.float64)[None]]),
        )
        return leaver, float(fitness[-1])

    def remarks(self, scores: np.ndarray) -> dict[str, Any]:  # noqa: ARG002
        """What the log has to keep of a child with these (D,) scores, besides who came and who left."""
        return {}

    def _leaver(self, newcomer: Member, fitness: np.ndarray) -> int | None:  # noqa: ARG002
        """Which of N + 1 rows, the newcomer's last, has to leave: here the least fit; None where there is room."""
        return int(fitness.argmin()) if len(self.members) == self.size else None

    def _look(self, members: tuple[Member, ...], scores: np.ndarray) -> View:
        return View(members, scores, self.competition, full=len(members) >= self.size)
