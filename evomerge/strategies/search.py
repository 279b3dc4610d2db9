"""Any search of EvoTorch as the strategy of a run: CMA-ES, SNES, genetic algorithms, MAP-Elites, over weights or coefficients.

A search asks for the scores of a whole generation and goes on when it has them. It runs in a thread that waits there, while the loop
of `evolve` has the generation's births raised. What it was told is in the log, so a resume tells it all of that again.
"""

from __future__ import annotations

import inspect
import logging
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Any

import numpy as np

from evomerge.archives.archive import Archive, View
from evomerge.archives.competition import Competition
from evomerge.archives.elites import Elites, Features, Newest
from evomerge.config.targets import nearest
from evomerge.contracts import Fitness, Genome, Population
from evomerge.errors import UserError, reason
from evomerge.strategies.coding import AllWeights, Coding, Vector
from evomerge.strategies.strategy import Birth

CELLS = 10_000
"""Most cells of a grid, each of which is one birth of a generation."""


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
        _check_call("settings", self.kind, self.settings, ("problem",))


@dataclass(frozen=True)
class Search:
    """A search algorithm of EvoTorch.

    The founders are in the archive at first. A genetic algorithm and MAP-Elites have them among their first births, too, which are as many
    as it has members or cells. The archive follows from the algorithm: the last generation of one that moves a distribution, the best of a
    genetic algorithm, the best of each cell of MAP-Elites. A birth that fails counts as one that scores nothing.

    Attributes:
        algorithm: its class, such as evotorch.algorithms.CMAES.
        settings: its arguments but the problem, the operators and the grid.
        operators: what makes children, for algorithms that have operators.
        vector: what the numbers of a solution stand for.
        features: for MAP-Elites, what each feature is the mean score over: names of the fitness's groups of datapoints, by the feature's name;
            None: each group is a feature.
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
        wants = inspect.signature(self.algorithm).parameters
        if ("operators" in wants) != bool(self.operators):
            needs = "needs at least one" if "operators" in wants else "has none"
            raise ValueError(
                f"operators: {self.algorithm.__name__} {needs}, got {len(self.operators)}"
            )
        if self.features is not None and not self._elites:
            raise ValueError(f"features: only MAPElites has some, got {self.algorithm.__name__}")
        ours = [name for name in ("problem", "operators", "feature_grid") if name in wants]
        _check_call("settings", self.algorithm, self.settings, ours)
        if not self._elites:
            size = self.settings.get("popsize")
            if not isinstance(size, int) or isinstance(size, bool) or size < 2:
                asked = f"the births of a generation of {self.algorithm.__name__}"
                raise ValueError(
                    f"settings.popsize: expected a whole number of at least 2, {asked}, got {size!r}"
                )
        if "re_evaluate" in wants and self.settings.get("re_evaluate", True):
            raise ValueError(
                "settings.re_evaluate: expected false, since a score is the same each time"
            )

    @property
    def _elites(self) -> bool:
        return "feature_grid" in inspect.signature(self.algorithm).parameters

    def fit(self, population: Population, fitness: Fitness) -> None:  # noqa: ARG002
        """As `Strategy.fit`. What a vector stands for is checked when there are founders.

        Raises:
            ValueError: as `Features.from_groups`.
        """
        features = self._features(fitness)
        if features is not None and (cells := self.bins ** len(features.names)) > CELLS:
            named = f"{len(features.names)} features ({', '.join(features.names[:4])}{', ...' * (len(features.names) > 4)})"
            raise ValueError(
                f"features: {named} of {self.bins} bins make {cells:,} cells, expected at most {CELLS:,}"
            )

    def archive(self, weights: np.ndarray | None, fitness: Fitness) -> Archive:
        """As `Strategy.archive`."""
        plain = Competition(alpha=0.0, capacity="one", weights=weights)
        features = self._features(fitness)
        if features is not None:
            return Elites(max(self.bins ** len(features.names), 2), plain, features=features)
        elitist = self.operators and self.settings.get("elitist", True)
        return (Archive if elitist else Newest)(max(int(self.settings["popsize"]), 2), plain)

    def begin(
        self,
        population: Population,
        fitness: Fitness,
        founders: Callable[[], Sequence[Genome]],
        seed: int,
    ) -> Searching:
        """As `Strategy.begin`."""
        return Searching(
            self, self.vector.coding(population, founders()), self._features(fitness), seed
        )

    def _features(self, fitness: Fitness) -> Features | None:
        """What tells the cells apart, for an algorithm that has cells."""
        return Features.from_groups(fitness, self.features, self.bins) if self._elites else None


class Searching:
    """A search under way: births in the order in which it asks for them."""

    def __init__(
        self, search: Search, coding: Coding, features: Features | None, seed: int
    ) -> None:
        """Starts it; it runs as far as the first generation that it wants scored."""
        import torch

        from evomerge.strategies.problem import CodedProblem, as_numpy

        dialogue = self._dialogue = Dialogue()
        extra = len(features.names) if features is not None else 0

        class Asking(CodedProblem):
            """Its evaluations come from whoever answers."""

            def _evaluate_batch(self, batch: Any) -> None:
                batch.set_evals(torch.from_numpy(dialogue.ask(as_numpy(batch.values))))

        def run() -> None:
            torch.set_num_threads(threads)  # which another thread does not inherit
            logging.getLogger("evotorch").setLevel(
                logging.WARNING
            )  # it tells of every problem that is made
            warnings.filterwarnings("ignore", module="evotorch")
            problem, settings = Asking(coding, extra, seed), dict(search.settings)
            if search.operators:
                settings["operators"] = [
                    operator.kind(problem, **operator.settings) for operator in search.operators
                ]
            if features is not None:
                settings["feature_grid"] = torch.from_numpy(features.grid())
            searcher = search.algorithm(problem, **settings)
            while not searcher.is_terminated:
                searcher.step()

        threads = torch.get_num_threads()
        self._name, self._coding, self._width = search.algorithm.__name__, coding, 1 + extra
        self._first, self._told = 1, []  # type: tuple[int, list[list[float]]]
        dialogue.start(run)
        self._generation = self._hear()

    def plan(self, number: int, view: View, population: Population, seed: int) -> Birth | None:  # noqa: ARG002
        """As `Planner.plan`.

        Raises:
            UserError: if the search fails, or ends by itself.
        """
        self._go_on()
        if number >= self._first + len(self._generation):
            return None
        genome = self._coding.genome(self._generation[number - self._first])
        return Birth(number, tuple(range(1 - self._coding.parents, 1)), made=genome)

    def tell(self, entry: Mapping[str, Any]) -> None:
        """As `Planner.tell`."""
        self._go_on()
        told = [entry.get("train", 0.0), *entry.get("features", {}).values()]
        self._told.append(told + [0.0] * (self._width - len(told)))

    def stop(self) -> None:
        """Ends it."""
        self._dialogue.stop()

    def _go_on(self) -> None:
        """Has it make the next generation, once it was told all of this one."""
        if len(self._told) == len(self._generation):
            self._first += len(self._told)
            self._dialogue.answer(np.array(self._told))
            self._told = []
            self._generation = self._hear()

    def _hear(self) -> np.ndarray:
        """The next generation."""
        try:
            return self._dialogue.question()
        except Exception as error:
            raise UserError(f"strategy: {self._name}: {reason(error)}") from error


class Dialogue:
    """A thread that asks, and waits for each answer."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._questions: SimpleQueue[np.ndarray | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[np.ndarray | None] = SimpleQueue()

    def start(self, run: Callable[[], None]) -> None:
        """Starts the thread, in which `run` may call `ask`."""

        def guarded() -> None:
            try:
                run()
                self._questions.put(RuntimeError("it has ended by itself"))
            except BaseException as error:
                self._questions.put(error)

        self._thread = threading.Thread(target=guarded, daemon=True, name="search")
        self._thread.start()

    def ask(self, question: np.ndarray) -> np.ndarray:
        """Asks, in the thread; gives the answer.

        Raises:
            SystemExit: if there will be none.
        """
        self._questions.put(question)
        answer = self._answers.get()
        if answer is None:
            raise SystemExit
        return answer

    def question(self) -> np.ndarray:
        """Waits for what the thread asks next.

        Raises:
            Exception: what the thread ended by.
        """
        question = self._questions.get()
        if isinstance(question, BaseException):
            raise question
        return question

    def answer(self, answer: np.ndarray) -> None:
        """Answers."""
        self._answers.put(answer)

    def stop(self) -> None:
        """Ends the thread."""
        self._answers.put(None)
        self._thread.join()


def _check_call(
    name: str, kind: Callable[..., Any], settings: Mapping[str, Any], given: Sequence[str]
) -> None:
    """Checks the arguments of a call before it is made.

    Raises:
        ValueError: if one is unknown, is given anyway, or is missing.
    """
    parameters = inspect.signature(kind).parameters
    known = {key for key in parameters if key not in given}
    anything = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in settings:
        if key in given or (key not in known and not anything):
            raise ValueError(
                f"{name}.{key}: unknown setting of {kind.__name__}{nearest(key, known)}"
            )
    for key, parameter in parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.KEYWORD_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        )
        if required and key not in given and key not in settings:
            raise ValueError(f"{name}.{key}: missing setting of {kind.__name__}")
