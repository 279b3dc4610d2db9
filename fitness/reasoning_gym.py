"""Scores of a language model on questions of reasoning-gym, by that package's own scorers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from fitness.generation import LanguageModel
from fitness.portable import Portable
from fitness.questions import QuestionAnswering
from fitness.reasoning_gym_library import dataset_of
from fitness.reasoning_gym_questions import LARGEST_SEED, SPLITS, Puzzle, draw

Config = Mapping[str, Any]
Datasets = str | Sequence[str] | Mapping[str, Config | None]
"""The name of a dataset, several names, or names with what each is configured with."""


class ReasoningGym(QuestionAnswering):
    """One score for each question that is drawn from datasets of reasoning-gym.

    Which split a question belongs to is written in the question itself (a checksum), so no question
    is in two splits, whatever seeds and sizes are. A quarter of all questions is for each of
    "test", "train", "validation" and "lessons"; the last are for training models, and nothing is
    scored on them. The same seed draws the same questions on every machine.

    An answer is given to the dataset's own scorer without the white space around it. An answer at
    which that scorer fails scores 0. Datasets whose scorers run an answer as Python code are
    refused, such as countdown.
    """

    def __init__(
        self,
        datasets: Datasets,
        train: int = 100,
        test: int = 100,
        validation: int = 0,
        lessons: int = 0,
        seed: int = 0,
        *,
        template: str = "{question}",
        extract: str | None = None,
        chat: bool = False,
        system: str | None = None,
        max_new_tokens: int = 64,
        stop: str | Sequence[str] | None = None,
        batch: int = 64,
    ) -> None:
        """Settings only; the questions are drawn on first use.

        Args:
            datasets: names of datasets, such as [leg_counting, spell_backward], or each name with
                its configuration: {leg_counting: {max_animals: 2}}.
            train: questions of each dataset to train on.
            test: questions of each dataset to test on.
            validation: questions of each dataset to choose the best on.
            lessons: questions of each dataset to train models on: `data.split("lessons")`.
            seed: from which questions are drawn, up to 4000.
            template: the prompt, with {question} in it, and {dataset} where that helps.
            extract: as `QuestionAnswering`; "<answer>(.*?)</answer>" where a model was taught to
                answer as reasoning-gym's system messages say. The whole response if None.
            chat: as `QuestionAnswering`.
            system: as `QuestionAnswering`.
            max_new_tokens: as `QuestionAnswering`.
            stop: as `QuestionAnswering`. No answer of a dataset may have it within.
            batch: as `QuestionAnswering`.

        Raises:
            ValueError: if a setting is out of its range.
        """
        sizes = {"test": test, "train": train, "validation": validation, "lessons": lessons}
        configs = _configs(datasets)
        super().__init__(
            Puzzles(configs, sizes, seed),
            template,
            "answer",
            OwnScorer(configs),
            extract=extract,
            chat=chat,
            system=system,
            max_new_tokens=max_new_tokens,
            stop=stop,
            batch=batch,
        )
        self.datasets = datasets
        self.train = train
        self.test = test
        self.validation = validation
        self.lessons = lessons
        self.seed = seed

    def groups(self, split: str) -> dict[str, np.ndarray]:
        """As `Fitness.groups`: the datapoints of each dataset, by its name."""
        records = self.data.split(split) or ()
        names = np.array([record["dataset"] for record in records])
        groups = {}
        for name in dict.fromkeys(names.tolist()):
            groups[str(name)] = np.flatnonzero(names == name)
        return groups

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its prompt, an answer that is right, the model's and the score."""
        entries = super().explain(model, datapoints, split)
        for entry in entries:
            answer = entry["expected"].entry["answer"]
            # some questions have many right answers, and reasoning-gym names none
            entry["expected"] = "(any that is right)" if answer is None else answer
        return entries

    def _check_stop(self, reference: Puzzle) -> None:
        """Refuses a question whose answer would be cut, by `stop`, before it is whole."""
        answer = reference.entry["answer"]
        if answer is not None:
            self._check_whole(answer)


