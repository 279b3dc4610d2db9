"""M2N2, the algorithm: competition for datapoints, attraction of parents, split-point crossover.

One birth, in the words of the paper (Abrantes, Lange, Tang: Competition and Attraction Improve
Model Fusion, GECCO 2025):

1. The first parent is drawn by fitness under competition (equations 3 and 5).
2. The second parent is drawn by its attraction to the first (equation 4).
3. The child is merged from both, with a mixing ratio and split points of its own (equation 2).
4. From scratch, the child is mutated.
5. The child is inserted if it is fitter than the worst member, which leaves (`Archive.admit`).

`NaturalNiches.plan` is steps 1 to 4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from evomerge.archives.archive import Archive, View
from evomerge.archives.competition import Competition
from evomerge.contracts import Fitness, Population
from evomerge.genome.crossover import Crossover
from evomerge.genome.recipe import Noise
from evomerge.strategies.fitting import check_crossover, check_immigrants, linear_only
from evomerge.strategies.strategy import Birth, birth_rng
from fitness.competition import Capacity


@dataclass(frozen=True)
class NaturalNiches:
    """Competition, attraction and split-point crossover: M2N2.

    Three members compete for four datapoints. Two of them solve the first two, the third one alone
    solves the last:

        >>> import numpy as np
        >>> from evomerge import Crossover, Member, NaturalNiches
        >>> from evomerge.genome import Axis, Recipe
        >>> strategy = NaturalNiches(size=3, crossover=Crossover(angle="none"))
        >>> archive = strategy.archive(weights=None)
        >>> for id, row in zip([-2, -1, 0], [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1]]):
        ...     seed = Recipe.seed(id + 2, 3, size=10)
        ...     _ = archive.admit(Member(id, (), seed, np.array(row)))
        >>> archive.view.fitness
        array([1., 1., 1.])

    The third is as fit as the others, and it is the only one that attracts them:

        >>> archive.view.attraction(0)
        array([0., 0., 1.])

    A birth is planned from that, and its child is merged:

        >>> from types import SimpleNamespace
        >>> species = SimpleNamespace(axis=Axis.flat({"w": (10,)}))
        >>> birth = strategy.plan(1, archive.view, species, seed=0)
        >>> birth.parents
        (0, -2)
        >>> child = birth.child(species)
        >>> print(child.bounds, child.coefficients.round(2).tolist())
        [ 0  4 10] [[0.61, 0.0, 0.39], [0.39, 0.0, 0.61]]

    Say the child solves what both parents do. Every datapoint is shared with it, and the third
    member, who has nothing else, is the least fit of four and leaves:

        >>> leaver, fitness = archive.admit(Member(1, birth.parents, child, np.array([1, 1, 0, 1])))
        >>> print(leaver.id, round(fitness, 2))
        0 1.17

    Ablations are settings: `attraction=False`; `crossover.splits=0` for no split point;
    `crossover=None` for none at all; `alpha=0` and `attraction=False` for a plain genetic
    algorithm.

    Attributes:
        size: members of the archive, at least 2.
        alpha: strength of the competition, at least 0.
        capacity: what a datapoint can give: "max", its best score, or "one".
        relative: subtract each datapoint's worst score before competing (for scores such as image
            similarity).
        attraction: choose the second parent by attraction; otherwise by fitness.
        crossover: how parents are merged, None for children of one parent.
        mutation: standard deviation of the Gaussian noise added to a child's parameters (or a
            recipe's coefficients), 0 for none.
        noise: of a recipe's coefficients: "zero-sum", on every stretch a sum of zero over the
            seeds, so that what they share keeps its scale; or "free", each coefficient alone, so
            that a merge may be stronger or weaker than every mixture.
        warmup: births of random pairs at the start.
        immigrants: share of the births that are new random founders instead of children, in
            [0, 1): random immigrants (Grefenstette 1992), which bring back skills that all founders
            lacked or that were lost.
    """

    size: int = 20
    alpha: float = 1.0
    capacity: Capacity = "max"
    relative: bool = False
    attraction: bool = True
    crossover: Crossover | None = field(default_factory=Crossover)
    mutation: float = 0.0
    noise: Noise = "zero-sum"
    warmup: int = 0
    immigrants: float = 0.0

    def __post_init__(self) -> None:
        _check_settings(self)

    def fit(self, population: Population, fitness: Fitness | None = None) -> None:  # noqa: ARG002
        """As `Strategy.fit`; any fitness will do.

        Raises:
            ValueError: as `check_crossover`; or if there are to be immigrants and the population
                has none.
        """
        if self.crossover is not None:
            check_crossover(self.crossover, population)
        if self.immigrants:
            check_immigrants(population)

    def archive(
        self,
        weights: np.ndarray | None,
        fitness: Fitness | None = None,  # noqa: ARG002
    ) -> Archive:
        """As `Strategy.archive`: members compete as the settings say."""
        return Archive(self.size, Competition(self.alpha, self.capacity, self.relative, weights))

    def begin(
        self,
        population: Population,  # noqa: ARG002
        fitness: Fitness,  # noqa: ARG002
        founders: object,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> NaturalNiches:
        """As `Strategy.begin`.

        A plan depends on the archive, the birth's number and the run's seed alone, so there is
        nothing to begin.
        """
        return self

    def plan(self, number: int, view: View, population: Population, seed: int) -> Birth:
        """As `Planner.plan`.

        Raises:
            ValueError: if there are fewer than two members to be parents.
        """
        if len(view.members) < 2:
            raise ValueError(
                "a birth needs two members to choose parents from, "
                f"the archive has {len(view.members)}"
            )
        # The draws come in a fixed order, so that a birth is the same wherever it is planned.
        rng = birth_rng(seed, number)
        # Without immigrants no number is drawn for them, so a run without them stays as it was.
        if self.immigrants and rng.random() < self.immigrants:
            return Birth(number, (), mutation_seed=_draw_seed(rng))
        if number <= self.warmup:
            first, second = self._random_pair(view, rng)
        else:
            first = self._first_parent(view, rng)
            second = self._second_parent(view, first, rng)
        # Without crossover the second parent is drawn, too: the ablation changes nothing else.
        crossing = None
        parents = [view.members[first]]
        if self.crossover is not None:
            linear = linear_only(population)
            crossing = self.crossover.draw(population.axis, rng, linear=linear)
            parents.append(view.members[second])
        ids = tuple(parent.id for parent in parents)
        genomes = tuple(parent.genome for parent in parents)
        return Birth(
            number,
            ids,
            genomes,
            crossing=crossing,
            mutation=self.mutation,
            mutation_seed=_draw_seed(rng),
            noise=self.noise,
        )

    def _random_pair(self, view: View, rng: np.random.Generator) -> tuple[int, int]:
        """Two different rows, all alike: the births at the start (experiment 2 of the paper)."""
        first = _draw(rng, np.ones(len(view.members)))
        return first, _draw(rng, _others(view, first))

    def _first_parent(self, view: View, rng: np.random.Generator) -> int:
        """A row drawn by fitness (M2N2, equations 3 and 5).

        p(first = a)  =  fitness[a] / sum_i fitness[i]
        """
        # Where nobody scores anything, all are alike.
        return _draw(rng, view.fitness, np.ones(len(view.members)))

    def _second_parent(self, view: View, first: int, rng: np.random.Generator) -> int:
        """Another row, drawn by its attraction to the first (M2N2, equation 4).

        p(second = b | first = a)  =  attraction[a, b] / sum_i attraction[a, i]
        """
        others = _others(view, first)
        fitness = view.fitness * others
        if not self.attraction:
            return _draw(rng, fitness, others)
        # Where nobody attracts, the fittest are wanted. Where they score nothing, all are alike.
        attraction = view.attraction(first) * others
        return _draw(rng, attraction, fitness, others)


def _others(view: View, row: int) -> np.ndarray:
    """(N,) whether each member is another than the one in a row: nobody mates with itself."""
    return np.arange(len(view.members)) != row


def _draw(rng: np.random.Generator, *chances: np.ndarray) -> int:
    """A row drawn in proportion to the first of the chances that are not all zero.

    Args:
        rng: the random state; one number is drawn from it.
        *chances: (N,) each; the last are not all zero.
    """
    for weights in chances:
        edges = weights.cumsum(dtype=np.float64)  # (N,)
        if edges[-1] > 0:
            break
    row = int(edges.searchsorted(rng.random() * edges[-1], side="right"))
    # Rounding may carry the product to the last edge, behind which there is no row.
    if row == len(edges):
        row = int(np.flatnonzero(weights)[-1])
    return row


def _draw_seed(rng: np.random.Generator) -> int:
    """A seed that torch takes too: a whole number below 2**63."""
    return int(rng.bit_generator.random_raw()) >> 1


def _check_settings(settings: NaturalNiches) -> None:
    """Checks the settings of M2N2.

    Raises:
        ValueError: if one is out of its range, or if every child would be a copy.
    """
    size = settings.size
    if not isinstance(size, int | np.integer) or size < 2:
        raise ValueError(f"size: expected an archive of at least 2, got {size}")
    # NaN and infinity pass a comparison or fail one in odd ways, and YAML can hold both.
    for name, value in (("alpha", settings.alpha), ("mutation", settings.mutation)):
        if not (np.isfinite(value) and value >= 0):
            raise ValueError(f"{name}: expected a finite number of at least 0, got {value}")
    if settings.capacity not in get_args(Capacity):
        raise ValueError(
            f"capacity: expected one of {get_args(Capacity)}, got {settings.capacity!r}"
        )
    if settings.noise not in get_args(Noise):
        raise ValueError(f"noise: expected one of {get_args(Noise)}, got {settings.noise!r}")
    if settings.warmup < 0:
        raise ValueError(
            f"warmup: expected a number of births of at least 0, got {settings.warmup}"
        )
    # Written this way round, the comparison is false for NaN.
    if not 0 <= settings.immigrants < 1:
        raise ValueError(
            f"immigrants: expected a share of the births in [0, 1), got {settings.immigrants}"
        )
    # A copy of a member would be scored again, to compete with it for the same datapoints.
    if settings.crossover is None and not settings.mutation:
        raise ValueError(
            "crossover: without crossover and without mutation every child is a copy; "
            "set one of them"
        )
