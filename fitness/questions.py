"""Scores of a language model that answers questions: answers are compared with references."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from fitness.generation import Generator, LanguageModel, chat_prompt
from fitness.matching import Score, check_of, exact
from fitness.messages import datapoint_name, shown
from fitness.part_names import name_of
from fitness.portable import Portable
from fitness.record_checks import check_fields, check_system
from fitness.responses import cut, extracted, pattern, special_tokens
from fitness.templates import filled, parts
from fitness.unit import unit_score


class Records(Protocol):
    """Questions with their answers.

    Optional: `where(index, split) -> str`, where a user finds a record.
    """

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """The records of "train", "test" or "validation"; None if there is no such split.

        All of them have the same fields.
        """


class QuestionAnswering(Portable):
    """One score for each question, by comparing the model's greedy answer with the record's."""

    _encoded: tuple[Any, dict[str, list[list[int]]]] | None = None

    def __init__(
        self,
        data: Records,
        template: str = "{question}",
        answer: str = "answer",
        score: Score = exact,
        *,
        extract: str | None = None,
        chat: bool = False,
        system: str | None = None,
        max_new_tokens: int = 64,
        stop: str | Sequence[str] | None = None,
        batch: int = 64,
    ) -> None:
        r"""Settings only; the records are loaded on first use.

        Args:
            data: the records, such as `fitness.records.JsonLines`.
            template: the prompt, with the names of fields in braces; a brace of its own is doubled.
            answer: the field of the reference.
            score: prompt, response and reference to a score in [0, 1]: `fitness.matching.exact`,
                `numeric`, `gsm8k`, `AnyOf` where any of several references counts, or your own. The
                response has no special tokens in it, and with `extract` is what was extracted. A
                score that has `check(reference)` is asked about each reference when records are
                loaded, and raises a ValueError where no response could be right; one of your own
                without it takes any reference.
            extract: regular expression of what counts in a response, such as "answer is (\\w+)":
                its last match, in it the first group if there is one; nothing if there is no match.
                It sees special tokens, as in "<ans>(.*?)</ans>", each as a whole, and what ended
                the response; they are taken out of what was extracted. The whole response if None.
            chat: whether the prompt is a user's message in the tokenizer's chat template, and not a
                text to go on with.
            system: the system's message before it.
            max_new_tokens: as `Generator`.
            stop: as `Generator`.
            batch: as `Generator`.

        Raises:
            ValueError: if a setting is out of its range, the template is broken or the expression
                is none.
        """
        # settings that are passed on are checked by those who take them, before anything is loaded
        Generator(max_new_tokens, stop, batch)
        # without a field every question would be the same
        if not any(field is not None for _, field in parts(template)):
            raise ValueError(
                f"template: expected a field in braces, such as {{question}}, got {template!r}"
            )
        if system is not None and not chat:
            raise ValueError("system: a system's message needs chat: true")
        # a class is callable too, and would make an object of each answer in place of a score
        if isinstance(score, type):
            entry = f"{{_target_: {score.__module__}.{score.__qualname__}}}"
            raise ValueError(
                f"score: expected a function or an object, got the class {score.__qualname__}; "
                f"in a config, {entry} makes one"
            )
        pattern(extract)
        self.data = data
        self.template = template
        self.answer = answer
        self.score = score
        self.extract = extract
        self.chat = chat
        self.system = system
        self.max_new_tokens = max_new_tokens
        self.stop = stop
        self.batch = batch

    @property
    def name(self) -> str | None:
        """What its data are called, if they have a name."""
        return name_of(self.data)

    def size(self, split: str) -> int:
        """As `Fitness.size`.

        Raises:
            ValueError: if a record lacks a field, or its reference is none that the score can be
                taken against.
        """
        return len(self._questions(split))

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if a prompt is too long, or the score function fails or gives no number in
                [0, 1].
        """
        responses = self._respond(model, datapoints, split)
        scores = []
        for index, response in zip(datapoints, responses, strict=True):
            scores.append(self._score(index, response, split))
        return np.array(scores, dtype=np.float32)  # (B,)

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its prompt, the reference, what the model answered and the score."""
        responses = self._respond(model, datapoints, split)
        entries = []
        for index, response in zip(datapoints, responses, strict=True):
            prompt, reference = self._questions(split)[index]
            score = self._score(index, response, split)
            entries.append(
                {"prompt": prompt, "expected": reference, "answer": response, "score": score}
            )
        return entries

    def _respond(self, language: LanguageModel, datapoints: np.ndarray, split: str) -> list[str]:
        """What the model answers to each, as far as it counts."""
        if not self.size(split):
            raise ValueError(f"{self.data} has no split {split!r}")
        prompts = self._prompts(language, split)
        asked = [prompts[index] for index in datapoints]
        responses = self._generator.respond(language, asked)
        return [extracted(response, self.extract) for response in responses]

    def _prompts(self, language: LanguageModel, split: str) -> list[list[int]]:
        """The tokens of each prompt of a split, made once for a tokenizer.

        They are made all at once: what is too long is known before anything is generated.
        """
        tokenizer = language.tokenizer
        if self._encoded is None or self._encoded[0] is not tokenizer:
            self._encoded = tokenizer, {}
        # members share the seeds' tokenizer, so prompts are encoded once in a run
        encoded = self._encoded[1]
        if split not in encoded:
            self._check_special(tokenizer, split)
            texts = [self._text(tokenizer, prompt) for prompt, _ in self._questions(split)]
            encoded[split] = self._generator.encode(
                language, texts, lambda index: self._where(index, split), special=not self.chat
            )
        return encoded[split]

    def _text(self, tokenizer: Any, prompt: str) -> str:
        """A prompt as the model reads it."""
        if not self.chat:
            return prompt
        # templates want the system's message first, where they take one
        messages = [{"role": "user", "content": prompt}]
        if self.system is not None:
            messages.insert(0, {"role": "system", "content": self.system})
        return chat_prompt(tokenizer, messages)

    def _score(self, index: int, response: str, split: str) -> float:
        """The score of one response."""
        prompt, reference = self._questions(split)[index]
        try:
            score = self.score(prompt, response, reference)
        # the surroundings are no fault of the score, and are tried again
        except (OSError, MemoryError):
            raise
        except Exception as error:
            raise ValueError(
                f"{self._where(index, split)}: score raised {type(error).__name__}: {error}"
            ) from error
        number = unit_score(score)
        if number is None:
            raise ValueError(
                f"{self._where(index, split)}: score: expected a number in [0, 1], got {score!r}"
            )
        return number

    def _questions(self, split: str) -> list[tuple[str, Any]]:
        """(prompt, reference) of each datapoint.

        By then all that can be known to be wrong of the records is known.
        """
        if split not in self._checked:
            written = parts(self.template)
            needed = [("template", field) for _, field in written if field is not None]
            needed.append(("answer", self.answer))
            check = check_of(self.score)
            questions = []
            for index, record in enumerate(self.data.split(split) or ()):
                try:
                    check_fields(record, needed)
                    # a system's message that is set stands in place of the record's
                    if self.chat and self.system is None:
                        check_system(record, needed, self.data)
                    prompt = filled(written, record)
                except ValueError as error:
                    raise ValueError(f"{self._where(index, split)}: {error}") from None
                self._check_reference(check, index, record[self.answer], split)
                questions.append((prompt, record[self.answer]))
            self._checked[split] = questions
        return self._checked[split]

    def _check_reference(
        self, check: Callable[[Any], object], index: int, reference: Any, split: str
    ) -> None:
        """Refuses a reference against which no response could be right."""
        try:
            check(reference)
            self._check_stop(reference)
        except (OSError, MemoryError):
            raise
        # a check may be a user's own, and raise anything
        except Exception as error:
            problem = str(error)
            if not isinstance(error, ValueError):
                problem = f"check raised {type(error).__name__}: {error}"
            raise ValueError(f"{self._where(index, split)}: {self.answer}: {problem}") from error

    def _check_stop(self, reference: Any) -> None:
        """Refuses what no response can be word for word, as it would end before.

        Raises:
            ValueError: if a text of `stop` is in the reference.
        """
        # of other scores nothing is known: they may find their answer before the end
        if self.score is exact:
            self._check_whole(str(reference))

    def _check_whole(self, text: str) -> None:
        """Refuses a text that no response can be, as it would end before.

        Raises:
            ValueError: if a text of `stop` is in it.
        """
        _, end = cut(text.strip(), self._generator.stop)
        if end:
            raise ValueError(f"{shown(text)} has {end!r} in it, where stop ends each answer")

    def _check_special(self, tokenizer: Any, split: str) -> None:
        """Refuses what no response can be word for word, as special tokens are taken out of it.

        Raises:
            ValueError: if one is in a reference, and nothing is extracted.
        """
        if self.score is not exact or self.extract is not None:
            return
        # a missing one would score 0 for every member, and nobody would see why
        special = list(special_tokens(tokenizer).values())
        for index, (_, reference) in enumerate(self._questions(split)):
            _, token = cut(str(reference), special)
            if token:
                raise ValueError(
                    f"{self._where(index, split)}: {self.answer}: {shown(reference)} has the "
                    f"special token {token!r} in it, which is left out of an answer; set extract, "
                    f"such as '({re.escape(token)})'"
                )

    def _where(self, index: int, split: str) -> str:
        """Names a datapoint."""
        return datapoint_name(self.data, index, split)

    @cached_property
    def _generator(self) -> Generator:
        """What answers; its batches stay small once memory has run out."""
        return Generator(self.max_new_tokens, self.stop, self.batch)

    @cached_property
    def _checked(self) -> dict[str, list[tuple[str, Any]]]:
        """The questions of each split that has been read."""
        return {}
