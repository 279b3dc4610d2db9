"""Scores of a language model that acts: it reads what an environment shows, answers with an action, and so on, turn by turn."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Protocol

import numpy as np

from fitness.families import positions_of
from fitness.generation import Generator, LanguageModel, chat_prompt
from fitness.readable import check_readable
from fitness.responses import extracted, pattern
from fitness.templates import parts

log = logging.getLogger(__name__)


class Episode(Protocol):
    """One datapoint, played once. Optional: `close()`, called when it is over."""

    def reset(self) -> str:
        """The first observation."""

    def step(self, action: str) -> tuple[str, float, bool]:
        """What an action leads to: the next observation, the reward so far, in [0, 1], and whether it is over."""


class Environment(Protocol):
    """Where a model acts."""

    def size(self, split: str) -> int:
        """D, the number of datapoints of "train", "test" or "validation"; 0 if there is no such split."""

    def episode(self, datapoint: int, split: str) -> Episode:
        """A new episode, the same for the same datapoint."""


class Agents:
    """One score for each episode: the reward when it is over, or when its turns are.

    All episodes of a tile are played side by side, each turn in one batch. A prompt is all that was said: observation, action,
    end of line, observation, ... or, in a chat, observations as the user's messages and responses as the assistant's.
    """

    def __init__(
        self,
        environment: Environment,
        turns: int = 7,
        *,
        template: str = "{transcript}",
        extract: str | None = None,
        chat: bool = False,
        system: str | None = None,
        max_new_tokens: int = 32,
        stop: str | Sequence[str] | None = "\n",
        batch: int = 64,
        threads: int = 1,
    ) -> None:
        r"""Settings only.

        Args:
            environment: where the model acts.
            turns: most actions of an episode.
            template: the prompt, with {transcript} in it; not for a chat.
            extract: regular expression of the action in a response, as `QuestionAnswering`, such as "Action: *(.*)". With it the
                transcript has special tokens in it, as the model wrote them.
            chat: whether the prompt is a conversation in the tokenizer's chat template.
            system: the system's message before it.
            max_new_tokens: as `Generator`.
            stop: as `Generator`.
            batch: as `Generator`.
            threads: episodes that take their step at once, for environments that wait for a server.

        Raises:
            ValueError: if a setting is out of its range, the template is broken or the expression is none.
        """
        Generator(max_new_tokens, stop, batch)
        if turns < 1:
            raise ValueError(f"turns: expected at least 1, got {turns}")
        if threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        if [name for _, name in parts(template) if name is not None] != ["transcript"]:
            raise ValueError(
                f"template: expected {{transcript}} in it once, and no other field, got {template!r}"
            )
        if chat and template != "{transcript}":
            raise ValueError("template: a chat has none of its own; set system, or chat to false")
        if system is not None and not chat:
            raise ValueError("system: a system's message needs chat: true")
        pattern(extract)
        self.environment, self.turns, self.template, self.extract = (
            environment,
            turns,
            template,
            extract,
        )
        self.chat, self.system, self.max_new_tokens, self.stop = chat, system, max_new_tokens, stop
        self.batch, self.threads = batch, threads

    def size(self, split: str) -> int:
        """As `Fitness.size`."""
        return self.environment.size(split)

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if the environment fails, or gives what is no observation or no reward in [0, 1].
            OSError: if the surroundings of the environment fail, a server for one.
        """
        return np.array(
            [play.reward for play in self._play(model, datapoints, split)], dtype=np.float32
        )

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its first observation, the transcript from there on, and the reward."""
        return [
            {
                "prompt": play.said[0],
                "expected": "a reward of 1",
                "answer": transcript(play.said)[len(play.said[0]) :],
                "score": play.reward,
            }
            for play in self._play(model, datapoints, split)
        ]

    def _play(self, language: LanguageModel, datapoints: np.ndarray, split: str) -> list[_Play]:
        """The episodes of these datapoints, played to their ends."""
        generator = vars(self).setdefault(
            "_generator", Generator(self.max_new_tokens, self.stop, self.batch)
        )
        plays = [_Play(f"datapoint {index} of {split}", int(index)) for index in datapoints]
        try:
            self._each(lambda play: play.open(self.environment, split), plays)
            for turn in range(1, self.turns + 1):
                playing = [play for play in plays if not play.done]
                if not playing:
                    break
                prompts = self._encode(generator, language, playing, turn)
                playing = [
                    play
                    for play, prompt in zip(playing, prompts, strict=True)
                    if prompt is not None
                ]
                responses = generator.respond(
                    language, [prompt for prompt in prompts if prompt is not None]
                )
                for play, response in zip(playing, responses, strict=True):
                    # tags that the action was read from stay in what the model reads next, as it wrote them
                    play.said.append(response.text if self.extract is None else response.written)
                    play.action = extracted(response, self.extract).strip()
                self._each(lambda play: play.step(play.action), playing)
        finally:
            for play in plays:
                play.close()
        return plays

    def _encode(
        self, generator: Generator, language: LanguageModel, plays: Sequence[_Play], turn: int
    ) -> list[list[int] | None]:
        """The tokens of each prompt; None, and the episode is over, where it has outgrown the model."""
        texts = [self._text(language.tokenizer, play.said) for play in plays]
        if turn == 1:
            return list(
                generator.encode(language, texts, lambda i: plays[i].name, special=not self.chat)
            )
        tokens = generator.encode(
            language,
            texts,
            lambda i: f"{plays[i].name}, turn {turn}",
            special=not self.chat,
            fit=False,
        )
        positions = positions_of(language.model)
        room = float("inf") if positions is None else positions - self.max_new_tokens
        for play, row in zip(plays, tokens, strict=True):
            play.done = len(row) > room
            if play.done and "_outgrown" not in vars(self):
                self._outgrown = True
                log.warning(
                    "%s ends at turn %d with the reward it has: its transcript has %d tokens, an action up to %d, the model %d "
                    "positions; others that outgrow it are not named", play.name, turn, len(row), self.max_new_tokens, positions
                )  # fmt: skip
        return [None if play.done else row for play, row in zip(plays, tokens, strict=True)]

    def _text(self, tokenizer: Any, said: Sequence[str]) -> str:
        """All that was said, as the model reads it."""
        if not self.chat:
            return "".join(
                text + ("" if name is None else transcript(said))
                for text, name in parts(self.template)
            )
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        spoken = [
            {"role": ("user", "assistant")[place % 2], "content": text}
            for place, text in enumerate(said)
        ]
        return chat_prompt(tokenizer, [*system, *spoken])

    def _each(self, act: Callable[[_Play], None], plays: Sequence[_Play]) -> None:
        """Does something with each episode; the first failure in their order is raised."""
        if self.threads == 1:
            for play in plays:
                act(play)
        else:
            with ThreadPoolExecutor(self.threads) as pool:
                list(pool.map(act, plays))

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, what was learned on the way does not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def transcript(said: Sequence[str]) -> str:
    """Observations and responses by turns, in one text; each response has its line's end."""
    return "".join(text + "\n" * (place % 2) for place, text in enumerate(said))


