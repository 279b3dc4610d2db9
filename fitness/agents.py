"""Scores of a language model that acts.

It reads what an environment shows, answers with an action, and so on, turn by turn.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

import numpy as np

from fitness.families import positions_of
from fitness.generation import Generator, LanguageModel, chat_prompt
from fitness.play import Environment, Episode, Play, transcript
from fitness.portable import Portable
from fitness.responses import extracted, pattern
from fitness.templates import parts

__all__ = ["Agents", "Environment", "Episode"]

log = logging.getLogger(__name__)

WHOLE_TRANSCRIPT = "{transcript}"
"""The template of a prompt that is all that was said and nothing else."""


class Agents(Portable):
    """One score for each episode: the reward when it is over, or when its turns are.

    All episodes of a tile are played side by side, each turn in one batch. A prompt is all that was
    said: observation, action, end of line, observation, ... or, in a chat, observations as the
    user's messages and responses as the assistant's.
    """

    _outgrown = False
    """Whether it has been said that a transcript outgrew the model."""

    def __init__(
        self,
        environment: Environment,
        turns: int = 7,
        *,
        template: str = WHOLE_TRANSCRIPT,
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
            extract: regular expression of the action in a response, as `QuestionAnswering`, such as
                "Action: *(.*)". With it the transcript has special tokens in it, as the model wrote
                them.
            chat: whether the prompt is a conversation in the tokenizer's chat template.
            system: the system's message before it.
            max_new_tokens: as `Generator`.
            stop: as `Generator`.
            batch: as `Generator`.
            threads: episodes that take their step at once, for environments that wait for a server.

        Raises:
            ValueError: if a setting is out of its range, the template is broken or the expression
                is none.
        """
        # settings that are passed on are checked by those who take them, before an episode begins
        Generator(max_new_tokens, stop, batch)
        if turns < 1:
            raise ValueError(f"turns: expected at least 1, got {turns}")
        if threads < 1:
            raise ValueError(f"threads: expected at least 1, got {threads}")
        fields = [field for _, field in parts(template) if field is not None]
        if fields != ["transcript"]:
            raise ValueError(
                f"template: expected {{transcript}} in it once, and no other field, "
                f"got {template!r}"
            )
        # a chat is made of messages, so there is no text for a template to surround
        if chat and template != WHOLE_TRANSCRIPT:
            raise ValueError("template: a chat has none of its own; set system, or chat to false")
        if system is not None and not chat:
            raise ValueError("system: a system's message needs chat: true")
        pattern(extract)
        self.environment = environment
        self.turns = turns
        self.template = template
        self.extract = extract
        self.chat = chat
        self.system = system
        self.max_new_tokens = max_new_tokens
        self.stop = stop
        self.batch = batch
        self.threads = threads

    def size(self, split: str) -> int:
        """As `Fitness.size`."""
        return self.environment.size(split)

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if the environment fails, or gives what is no observation or no reward in
                [0, 1].
            OSError: if the surroundings of the environment fail, a server for one.
        """
        rewards = [play.reward for play in self._play(model, datapoints, split)]
        return np.array(rewards, dtype=np.float32)  # (B,)

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its first observation, the transcript from there on, the reward."""
        entries = []
        for play in self._play(model, datapoints, split):
            first = play.said[0]
            entries.append(
                {
                    "prompt": first,
                    "expected": "a reward of 1",
                    "answer": transcript(play.said)[len(first) :],
                    "score": play.reward,
                }
            )
        return entries

    def _play(self, language: LanguageModel, datapoints: np.ndarray, split: str) -> list[Play]:
        """The episodes of these datapoints, played to their ends."""
        plays = [Play(f"datapoint {index} of {split}", int(index)) for index in datapoints]
        try:
            # all of them begin before the first turn, so that one batch holds them
            self._each(lambda play: play.open(self.environment, split), plays)
            for turn in range(1, self.turns + 1):
                # those that are over take no place in a batch
                playing = [play for play in plays if not play.done]
                if not playing:
                    break
                self._take_turn(language, playing, turn)
        # an episode may hold a place on a server, which the next one needs
        finally:
            for play in plays:
                play.close()
        return plays

    def _take_turn(self, language: LanguageModel, playing: Sequence[Play], turn: int) -> None:
        """One response and one action in each of these episodes."""
        acting = []
        prompts = []
        for play, tokens in zip(playing, self._encode(language, playing, turn), strict=True):
            if not play.done:
                acting.append(play)
                prompts.append(tokens)
        responses = self._generator.respond(language, prompts)
        for play, response in zip(acting, responses, strict=True):
            # tags that the action was read from stay in what the model reads next, as it wrote them
            if self.extract is None:
                play.said.append(response.text)
            else:
                play.said.append(response.written)
            play.action = extracted(response, self.extract).strip()
        self._each(lambda play: play.step(play.action), acting)

    def _encode(self, language: LanguageModel, plays: Sequence[Play], turn: int) -> list[list[int]]:
        """The tokens of each prompt; an episode that has outgrown the model is over by then."""
        texts = [self._text(language.tokenizer, play.said) for play in plays]
        special = not self.chat
        # a first observation that does not fit is a mistake of the config's, and ends the run
        if turn == 1:
            return self._generator.encode(
                language, texts, lambda index: plays[index].name, special=special
            )
        tokens = self._generator.encode(
            language,
            texts,
            lambda index: f"{plays[index].name}, turn {turn}",
            special=special,
            fit=False,
        )
        positions = positions_of(language.model)
        if positions is None:
            return tokens
        # later ones grow with what the model said, which is the model's own fault
        for play, row in zip(plays, tokens, strict=True):
            play.done = len(row) > positions - self.max_new_tokens
            if play.done and not self._outgrown:
                self._outgrown = True
                log.warning(
                    "%s ends at turn %d with the reward it has: its transcript has %d tokens, an "
                    "action up to %d, the model %d positions; others that outgrow it are not named",
                    play.name,
                    turn,
                    len(row),
                    self.max_new_tokens,
                    positions,
                )
        return tokens

    def _text(self, tokenizer: Any, said: Sequence[str]) -> str:
        """All that was said, as the model reads it."""
        if not self.chat:
            prompt = ""
            for text, field in parts(self.template):
                prompt += text
                if field is not None:
                    prompt += transcript(said)
            return prompt
        messages = []
        if self.system is not None:
            messages.append({"role": "system", "content": self.system})
        # the environment speaks first, and then they take turns
        for place, text in enumerate(said):
            role = "assistant" if place % 2 else "user"
            messages.append({"role": role, "content": text})
        return chat_prompt(tokenizer, messages)

    def _each(self, act: Callable[[Play], None], plays: Sequence[Play]) -> None:
        """Does something with each episode; the first failure in their order is raised."""
        # one thread is none: an environment may not be made for several
        if self.threads == 1:
            for play in plays:
                act(play)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            # the results are nothing, and asking for them raises what failed
            list(pool.map(act, plays))

    @cached_property
    def _generator(self) -> Generator:
        """What answers; its batches stay small once memory has run out."""
        return Generator(self.max_new_tokens, self.stop, self.batch)
