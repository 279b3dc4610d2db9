"""A search under way: it asks for scores of a whole generation, a run raises one birth at a time.

The search runs in a thread of its own, which waits while the loop of `evolve` has the generation's
births raised. What it is answered is in the log, so a resume answers all of that again.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from typing import Any

import numpy as np

from evomerge.archives.archive import View
from evomerge.contracts import Population
from evomerge.errors import UserError, reason
from evomerge.strategies.coding import Coding
from evomerge.strategies.strategy import Birth

Ask = Callable[[np.ndarray], np.ndarray]
"""Takes the solutions of a generation, (n, size), and gives what each scores, (n, width)."""


class Searching:
    """The births of a search, in the order in which it asks for them."""

    def __init__(
        self, name: str, coding: Coding, width: int, search: Callable[[Ask], None]
    ) -> None:
        """Starts the search, which runs as far as the first generation that it wants scored.

        Args:
            name: what a message calls it.
            coding: the way from its solutions to genomes.
            width: how many numbers answer for a solution: its mean score, then its features.
            search: the search. It never returns, unless it ends by itself.

        Raises:
            UserError: if the search fails, or ends by itself.
        """
        self._name = name
        self._coding = coding
        self._width = width
        self._dialogue = Dialogue(search)
        # The births from `_first` on are the solutions of this generation, and these are the
        # answers for those of them that are decided.
        self._first = 1
        self._answers: list[list[float]] = []
        self._generation = self._next_generation()

    def plan(
        self,
        number: int,
        view: View,  # noqa: ARG002
        population: Population,  # noqa: ARG002
        seed: int,  # noqa: ARG002
    ) -> Birth | None:
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
        """As `Learner.tell`."""
        self._go_on()
        # A birth that failed has no scores in the log, and counts as one that scores nothing.
        answer = [entry.get("train", 0.0), *entry.get("features", {}).values()]
        answer += [0.0] * (self._width - len(answer))
        self._answers.append(answer)

    def stop(self) -> None:
        """Ends it."""
        self._dialogue.stop()

    def _go_on(self) -> None:
        """Has the search make its next generation, once all of this one is decided."""
        if len(self._answers) < len(self._generation):
            return
        self._first += len(self._answers)
        self._dialogue.answer(np.array(self._answers))  # (n, width)
        self._answers = []
        self._generation = self._next_generation()

    def _next_generation(self) -> np.ndarray:
        """(n, size) the solutions of the next generation."""
        try:
            return self._dialogue.question()
        except Exception as error:
            raise UserError(f"strategy: {self._name}: {reason(error)}") from error


class Dialogue:
    """A thread that asks, and waits for each answer."""

    def __init__(self, run: Callable[[Ask], None]) -> None:
        """Starts the thread.

        Args:
            run: what it runs; it takes the function by which it asks.
        """
        self._run = run
        self._questions: SimpleQueue[np.ndarray | BaseException] = SimpleQueue()
        self._answers: SimpleQueue[np.ndarray | None] = SimpleQueue()
        # A daemon, so that a process whose run has failed need not wait for an answer.
        self._thread = threading.Thread(target=self._guarded, daemon=True, name="search")
        self._thread.start()

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
        """Answers the last question."""
        self._answers.put(answer)

    def stop(self) -> None:
        """Ends the thread."""
        self._answers.put(None)
        self._thread.join()

    def _ask(self, question: np.ndarray) -> np.ndarray:
        """Asks, in the thread, and waits for the answer.

        Raises:
            SystemExit: if there will be none.
        """
        self._questions.put(question)
        answer = self._answers.get()
        if answer is None:
            raise SystemExit
        return answer

    def _guarded(self) -> None:
        """Runs in the thread; whatever ends it is handed over, or the other side would wait."""
        try:
            self._run(self._ask)
            self._questions.put(RuntimeError("it has ended by itself"))
        except BaseException as error:
            self._questions.put(error)
