"""EvoTorch on our ground: a `Problem` over any population and fitness, our crossover as an operator, and M2N2 as a search algorithm.

    problem = MergeProblem(population, fitness, vector=Ratios(by="layer"))
    searcher = CMAES(problem, stdev_init=0.2)
    StdOutLogger(searcher)
    searcher.run(20)
    population.save(problem.genome(searcher.status["best"].values), Path("merged"))

`evomerge.Search` runs such searches as strategies of `evolve`, with a run directory, a resume, and workers anywhere.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from evotorch import SolutionBatch, algorithms
from evotorch.algorithms.searchalgorithm import SearchAlgorithm, SinglePopulationAlgorithmMixin
from evotorch.operators import CrossOver

from evomerge.archives.archive import Member
from evomerge.archives.elites import Features
from evomerge.archives.tiling import Tiling
from evomerge.contracts import Fitness, Genome, Population, Weighted
from evomerge.genome.crossover import Crossover
from evomerge.strategies.coding import AllWeights, Vector
from evomerge.strategies.natural_niches import NaturalNiches
from evomerge.strategies.problem import CodedProblem, as_numpy, as_values, drawn_rng
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
            data: evaluation data of a solution: the features by which `MAPElites` tells cells apart; or the score at each datapoint,
                which `M2N2` needs; or nothing more than the mean.
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
        extra = size if data == "scores" else len(data.names) if isinstance(data, Features) else 0
        super().__init__(vector.coding(population, self.founders), extra, seed)
        self.population, self.fitness, self.data, self.seed = population, fitness, data, seed
        self.weights = (
            np.asarray(fitness.weights("train")) if isinstance(fitness, Weighted) else None
        )
        self._tiles = Tiling.cut(0, np.arange(size), tile).tiles

    def close(self) -> None:
        """Lets go of the workers."""
        self.workers.stop()

    def _evaluate_batch(self, batch: SolutionBatch) -> None:
        genomes = [self.genome(values) for values in batch.values]
        sound = [genome.finite() for genome in genomes]
        rows = np.zeros((len(genomes), sum(map(len, self._tiles))))
        rows[sound] = (
            list(self.workers.score(list(itertools.compress(genomes, sound)), self._tiles, "train"))
            or rows[:0]
        )
        means = np.average(rows, axis=1, weights=self.weights)[:, None]
        extra = (
            rows
            if self.data == "scores"
            else self.data.mean_scores(rows)
            if isinstance(self.data, Features)
            else rows[:, :0]
        )
        batch.set_evals(torch.from_numpy(np.concatenate([means, extra], axis=1)))


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
            crossover: how; `Crossover()` if None. Coefficients are crossed linearly, with splits between groups.
            tournament_size: of how many a parent is the best; 1 draws parents uniformly.
            **settings: as for EvoTorch's `CrossOver`.
        """
        super().__init__(problem, tournament_size=tournament_size, **settings)
        self.crossover = Crossover() if crossover is None else crossover

    def _do_cross_over(self, parents1: torch.Tensor, parents2: torch.Tensor) -> SolutionBatch:
        coding, rng = self.problem.coding, drawn_rng(self.problem)
        pairs = [*zip(parents1, parents2, strict=True), *zip(parents2, parents1, strict=True)]
        children = [coding.cross(as_numpy(a), as_numpy(b), self.crossover, rng) for a, b in pairs]
        return self._make_children_batch(as_values(children))


