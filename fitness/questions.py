"""Scores of a language model that answers questions: each answer is compared with its reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import Formatter
from typing import Any, Protocol

import numpy as np

from fitness.generation import Generator, LanguageModel, chat_prompt
from fitness.matching import Score, check_reference, exact
from fitness.records import check_readable, datapoint_name, filled, shown
from fitness.responses import Response, cut, special_tokens


class Records(Protocol):
    """Questions with their answers. Optional: `where(index, split) -> str`, where a user finds a record."""

    def split(self, name: str) -> Sequence[Mapping[str, Any]] | None:
        """The records of "train", "test" or "validation", each with the same fields; None if there is no such split."""


class QuestionAnswering:
    """One score for each question, by comparing what the model answers greedily with the record's answer."""

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
            score: prompt, response and reference to a score in [0, 1]: `fitness.matching.exact`, `numeric`, `gsm8k`, `AnyOf` where
                any of several references counts, or your own. The response has no special tokens in it, and with `extract` is what
                was extracted. A score that has `check(reference)` is asked about each reference when records are loaded, and raises
                a ValueError where no response could be right; one of your own without it takes any reference.
            extract: regular expression of what counts in a response, such as "answer is (\\w+)": its last match, in it the first
                group if there is one; nothing if there is no match. It sees special tokens, as in "<ans>(.*?)</ans>", each as a
                whole, and what ended the response; they are taken out of what was extracted. The whole response if None.
            chat: whether the prompt is a user's message in the tokenizer's chat template, and not a text to go on with.
            system: the system's message before it.
            max_new_tokens: as `Generator`.
            stop: as `Generator`.
            batch: as `Generator`.

        Raises:
            ValueError: if a setting is out of its range, the template is broken or the expression is none.
        """
        Generator(max_new_tokens, stop, batch)
        if not any(field is not None for _, field in parts(template)):
            raise ValueError(
                f"template: expected a field in braces, such as {{question}}, got {template!r}"
            )
        if system is not None and not chat:
            raise ValueError("system: a system's message needs chat: true")
        if isinstance(score, type):
            made = f"{{_target_: {score.__module__}.{score.__qualname__}}}"
            raise ValueError(
                f"score: expected a function or an object, got the class {score.__qualname__}; in a config, {made} makes one"
            )
        pattern(extract)
        self.data, self.template, self.answer, self.score, self.extract = (
            data,
            template,
            answer,
            score,
            extract,
        )
        self.chat, self.system, self.max_new_tokens, self.stop, self.batch = (
            chat,
            system,
            max_new_tokens,
            stop,
            batch,
        )

    def size(self, split: str) -> int:
        """As `Fitness.size`.

        Raises:
            ValueError: if a record lacks a field, or its reference is none that the score can be taken against.
        """
        return len(self._questions(split))

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            ValueError: if a prompt is too long, or the score function fails or gives no number in [0, 1].
        """
        responses = self._respond(model, datapoints, split)
        return np.array(
            [self._score(*pair, split) for pair in zip(datapoints, responses, strict=True)],
            dtype=np.float32,
        )

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its prompt, the reference, what the model answered and the score."""
        entries = []
        for index, response in zip(
            datapoints, self._respond(model, datapoints, split), strict=True
        ):
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
        kept = vars(self)
        generator = kept.setdefault(
            "_generator", Generator(self.max_new_tokens, self.stop, self.batch)
        )
        if kept.get("_encoded", (None,))[0] is not language.tokenizer:
            kept["_encoded"] = language.tokenizer, {}
        encoded = kept["_encoded"][1]
        if (
            split not in encoded
        ):  # all at once: what is too long is known before anything is generated
            self._check_special(language.tokenizer, split)
            texts = [self._text(language.tokenizer, prompt) for prompt, _ in self._questions(split)]
            encoded[split] = generator.encode(
                language, texts, lambda i: self._where(i, split), special=not self.chat
            )
        responses = generator.respond(language, [encoded[split][index] for index in datapoints])
        return [extracted(response, self.extract) for response in responses]

    def _text(self, tokenizer: Any, prompt: str) -> str:
        """A prompt as the model reads it."""
        if not self.chat:
            return prompt
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return chat_prompt(tokenizer, [*system, {"role": "user", "content": prompt}])

    def _score(self, index: int, response: str, split: str) -> float:
        """The score of one response."""
        prompt, reference = self._questions(split)[index]
        try:
            score = self.score(prompt, response, reference)
        except (OSError, MemoryError):  # the surroundings, which are tried again
            raise
        except Exception as error:
            raise ValueError(
                f"{self._where(index, split)}: score raised {type(error).__name__}: {error}"
            ) from error
        try:
            number = float(score)
        except (TypeError, ValueError):
            number = float("nan")
        if not 0 <= number <= 1:
            raise ValueError(
                f"{self._where(index, split)}: score: expected a number in [0, 1], got {score!r}"
            )
        return number

    def _questions(self, split: str) -> list[tuple[str, Any]]:
        """(prompt, reference) of each datapoint, once all that can be known to be wrong of the records is."""
        kept = vars(self).setdefault("_filled", {})
        if split not in kept:
            written = parts(self.template)
            needed = [("template", field) for _, field in written if field is not None] + [
                ("answer", self.answer)
            ]
            questions = []
            for index, record in enumerate(self.data.split(split) or ()):
                for setting, field in needed:
                    if field not in record:
                        known = ", ".join(map(str, record)) or "none"
                        raise ValueError(
                            f"{self._where(index, split)}: {setting}: no field {field!r}; its fields: {known}"
                        )
                try:
                    prompt = filled(written, record)
                except ValueError as error:
                    raise ValueError(f"{self._where(index, split)}: {error}") from None
                try:
                    check_reference(self.score, record[self.answer])
                    self._check_stop(record[self.answer])
                except (OSError, MemoryError):
                    raise
                except Exception as error:  # a check may be a user's own
                    kind = (
                        ""
                        if isinstance(error, ValueError)
                        else f"check raised {type(error).__name__}: "
                    )
                    raise ValueError(
                        f"{self._where(index, split)}: {self.answer}: {kind}{error}"
                    ) from error
                questions.append((prompt, record[self.answer]))
            kept[split] = questions
        return kept[split]

    def _check_stop(self, reference: Any) -> None:
        """Refuses what no response can be word for word, as it would end before.

        Raises:
            ValueError: if a text of `stop` is in the reference.
        """
        if self.score is exact:
            _, end = cut(
                str(reference).strip(),
                [self.stop] if isinstance(self.stop, str) else self.stop or (),
            )
            if end:
                raise ValueError(
                    f"{shown(reference)} has {end!r} in it, where stop ends each answer"
                )

    def _check_special(self, tokenizer: Any, split: str) -> None:
        """Refuses what no response can be word for word, as special tokens are taken out of it.

        Raises:
            ValueError: if one is in a reference, and nothing is extracted.
        """
        if self.score is not exact or self.extract is not None:
            return
        special = list(special_tokens(tokenizer).values())
        for index, (_, reference) in enumerate(self._questions(split)):
            _, token = cut(str(reference), special)
            if token:
                raise ValueError(
                    f"{self._where(index, split)}: {self.answer}: {shown(reference)} has the special token {token!r} in it, "
                    f"which is left out of an answer; set extract, such as '({re.escape(token)})'"
                )

    def _where(self, index: int, split: str) -> str:
        """Names a datapoint."""
        return datapoint_name(self.data, index, split)

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, prompts do not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def parts(template: str) -> list[tuple[str, str | None]]:
    """The texts of a template, each with the field that follows it, None at its end.

    Raises:
        ValueError: if a brace is broken, more than a field's name stands in one, or half a character is in it.
    """
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise ValueError(
            f"template: {error} in {template!r}; a brace that is no field's is doubled"
        ) from None
    try:
        check_readable(template)
    except ValueError as error:
        raise ValueError(f"template: {error}") from None
    for _, field, form, conversion in parsed:
        if field == "" or form or conversion:
            raise ValueError(
                f"template: expected names of fields alone in braces, got {template!r}"
            )
    return [(text, field) for text, field, _, _ in parsed]


def pattern(extract: str | None) -> re.Pattern[str] | None:
    """An expression, compiled.

    Raises:
        ValueError: if it is none.
    """
    try:
        return None if extract is None else re.compile(extract, re.DOTALL)
    except re.error as error:
        raise ValueError(f"extract: not a regular expression ({error}): {extract!r}") from None


def extracted(response: Response | str, extract: str | None) -> str:
    """What counts in a response: the last match of the expression, or its first group; the whole of it if that is None."""
    read = Response(response, response) if isinstance(response, str) else response
    compiled = pattern(extract)
    return read.text if compiled is None else read.extracted(compiled)
