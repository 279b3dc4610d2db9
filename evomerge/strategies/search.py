"""Any search of EvoTorch as the strategy of a run, over weights or coefficients.

It may be CMA-ES, SNES, a genetic algorithm or MAP-Elites. Here are the settings and their checks.
`evomerge.strategies.searching` has the search under way.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive
from evomerge.archives.competition import Competition
from evomerge.archives.elites import Elites, Features, Newest
from evomerge.config.targets import nearest
from evomerge.contracts import Fitness, Genome, Population
from evomerge.strategies.searching import Ask, Searching
from evomerge.strategies.vector import AllWeights, Vector

CELLS = 10_000
"""Most cells of a grid, each of which is one birth of a generation."""

OURS = ("problem", "operators", "feature_grid")
"""Arguments of an algorithm that are not among its settings, since `Search` gives them."""


@dataclass(frozen=True)
class Operator:
    """An operator of EvoTorch, or `evomerge.evotorch.Merge`.

    Attributes:
        kind: its class.
        settings: its arguments but the problem.
    """

    kind: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check_call(self.kind, self.settings, ("problem",))


@dataclass(frozen=True)
class Search:
    """A search algorithm of EvoTorch.

    The founders are in the archive at first. A genetic algorithm and MAP-Elites have them among
    their first births, too, which are as many as it has members or cells. The archive follows from
    the algorithm: the last generation of one that moves a distribution, the best of a genetic
    algorithm, the best of each cell of MAP-Elites. A birth that fails counts as one that scores
    nothing.

    Attributes:
        algorithm: its class, such as evotorch.algorithms.CMAES.
        settings: its arguments but the problem, the operators and the grid.
        operators: what makes children, for algorithms that have operators.
        vector: what the numbers of a solution stand for.
        features: for MAP-Elites, what each feature is the mean score over: names of the fitness's
            groups of datapoints, by the feature's name; None: each group is a feature.
        bins: steps of each feature.
    """

    algorithm: Callable[..., Any]
    settings: Mapping[str, Any] = field(default_factory=dict)
    operators: Sequence[Operator] = ()
    vector: Vector = field(default_factory=AllWeights)
    features: Mapping[str, Sequence[str]] | None = None
    bins: int = 10

    def __post_init__(self) -> None:
        if self.bins < 1:
            raise ValueError(f"bins: expected a number of at least 1, got {self.bins}")
        if not isinstance(self.algorithm, type) or not hasattr(self.algorithm, "step"):
            raise ValueError(
                f"algorithm: expected a search algorithm of EvoTorch, got {self.algorithm!r}"
            )
        # What is wrong is said here, before a model is loaded.
        name = self.algorithm.__name__
        parameters = inspect.signature(self.algorithm).parameters
        _check_operators(name, "operators" in parameters, len(self.operators))
        if self.features is not None and not self._has_cells:
            raise ValueError(f"features: only MAPElites has some, got {name}")
        _check_call(self.algorithm, self.settings, [key for key in OURS if key in parameters])
        if not self._has_cells:
            _check_popsize(name, self.settings.get("popsize"))
        # EvoTorch would score its elites anew in every generation, as births like any other.
        if "re_evaluate" in parameters and self.settings.get("re_evaluate", True):
            raise ValueError(
                "settings.re_evaluate: expected false, since a score is the same each time"
            )

    @property
    def _has_cells(self) -> bool:
        """Whether the algorithm keeps the best of each cell of a grid."""
        return "feature_grid" in inspect.signature(self.algorithm).parameters

    def fit(self, population: Population, fitness: Fitness) -> None:  # noqa: ARG002
        """As `Strategy.fit`. What a vector stands for is checked when there are founders.

        Raises:
            ValueError: as `Features.from_groups`; or if there are too many cells.
        """
        features = self._features(fitness)
        if features is None:
            return
        # Each cell is a birth of a generation, so a fine grid would not see its second one.
        cells = self.bins ** len(features.names)
        if cells > CELLS:
            some = ", ".join(features.names[:4])
            if len(features.names) > 4:
                some += ", ..."
            raise ValueError(
                f"features: {len(features.names)} features ({some}) of {self.bins} bins "
                f"make {cells:,} cells, expected at most {CELLS:,}"
            )

    def archive(self, weights: np.ndarray | None, fitness: Fitness) -> Archive:
        """As `Strategy.archive`."""
        # Members do not compete for datapoints, they are compared by their mean scores.
        plain = Competition(alpha=0.0, capacity="one", weights=weights)
        features = self._features(fitness)
        if features is not None:
            return Elites(max(self.bins ** len(features.names), 2), plain, features=features)
        size = int(self.settings["popsize"])
        # What moves a distribution has no operators, and keeps no member for its fitness.
        if self.operators and self.settings.get("elitist", True):
            return Archive(size, plain)
        return Newest(size, plain)

    def begin(
        self,
        population: Population,
        fitness: Fitness,
        founders: Callable[[], Sequence[Genome]],
        seed: int,
    ) -> Searching:
        """As `Strategy.begin`."""
        import torch

        from evomerge.strategies.problem import run_search

        coding = self.vector.coding(population, founders())
        features = self._features(fitness)
        data = 0 if features is None else len(features.names)
        # This thread's setting, which the search's own thread has to be given.
        threads = torch.get_num_threads()

        def search(ask: Ask) -> None:
            make = partial(self._searcher, features)
            run_search(make, coding, data, seed, ask, threads)

        return Searching(self.algorithm.__name__, coding, 1 + data, search)

    def _searcher(self, features: Features | None, problem: Any) -> Any:
        """The algorithm on a problem of EvoTorch."""
        import torch

        settings = dict(self.settings)
        # Operators are made on the problem, so a config has only their classes and settings.
        if self.operators:
            operators = []
            for operator in self.operators:
                operators.append(operator.kind(problem, **operator.settings))
            settings["operators"] = operators
        if features is not None:
            settings["feature_grid"] = torch.from_numpy(features.grid())
        return self.algorithm(problem, **settings)

    def _features(self, fitness: Fitness) -> Features | None:
        """What tells the cells apart, for an algorithm that has cells."""
        if not self._has_cells:
            return None
        return Features.from_groups(fitness, self.features, self.bins)


def _check_operators(name: str, wanted: bool, count: int) -> None:
    """Checks that an algorithm has operators if it wants some, and none if it does not.

    Raises:
        ValueError: if not.
    """
    if wanted and not count:
        raise ValueError(f"operators: {name} needs at least one, got {count}")
    if count and not wanted:
        raise ValueError(f"operators: {name} has none, got {count}")


def _check_popsize(name: str, size: Any) -> None:
    """Checks how many births make a generation.

    Raises:
        ValueError: if that is no number of at least 2.
    """
    # YAML's `true` is an int in Python, and no size.
    if not isinstance(size, int) or isinstance(size, bool) or size < 2:
        raise ValueError(
            "settings.popsize: expected a whole number of at least 2, "
            f"the births of a generation of {name}, got {size!r}"
        )


def _check_call(
    kind: Callable[..., Any], settings: Mapping[str, Any], given: Sequence[str]
) -> None:
    """Checks the arguments of a call before it is made.

    Args:
        kind: what is called.
        settings: the arguments.
        given: names of arguments that it is given anyway.

    Raises:
        ValueError: if one is unknown, is given anyway, or is missing.
    """
    parameters = inspect.signature(kind).parameters
    known = [key for key in parameters if key not in given]
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    # Where a call takes any keyword, none is unknown.
    for key in settings:
        if key in given or (key not in known and not takes_any):
            raise ValueError(
                f"settings.{key}: unknown setting of {kind.__name__}{nearest(key, known)}"
            )
    for key in known:
        if _required(parameters[key]) and key not in settings:
            raise ValueError(f"settings.{key}: missing setting of {kind.__name__}")


def _required(parameter: inspect.Parameter) -> bool:
    """Whether a call has to name an argument."""
    named = (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind in named