class Puzzles(Portable):
    """Records with "question", "dataset" and "answer", which is a `Puzzle`."""

    def __init__(self, configs: Mapping[str, Config], sizes: Mapping[str, int], seed: int) -> None:
        """Settings only.

        Args:
            configs: what each dataset is configured with, by its name.
            sizes: questions of each dataset by split.
            seed: from which they are drawn.

        Raises:
            ValueError: if a size or the seed is out of its range.
        """
        for name, size in sizes.items():
            if size < 0:
                raise ValueError(
                    f"{name}: expected a number of questions of at least 0, got {size}"
                )
        if not 0 <= seed <= LARGEST_SEED:
            raise ValueError(f"seed: expected a number from 0 to {LARGEST_SEED}, got {seed}")
        self.configs = configs
        self.sizes = sizes
        self.seed = seed

    @property
    def name(self) -> str | None:
        """The dataset; None where there are several."""
        if len(self.configs) > 1:
            return None
        return next(iter(self.configs))

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """As `fitness.questions.Records.split`; also of "lessons".

        Raises:
            ImportError: if reasoning-gym is not installed.
            ValueError: if there is no such dataset, it takes no such configuration, or has too few
                questions.
        """
        if name not in SPLITS:
            return None
        records = []
        for puzzle in self._drawn[name]:
            question = puzzle.entry["question"]
            records.append({"question": question, "dataset": puzzle.dataset, "answer": puzzle})
        # an empty split is the same as none, for which nothing is asked
        return records or None

    def where(self, index: int, split: str) -> str:
        """How reasoning-gym itself gives a question."""
        puzzle = self._drawn[split][index]
        return f"{puzzle.dataset}, seed {puzzle.seed}, question {puzzle.place}"

    @cached_property
    def _drawn(self) -> dict[str, list[Puzzle]]:
        """The questions of all splits."""
        return draw(self.configs, self.sizes, self.seed)


class OwnScorer(Portable):
    """The score of an answer by the dataset that its question is from."""

    def __init__(self, configs: Mapping[str, Config]) -> None:
        """Settings only: what each dataset is configured with, by its name."""
        self.configs = configs

    def __call__(self, _prompt: str, response: str, reference: Puzzle) -> float:
        """The score in [0, 1]; an empty response is no answer."""
        try:
            return self._score(response.strip(), reference)
        except (OSError, MemoryError):
            raise
        # scorers expect answers of one form, and a model may write anything
        except Exception:
            return 0.0

    def check(self, reference: Puzzle) -> None:
        """Refuses a question whose own answer its scorer does not take.

        Raises:
            ValueError: if it fails at it, or it scores nothing.
        """
        answer = reference.entry["answer"]
        # some questions have many right answers, and reasoning-gym names none
        if answer is None:
            return
        score = self._score(answer, reference)
        if not score > 0:
            raise ValueError(f"reasoning-gym gives its own answer {answer!r} the score {score}")

    def _score(self, answer: str, puzzle: Puzzle) -> float:
        """What the dataset's scorer gives."""
        name = puzzle.dataset
        if name not in self._made:
            # a scorer may look at the configuration, but never at the seed
            self._made[name] = dataset_of(name, self.configs[name], 0)
        return float(self._made[name].score_answer(answer or None, puzzle.entry))

    @cached_property
    def _made(self) -> dict[str, Any]:
        """The datasets that have scored."""
        return {}


def _configs(datasets: Datasets) -> dict[str, Config]:
    """What each dataset is configured with, by its name.

    Raises:
        ValueError: if it names none, or one twice, or something else than names is in it.
    """
    if isinstance(datasets, str):
        return {datasets: {}}
    named: dict[str, Config] = {}
    for name in datasets:
        if not isinstance(name, str):
            raise ValueError(
                f"datasets: expected names, or a mapping of names to settings, got {name!r}"
            )
        if name in named:
            raise ValueError(f"datasets: {name!r} stands there twice")
        named[name] = {}
        if isinstance(datasets, Mapping):
            named[name] = datasets[name] or {}
    for name, config in named.items():
        if not isinstance(config, Mapping):
            raise ValueError(f"datasets.{name}: expected settings by name, got {config!r}")
    if not named:
        raise ValueError("datasets: expected at least one name, got none")
    return named
