"""EvoTorch on our ground: its searches on our models, our crossover and M2N2 among its own.

`MergeProblem` is a `Problem` over any population and fitness, `Merge` our crossover as an operator,
and `M2N2` the algorithm as one of EvoTorch's.

    problem = MergeProblem(population, fitness, vector=Ratios(by="layer"))
    searcher = CMAES(problem, stdev_init=0.2)
    StdOutLogger(searcher)
    searcher.run(20)
    population.save(problem.genome(searcher.status["best"].values), Path("merged"))

`evomerge.Search` runs such searches as strategies of `evolve`, with a run directory, a resume, and
workers anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from evotorch import SolutionBatch, algorithms
from evotorch.algorithms.searchalgorithm import SearchAlgorithm, SinglePopulationAlgorithmMixin
from evotorch.operators import CrossOver

from evomerge.archives.archive import Member
from evomerge.archives.elites import Features
from evomerge.archives.tiling import Tiling
from evomerge.contracts import Fitness, Genome, Population, Weighted, can
from evomerge.datapoints import batched_groups
from evomerge.genome.crossover import Crossover
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.problem import CodedProblem, as_numpy, as_values, drawn_rng
from evomerge.strategies.vector import AllWeights, Vector
from evomerge.workers.job import Workers
from evomerge.workers.local import Local


class MergeProblem(CodedProblem):
    """The problem of finding a member with a high mean score on a fitness's training split.

    A solution whose numbers are not all finite scores nothing.
    """

    def __init__(
        self,
        population: Population,
        fitness: Fitness,
        *,
        vector: Vector = AllWeights(),  # noqa: B008  a frozen value
        data: Features | Literal["scores"] | None = None,
        workers: Workers | None = None,
        tile: int = 128,
        seed: int = 0,
    ) -> None:
        """Loads the founders.

        Args:
            population: the species.
            fitness: what a member is worth.
            vector: what a solution stands for: `AllWeights`, `Ratios`, `Coefficients` or `Genomes`.
            data: evaluation data of a solution: the features by which `MAPElites` tells cells
                apart; or the score at each datapoint, which `M2N2` needs; or nothing more than the
                mean.
            workers: who scores; this process if None. They are let go by `close`.
            tile: datapoints that are scored in one call.
            seed: of the founders, and of the search's randomness.

        Raises:
            ValueError: as `Vector.coding`.
        """
        if data is not None and data != "scores" and not isinstance(data, Features):
            raise ValueError(f'data: expected features, "scores" or nothing, got {data!r}')
        if tile < 1:
            raise ValueError(f"tile: expected a number of at least 1, got {tile}")
        self.workers = Local() if workers is None else workers
        self.workers.start(population, fitness, 1)
        self.founders = self.workers.founders(seed)
        size = fitness.size("train")
        evaluation_data = 0
        if data == "scores":
            evaluation_data = size
        elif isinstance(data, Features):
            evaluation_data = len(data.names)
        super().__init__(vector.coding(population, self.founders), evaluation_data, seed)
        self.population = population
        self.fitness = fitness
        self.data = data
        self.seed = seed
        self.weights: np.ndarray | None = None
        if can(fitness, Weighted):
            self.weights = np.asarray(fitness.weights("train"))
        self._size = size
        groups = batched_groups(fitness, "train", size)
        self._tiles = Tiling.cut(0, np.arange(size), tile, groups).tiles

    def close(self) -> None:
        """Lets go of the workers."""
        self.workers.stop()

    def _evaluate_batch(self, batch: SolutionBatch) -> None:
        genomes = [self.genome(values) for values in batch.values]
        # A solution with numbers that are not finite cannot be scored, and keeps its zeros.
        finite = [row for row, genome in enumerate(genomes) if genome.finite()]
        rows = np.zeros((len(genomes), self._size))  # (n, D)
        scores = self.workers.score([genomes[row] for row in finite], self._tiles, "train")
        for row, row_scores in zip(finite, scores, strict=True):
            rows[row] = row_scores
        means = np.average(rows, axis=1, weights=self.weights)[:, None]  # (n, 1)
        data = rows[:, :0]
        if self.data == "scores":
            data = rows
        elif isinstance(self.data, Features):
            data = self.data.mean_scores(rows)
        batch.set_evals(torch.from_numpy(np.concatenate([means, data], axis=1)))


class Merge(CrossOver):
    """Split-point crossover as an operator of EvoTorch: each pair of parents has two children."""

    def __init__(
        self,
        problem: CodedProblem,
        *,
        crossover: Crossover | None = None,
        tournament_size: int = 1,
        **settings: Any,
    ) -> None:
        """Takes its settings.

        Args:
            problem: whose vectors are crossed.
            crossover: how; `Crossover()` if None. Coefficients are crossed linearly, with splits
                between groups.
            tournament_size: of how many a parent is the best; 1 draws parents uniformly.
            **settings: as for EvoTorch's `CrossOver`.
        """
        super().__init__(problem, tournament_size=tournament_size, **settings)
        self.crossover = Crossover() if crossover is None else crossover

    def _do_cross_over(self, parents1: torch.Tensor, parents2: torch.Tensor) -> SolutionBatch:
        coding = self.problem.coding
        rng = drawn_rng(self.problem)
        # Each pair has one child with either parent as the first.
        pairs = [*zip(parents1, parents2, strict=True), *zip(parents2, parents1, strict=True)]
        children = []
        for first, second in pairs:
            child = coding.cross(as_numpy(first), as_numpy(second), self.crossover, rng)
            children.append(child)
        return self._make_children_batch(as_values(children))


class MAPElites(algorithms.MAPElites):
    """EvoTorch's MAP-Elites, with two differences.

    Parents are drawn from the cells that are filled, as Mouret and Clune have it. In EvoTorch's own
    each empty cell holds a copy of the same solution, which is a parent as often as any other: with
    12 of 100 cells filled, half the children are mutants of that one. And a step does not copy
    every solution for every cell: with 100 cells and networks of 19,210 weights that takes over a
    second.
    """

    def _step(self) -> None:
        self._fill_holes()
        extended = self._make_extended_population(split=False)
        values = extended.values.as_subclass(torch.Tensor)  # (n, size)
        evals = extended.evals.as_subclass(torch.Tensor)  # (n, 1 + F)
        fitness = evals[:, 0]
        features = evals[:, 1:]
        low, high = self._feature_grid.unbind(dim=-1)  # (cells, F) each
        # (cells, n) whether a solution lies in a cell.
        suitable = ((features >= low[:, None]) & (features <= high[:, None])).all(dim=-1)
        if self._sense != "max":
            fitness = -fitness
        best = torch.where(suitable, fitness, -torch.inf).argmax(dim=1)  # (cells,)
        self._population.access_values(keep_evals=True)[:] = values[best]
        self._population.access_evals()[:] = evals[best]
        self._filled[:] = suitable.any(dim=1)

    def _fill_holes(self) -> None:
        """Has parents drawn from the filled cells stand in for those of the empty ones."""
        filled = self._filled.nonzero()[:, 0]
        empty = (~self._filled).nonzero()[:, 0]
        # Before the first step nothing is scored yet.
        if not len(filled):
            return
        places = torch.randint(len(filled), (len(empty),), generator=self._problem.generator)
        parents = filled[places]
        values = self._population.access_values(keep_evals=True)
        evals = self._population.access_evals()
        values[empty] = values[parents].as_subclass(torch.Tensor)
        evals[empty] = evals[parents].as_subclass(torch.Tensor)


class Newborn(NamedTuple):
    """A genome that is not scored yet, with its id and its parents' ids."""

    id: int
    parents: tuple[int, ...]
    genome: Genome