class MAPElites(algorithms.MAPElites):
    """EvoTorch's MAP-Elites, with two differences.

    Parents are drawn from the cells that are filled, as Mouret and Clune have it. In EvoTorch's own each empty cell holds a copy of the same
    solution, which is a parent as often as any other: with 12 of 100 cells filled, half the children are mutants of that one. And
    a step does not copy every solution for every cell: with 100 cells and networks of 19,210 weights that takes over a second.
    """

    def _step(self) -> None:
        self._fill_holes()
        extended = self._make_extended_population(split=False)
        values, evals = (
            rows.as_subclass(torch.Tensor) for rows in (extended.values, extended.evals)
        )
        low, high = self._feature_grid.unbind(dim=-1)
        suitable = ((evals[:, 1:] >= low[:, None]) & (evals[:, 1:] <= high[:, None])).all(dim=-1)
        chosen = torch.where(
            suitable, evals[:, 0] * (1.0 if self._sense == "max" else -1.0), -torch.inf
        ).argmax(dim=1)
        self._population.access_values(keep_evals=True)[:] = values[chosen]
        self._population.access_evals()[:] = evals[chosen]
        self._filled[:] = suitable.any(dim=1)

    def _fill_holes(self) -> None:
        """Has parents that were drawn from the filled cells stand in for those of the empty ones."""
        filled, empty = self._filled.nonzero()[:, 0], (~self._filled).nonzero()[:, 0]
        if not len(filled):  # nothing is scored yet
            return
        drawn = filled[torch.randint(len(filled), (len(empty),), generator=self._problem.generator)]
        for rows in (
            self._population.access_values(keep_evals=True),
            self._population.access_evals(),
        ):
            rows[empty] = rows[drawn].as_subclass(torch.Tensor)


class M2N2(SearchAlgorithm, SinglePopulationAlgorithmMixin):
    """Competition, attraction and split-point crossover as a search algorithm of EvoTorch. A step is so many births.

    With `births=1` it is, birth for birth, what `evolve` does with a lookahead of one.
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
            ValueError: if the problem gives no scores, or the strategy does not suit its population.
        """
        if problem.data != "scores":
            raise ValueError(
                f'problem: members compete for datapoints, so it has to be made with data="scores", got {problem.data!r}'
            )
        if births < 1:
            raise ValueError(f"births: expected a number of at least 1, got {births}")
        SearchAlgorithm.__init__(self, problem, coverage=self._coverage, entropy=self._entropy)
        self.strategy, self.births = NaturalNiches() if strategy is None else strategy, births
        self.strategy.fit(problem.population, problem.fitness)
        self.archive = self.strategy.archive(problem.weights)
        self._born = 0
        self._admit(
            [
                (1 - len(problem.founders) + row, (), genome)
                for row, genome in enumerate(problem.founders)
            ]
        )
        SinglePopulationAlgorithmMixin.__init__(self)

    @property
    def population(self) -> SolutionBatch:
        """The members alive, evaluated."""
        members = self.archive.members
        batch = SolutionBatch(self.problem, len(members), empty=True)
        batch.set_values(
            as_values(self.problem.coding.vectors([member.genome for member in members]))
        )
        rows = np.array(
            [[self.archive.competition.mean(member.scores), *member.scores] for member in members],
            dtype=np.float64,
        )
        batch.set_evals(torch.from_numpy(rows))
        return batch

    def _step(self) -> None:
        view, problem = self.archive.view, self.problem
        planned = []
        for _ in range(self.births):
            self._born += 1
            birth = self.strategy.plan(self._born, view, problem.population, problem.seed)
            planned.append((birth.number, birth.parents, birth.child(problem.population)))
        self._admit(planned)

    def _admit(self, born: Sequence[tuple[int, tuple[int, ...], Genome]]) -> None:
        """Scores genomes with their ids and parents, and lets them compete."""
        batch = SolutionBatch(self.problem, len(born), empty=True)
        batch.set_values(as_values(self.problem.coding.vectors([genome for *_, genome in born])))
        self.problem.evaluate(batch)
        scores = as_numpy(batch.evals)[:, 1:].astype(np.float32)
        for (number, parents, genome), row in zip(born, scores, strict=True):
            self.archive.admit(Member(number, parents, genome, row))

    def _coverage(self) -> float:
        return self.archive.view.coverage

    def _entropy(self) -> float:
        return self.archive.view.entropy
