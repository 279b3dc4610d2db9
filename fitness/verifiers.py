"""Scores of a language model in environments of the package verifiers, by their own rewards."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from fitness.families import positions_of
from fitness.generation import Generator, LanguageModel, chat_prompt
from fitness.portable import Portable
from fitness.unit import unit_score
from fitness.verifiers_desk import Conversation, Reply
from fitness.verifiers_library import load, play

log = logging.getLogger(__name__)

SPLITS = ("train", "test", "validation")

SILENCE = 50
"""Turns that an environment may go on for when the model has no more room to answer."""

OURS = ("TaskError", "EnvError", "HarnessError")
"""Errors of an environment itself; of all others it is the surroundings that fail."""


class Verifiers(Portable):
    """One score for each task of an environment: the reward of its episode.

    Environments may be of one turn or of many, with one agent, which is the model. It talks in its
    tokenizer's chat template and has no tools. All episodes of a tile are played side by side, each
    turn in one batch: what is in a batch does not depend on which episode is faster.
    """

    _outgrown = False
    """Whether it has been said that a conversation outgrew the model."""

    def __init__(
        self,
        environment: str,
        splits: Mapping[str, tuple[int, int]],
        *,
        settings: Mapping[str, Any] | None = None,
        most: float = 1.0,
        max_new_tokens: int = 64,
        stop: str | Sequence[str] | None = None,
        batch: int = 64,
    ) -> None:
        """Settings only; the environment is loaded on first use.

        Args:
            environment: the name of its taskset, a package that is installed or lies in the working
                directory.
            splits: for "train", "test" and "validation" the first of its tasks, counted from 0, and
                the one after the last: {train: [0, 100], test: [100, 300]}.
            settings: what verifiers configures it with, such as {taskset: {...}}.
            most: the reward that scores 1; rewards are divided by it.
            max_new_tokens: as `Generator`.
            stop: as `Generator`.
            batch: as `Generator`.

        Raises:
            ValueError: if a setting is out of its range, or two splits share tasks.
        """
        Generator(max_new_tokens, stop, batch)
        _check_splits(splits)
        if not 0 < most < float("inf"):
            raise ValueError(f"most: expected a number above 0, got {most}")
        self.environment = environment
        self.splits = splits
        self.settings = settings
        self.most = most
        self.max_new_tokens = max_new_tokens
        self.stop = stop
        self.batch = batch

    @property
    def name(self) -> str:
        """The environment."""
        return self.environment

    def size(self, split: str) -> int:
        """As `Fitness.size`.

        Raises:
            ImportError: if verifiers is not installed.
            ValueError: if there is no such environment, or it has fewer tasks.
        """
        start, stop = self.splits.get(split, (0, 0))
        if stop > len(self._tasks):
            raise ValueError(
                f"splits.{split}: expected tasks {start} to {stop}, {self.environment!r} has "
                f"{len(self._tasks)}"
            )
        return stop - start

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if the environment fails, or a reward is not from 0 to `most`.
            OSError: if its surroundings fail, or the time of an episode is over.
        """
        episodes = self._play(model, datapoints, split)
        scores = []
        for index, episode in zip(datapoints, episodes, strict=True):
            scores.append(self._score(episode, f"task {index} of {split}"))
        return np.array(scores, dtype=np.float32)  # (B,)

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its task, all that the model said, and the score."""
        entries = []
        episodes = self._play(model, datapoints, split)
        for index, episode in zip(datapoints, episodes, strict=True):
            score = self._score(episode, f"task {index} of {split}")
            [trace] = episode.traces
            said = [message.content or "" for message in trace.assistant_messages]
            entries.append(
                {
                    "prompt": self._task(index, split).data.prompt_text,
                    "expected": f"a reward of {self.most:g}",
                    "answer": "\n".join(said),
                    "score": score,
                }
            )
        return entries

    def _play(self, language: LanguageModel, datapoints: np.ndarray, split: str) -> list[Any]:
        """The episodes of these datapoints, played to their ends."""
        if not self.size(split):
            raise ValueError(f"splits: there is no split {split!r}")
        tasks = [self._task(index, split) for index in datapoints]
        if not tasks:
            return []

        def answer(conversations: list[Conversation]) -> list[Reply]:
            return self._answer(language, conversations)

        return play(self._loaded, tasks, answer)

    def _answer(self, language: LanguageModel, conversations: list[Conversation]) -> list[Reply]:
        """What the model says next in each; nothing where that no longer fits.

        Raises:
            ValueError: if a conversation goes on and on without the model.
        """
        prompts = [chat_prompt(language.tokenizer, messages) for messages in conversations]
        rows = self._generator.encode(
            language,
            prompts,
            lambda place: f"a conversation of {len(conversations[place])} messages",
            special=False,
            fit=False,
        )
        positions = positions_of(language.model)
        places = []
        for place, row in enumerate(rows):
            if positions is None or len(row) + self.max_new_tokens <= positions:
                places.append(place)
            else:
                self._check_goes_on(conversations[place], positions)
        replies = [Reply("", is_whole=False)] * len(rows)
        responses = self._generator.respond(language, [rows[place] for place in places])
        for place, response in zip(places, responses, strict=True):
            # what nothing ended was cut at its longest
            replies[place] = Reply(response.text, is_whole=bool(response.end))
        return replies

    def _check_goes_on(self, conversation: Conversation, positions: int) -> None:
        """Says, once, that a conversation outgrew the model.

        It did so by what the model said, and the reward is what it is by then.

        Raises:
            ValueError: if the environment has not ended it since.
        """
        silence = 0
        for message in conversation:
            if message["role"] == "assistant":
                silence = 0 if message["content"] else silence + 1
        # an environment that waits for the right answer would wait forever
        if silence >= SILENCE:
            raise ValueError(
                f"{self.environment!r}: a conversation outgrew the model's {positions} positions "
                f"and goes on, {silence} turns later; the environment needs an end of its own"
            )
        if not self._outgrown:
            self._outgrown = True
            log.warning(
                "a conversation outgrew the model's %d positions and is answered with nothing; "
                "others are not named",
                positions,
            )

    def _score(self, episode: Any, where: str) -> float:
        """The score of an episode that is over.

        Raises:
            ValueError: if the environment failed, or the reward is out of range.
            OSError: if its surroundings failed, or its time was over.
        """
        # a reward by the clock would be that of the machine
        if any(each.is_timeout for each in (episode, *episode.traces)):
            raise OSError(
                f"{where}: {self.environment!r}: its time was over, while all episodes of a tile "
                f"wait for each other; set longer ones, such as "
                f"settings: {{AGENT: {{timeout: {{rollout: 86400}}}}}}, with the agent's name"
            )
        errors = list(episode.errors)
        for trace in episode.traces:
            errors += trace.errors
        if errors:
            problem = f"{where}: {self.environment!r}: {errors[0].type}: {errors[0].message}"
            raise ValueError(problem) if errors[0].type in OURS else OSError(problem)
        if len(episode.traces) != 1:
            raise ValueError(
                f"{where}: expected one run of the agent in an episode, got {len(episode.traces)}"
            )
        reward = episode.traces[0].reward
        score = unit_score(reward, self.most)
        if score is None:
            raise ValueError(
                f"{where}: expected a reward from 0 to {self.most:g} (most), got {reward!r}"
            )
        return score

    def _task(self, index: int, split: str) -> Any:
        """The task of a datapoint."""
        return self._tasks[self.splits[split][0] + index]

    @cached_property
    def _loaded(self) -> Any:
        """The environment."""
        return load(self.environment, self.settings or {})

    @cached_property
    def _tasks(self) -> list[Any]:
        """Its tasks, as far as a split reaches."""
        last = max(stop for _, stop in self.splits.values())
        return list(islice(self._loaded.taskset, last))

    @cached_property
    def _generator(self) -> Generator:
        """What answers; its batches stay small once memory has run out."""
        return Generator(self.max_new_tokens, self.stop, self.batch)


def _check_splits(splits: Mapping[str, tuple[int, int]]) -> None:
    """Refuses splits that are none, or share tasks."""
    if "train" not in splits:
        raise ValueError(f"splits: expected train among them, got {', '.join(splits) or 'none'}")
    behind: list[tuple[int, int, str]] = []
    for name, (start, stop) in splits.items():
        if name not in SPLITS:
            raise ValueError(f"splits: expected train, test or validation, got {name!r}")
        if not 0 <= start < stop:
            raise ValueError(
                f"splits.{name}: expected a first task of at least 0 and one after the last, "
                f"got {start}, {stop}"
            )
        # a model that is judged by what it was bred on looks better than it is
        for first, last, other in behind:
            if start < last and first < stop:
                raise ValueError(f"splits: {other} and {name} share tasks")
        behind.append((start, stop, name))