class M2N2(SearchAlgorithm, SinglePopulationAlgorithmMixin):
    """Competition, attraction and split-point crossover as a search algorithm of EvoTorch.

    A step is so many births. With `births=1` it is, birth for birth, what `evolve` does with a
    lookahead of one.
    """

    def __init__(
        self, problem: MergeProblem, strategy: NaturalNiches | None = None, *, births: int = 1
    ) -> None:
        """Scores the founders.

        Args:
            problem: made with `data="scores"`, over `Genomes` or `AllWeights`.
            strategy: the settings of M2N2; `NaturalNiches()` if None.
            births: of a step, planned from the same archive.

        Raises:
            ValueError: if the problem gives no scores, or the strategy does not suit its
                population.
        """
        if problem.data != "scores":
            raise ValueError(
                "problem: members compete for datapoints, "
                f'so it has to be made with data="scores", got {problem.data!r}'
            )
        if births < 1:
            raise ValueError(f"births: expected a number of at least 1, got {births}")
        SearchAlgorithm.__init__(self, problem, coverage=self._coverage, entropy=self._entropy)
        self.strategy = NaturalNiches() if strategy is None else strategy
        self.births = births
        self.strategy.fit(problem.population, problem.fitness)
        self.archive = self.strategy.archive(problem.weights)
        self._born = 0
        # Founders are born before birth 1: the last of them has the id 0.
        founders = []
        for id, genome in enumerate(problem.founders, start=1 - len(problem.founders)):
            founders.append(Newborn(id, (), genome))
        self._admit(founders)
        # The mixin asks for the population, so there has to be one by now.
        SinglePopulationAlgorithmMixin.__init__(self)

    @property
    def population(self) -> SolutionBatch:
        """The members alive, evaluated."""
        members = self.archive.members
        batch = self._batch([member.genome for member in members])
        rows = []
        for member in members:
            rows.append([self.archive.competition.mean(member.scores), *member.scores])
        batch.set_evals(torch.from_numpy(np.array(rows, dtype=np.float64)))  # (N, 1 + D)
        return batch

    def _step(self) -> None:
        view = self.archive.view
        species = self.problem.population
        newborns = []
        for _ in range(self.births):
            self._born += 1
            birth = self.strategy.plan(self._born, view, species, self.problem.seed)
            newborns.append(Newborn(birth.number, birth.parents, birth.child(species)))
        self._admit(newborns)

    def _admit(self, newborns: Sequence[Newborn]) -> None:
        """Scores genomes, and lets them compete."""
        batch = self._batch([newborn.genome for newborn in newborns])
        self.problem.evaluate(batch)
        scores = as_numpy(batch.evals)[:, 1:].astype(np.float32)  # (n, D)
        for newborn, row in zip(newborns, scores, strict=True):
            self.archive.admit(Member(newborn.id, newborn.parents, newborn.genome, row))

    def _batch(self, genomes: Sequence[Genome]) -> SolutionBatch:
        """Genomes as solutions that are not evaluated yet."""
        batch = SolutionBatch(self.problem, len(genomes), empty=True)
        batch.set_values(as_values(self.problem.coding.vectors(genomes)))
        return batch

    def _coverage(self) -> float:
        return self.archive.view.coverage

    def _entropy(self) -> float:
        return self.archive.view.entropy