@dataclass
class _Play:
    """An episode on its way: what was said by turns, observation first, the last action and reward, and whether it is over."""

    name: str
    datapoint: int
    episode: Episode | None = None
    said: list[str] = field(default_factory=list)
    action: str = ""
    reward: float = 0.0
    done: bool = False

    def open(self, environment: Environment, split: str) -> None:
        """Begins."""
        with _named(f"{self.name}, reset"):
            self.episode = environment.episode(self.datapoint, split)
            self.said.append(_text(self.episode.reset()))

    def step(self, action: str) -> None:
        """Takes an action; the response that it stands in was the last thing said."""
        assert self.episode is not None
        with _named(f"{self.name}, turn {len(self.said) // 2}"):
            answer = self.episode.step(action)
            if not isinstance(answer, tuple | list) or len(answer) != 3:
                raise ValueError(
                    f"expected an observation, a reward and whether it is over, got {answer!r}"
                )
            observation, reward, done = answer
            self.said.append(_text(observation))
            if not isinstance(reward, Real | np.number) or not 0 <= reward <= 1:
                raise ValueError(f"expected a reward in [0, 1], got {reward!r}")
            if not isinstance(done, bool | np.bool_):
                raise ValueError(f"expected true or false for whether it is over, got {done!r}")
            self.reward, self.done = float(reward), bool(done)

    def close(self) -> None:
        """Ends; what fails here costs nothing."""
        try:
            getattr(self.episode, "close", lambda: None)()
        except Exception as error:
            log.debug("%s: close raised %s: %s", self.name, type(error).__name__, error)


@contextmanager
def _named(where: str) -> Iterator[None]:
    """Errors of an environment say where; those of its surroundings stay what they are."""
    try:
        yield
    except (OSError, MemoryError):
        raise
    except Exception as error:
        kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
        raise ValueError(f"{where}: the environment: {kind}{error}") from error


def _text(observation: Any) -> str:
    if not isinstance(observation, str):
        raise ValueError(f"expected a text as the observation, got {observation!r}")
    check_readable(observation)
    return observation
