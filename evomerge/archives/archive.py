"""The archive: the members alive now, who is fit, and who has to leave."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from evomerge.archives.competition import Competition
from evomerge.archives.tiling import Tiling
from fitness.attraction import ahead
from fitness.competition import RejectionBound, rows, worth


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
class View:
    """The archive as it was at one moment.

    A birth is planned from a view, and its worker stops scoring by it. So what is asked of a view
    again and again is computed once, when it is first asked for.

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
        """(N,) competitive fitness (M2N2, equations 3 and 5)."""
        return worth(self.rows, self.price)

    def attraction(self, first: int) -> np.ndarray:
        """(N,) attraction of each member for the member in row `first` (M2N2, equation 4)."""
        # Kept by row, since an archive outlives many births.
        if first not in self._attractions:
            self._attractions[first] = worth(ahead(self.rows, first), self.price)
        return self._attractions[first]

    def compete(self, newcomer: np.ndarray) -> np.ndarray:
        """The fitness that members would have with a newcomer among them.

        Args:
            newcomer: its (D,) scores.

        Returns:
            (N + 1,) the members' fitness and, last, the newcomer's.
        """
        newcomer = newcomer.astype(np.float64)
        if self.competition.relative:
            # The newcomer may have the worst score somewhere, which changes every row.
            competing = rows(np.concatenate([self.scores, newcomer[None]]), relative=True)
            price = self.competition.price(competing.sum(axis=0), competing.max(axis=0))
            return worth(competing, price)
        # Sums and maxima of the members are known, so only the newcomer's row is added to them.
        price = self.competition.price(self.total + newcomer, np.maximum(self.peak, newcomer))
        return np.append(worth(self.rows, price), worth(newcomer[None], price))

    def bound(self, tiling: Tiling) -> RejectionBound:
        """The bound by which a rejection is foreseen, for scores that come in these tiles."""
        if tiling.number not in self._bounds:
            self._bounds[tiling.number] = self.competition.bound(self.scores, tiling.tiles)
        return self._bounds[tiling.number]

    def scarcity(self) -> np.ndarray:
        """(D,) datapoint indices, the ones with the least score in all first, ties by index."""
        return np.argsort(self.total, kind="stable")

    @cached_property
    def coverage(self) -> float:
        """Mean over datapoints of the best member's score.

        For 0/1 scores it is the share of datapoints that somebody solves.
        """
        return float(self.scores.max(axis=0).mean())

    @cached_property
    def entropy(self) -> float:
        """How differently members score, in bits.

        It is the mean over datapoints of the binary entropy of the members' mean score.
        """
        p = self.scores.mean(axis=0)  # (D,)
        # A datapoint that nobody or everybody solves has no entropy, and its logarithm no value.
        p = p[(p > 0) & (p < 1)]
        bits = p * np.log2(p) + (1 - p) * np.log2(1 - p)
        return abs(float(bits.sum())) / self.scores.shape[1]

    @cached_property
    def _attractions(self) -> dict[int, np.ndarray]:
        """What `attraction` gave, by row."""
        return {}

    @cached_property
    def _bounds(self) -> dict[int, RejectionBound]:
        """What `bound` gave, by the tiling's number."""
        return {}


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
        scores = [member.scores for member in self.members]
        self._set(self.members, np.array(scores, dtype=np.float64))

    @property
    def scores(self) -> np.ndarray:
        """(N, D) float64 scores of the members, oldest first. Never changed in place."""
        return self.view.scores

    def admit(self, member: Member) -> tuple[Member | None, float]:
        """Lets a newcomer compete for its place.

        Args:
            member: the newcomer, younger than all members.

        Returns:
            Who left (None while there is room, perhaps the newcomer; of equally fit ones the
            oldest), and the newcomer's fitness among the N + 1.

        Raises:
            ValueError: if its scores are not as many as the members'.
        """
        # Nobody to compete with, and no number of datapoints to agree with.
        if not self.members:
            self._set((member,), _row(member))
            return None, float(self.view.fitness[0])
        expected = self.members[0].scores.shape
        if member.scores.shape != expected:
            raise ValueError(f"scores: expected shape {expected}, got {member.scores.shape}")
        fitness = self.view.compete(member.scores)  # (N + 1,)
        row = self._leaver(member, fitness)
        # The newcomer itself is the one that leaves: the archive stays as it is.
        if row == len(self.members):
            return member, float(fitness[-1])
        stay = list(self.members)
        scores = self.scores  # (N, D)
        leaver = None
        if row is not None:
            leaver = stay.pop(row)
            scores = np.delete(scores, row, axis=0)
        self._set((*stay, member), np.concatenate([scores, _row(member)]))
        return leaver, float(fitness[-1])

    def remarks(self, scores: np.ndarray) -> dict[str, Any]:  # noqa: ARG002
        """What the log keeps of a child with these (D,) scores, besides who came and who left."""
        return {}

    def _leaver(self, newcomer: Member, fitness: np.ndarray) -> int | None:  # noqa: ARG002
        """Which of N + 1 rows, the newcomer's last, has to leave: here the least fit.

        Args:
            newcomer: who wants to come in.
            fitness: (N + 1,) fitness of the members and, last, of the newcomer.

        Returns:
            None where there is room.
        """
        if len(self.members) < self.size:
            return None
        # The first of several least fit ones is the oldest.
        return int(fitness.argmin())

    def _set(self, members: tuple[Member, ...], scores: np.ndarray) -> None:
        """Has these members live from now on, with their (N, D) scores."""
        self.members = members
        full = len(members) >= self.size
        self.view = View(members, scores, self.competition, full)


def _row(member: Member) -> np.ndarray:
    """(1, D) a member's scores as a row of the archive's."""
    return member.scores.astype(np.float64)[None]
