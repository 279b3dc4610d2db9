"""Scores of a language model on a task of lm-eval, by that task's own metric."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cached_property
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from fitness.batching import ran_out
from fitness.generation import LanguageModel
from fitness.lm_eval_library import wrap
from fitness.task_answers import answer
from fitness.tasks import PARTS, Requests, Task

log = logging.getLogger(__name__)

SPLITS = ("train", "test", "validation")


class Harness:
    """One score for each document of one task of lm-eval.

    Prompts, filters and metrics are lm-eval's: the same model, task and documents give what its
    `simple_evaluate` logs of each sample. The prompts of a split are made together, once, so a
    document's few-shot examples do not depend on who is asked with it. A prompt that is longer than
    the model can take loses its beginning, as it does there. Several tasks go side by side with
    `fitness.combined.Combined`.
    """

    _lm: _Wrapped | None = None

    def __init__(
        self,
        task: str,
        metric: str | None = None,
        *,
        train: str | None = "validation",
        test: str | None = "test",
        validation: str | None = None,
        include_path: str | Path | None = None,
        num_fewshot: int | None = None,
        apply_chat_template: bool = False,
        system_instruction: str | None = None,
        gen_kwargs: Mapping[str, Any] | None = None,
        batch: int = 16,
        seed: int = 0,
    ) -> None:
        """Settings only; the task and its data are loaded on first use.

        Args:
            task: its name, such as "arc_easy" or "gsm8k".
            metric: one that scores each sample in [0, 1], with its filter if not the first:
                "acc_norm", "exact_match,flexible-extract". The task's first such if None.
            train: which of the task's documents are ours to train on: "training", "validation" or
                "test", all of them or a range: "validation[:500]".
            test: likewise, to test on; None for no such split.
            validation: likewise, to choose the best on.
            include_path: a folder with task YAMLs of one's own. A task that is found there loads
                without a look at lm-eval's own.
            num_fewshot: solved examples before each prompt; the task's own number if None.
            apply_chat_template: whether prompts are conversations in the tokenizer's chat template.
            system_instruction: as lm-eval has it.
            gen_kwargs: changes to the task's way of generating, such as {max_gen_toks: 128}.
            batch: prompts that the model reads side by side. It is halved, for good, where memory
                runs out.
            seed: of what is drawn where the task samples its answers.

        Raises:
            ValueError: if a setting is out of its range.
        """
        # a range that is none is refused before a run begins, not when the task is loaded
        for name, text in zip(SPLITS, (train, test, validation), strict=True):
            _part_and_slice(name, text)
        if batch < 1:
            raise ValueError(f"batch: expected at least 1, got {batch}")
        if num_fewshot is not None and num_fewshot < 0:
            raise ValueError(f"num_fewshot: expected 0 or more, got {num_fewshot}")
        self.task = task
        self.metric = metric
        self.train = train
        self.test = test
        self.validation = validation
        self.include_path = include_path
        self.num_fewshot = num_fewshot
        self.apply_chat_template = apply_chat_template
        self.system_instruction = system_instruction
        self.gen_kwargs = gen_kwargs
        self.batch = batch
        self.seed = seed

    @property
    def name(self) -> str:
        """The task's name."""
        return self.task

    def size(self, split: str) -> int:
        """As `Fitness.size`.

        Raises:
            ImportError: if lm-eval is not installed.
            ValueError: if lm-eval has no such task, the task no such metric or documents, two
                splits share documents, or a document has no right answer among its choices.
        """
        stretches = self._loaded.stretches
        if split not in stretches:
            return 0
        return len(stretches[split].places)

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            MemoryError: if there is no memory for one prompt.
            ValueError: if the metric gives a sample something else than a number in [0, 1].
        """
        loaded = self._loaded
        answered = self._answered(model, datapoints, split)
        scores = loaded.task.scores(answered, loaded.metric, loaded.filter)
        return np.array(scores, dtype=np.float32)  # (B,)

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its prompt, the expected answer, the model's and the score."""
        loaded = self._loaded
        answered = self._answered(model, datapoints, split)
        scores = loaded.task.scores(answered, loaded.metric, loaded.filter)
        entries = []
        for requests, score in zip(answered, scores, strict=True):
            entries.append({**loaded.task.shown(requests, loaded.filter), "score": score})
        return entries

    def _answered(
        self, language: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[Requests]:
        """The requests of these documents, and no others, with the model's answers."""
        loaded = self._loaded
        # None in the config is a split that is not wanted
        if split not in loaded.stretches:
            raise ValueError(
                f"{split}: the task {self.task!r} has no such split here; "
                f"it has {', '.join(loaded.stretches)}"
            )
        part, places = loaded.stretches[split]
        wrapped = self._wrapped(language)
        # all requests of a part are made at once, as examples are drawn document after document
        if part not in wrapped.requests:
            wrapped.requests[part] = loaded.task.requests(
                part, wrapped.lm, self.apply_chat_template, self.system_instruction
            )
        indices = datapoints.tolist()
        asked = [wrapped.requests[part][places[index]] for index in indices]
        # what is sampled depends on the tile alone, not on what was asked before it
        sequence = np.random.SeedSequence([self.seed, SPLITS.index(split), *indices])
        return self._answer(wrapped.lm, asked, int(sequence.generate_state(1)[0]))

    def _answer(self, lm: Any, asked: list[Requests], seed: int) -> list[Requests]:
        """The answers of the model, in batches that shrink where memory runs out."""
        while asked:
            try:
                return answer(self._loaded.task.task, lm, asked, seed)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                if lm.batch_size == 1:
                    raise MemoryError(
                        f"batch: there is no memory for one prompt of the task {self.task!r}"
                    ) from None
            # outside the handler, where the error no longer holds on to what filled the memory
            lm.batch_size_per_gpu = lm.batch_size // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            log.warning(
                "memory ran out; from here on %d prompts of %s are read side by side, and this run "
                "may differ from others of the same config in a bit here and there",
                lm.batch_size,
                self.task,
            )
        return []

    def _wrapped(self, language: LanguageModel) -> _Wrapped:
        """The model as lm-eval has it, made anew only for another resident model."""
        if self._lm is None or not self._lm.wraps(language):
            model = language.model
            tokenizer = language.tokenizer
            self._lm = _Wrapped(model, tokenizer, wrap(model, tokenizer, self.batch), {})
        return self._lm

    @cached_property
    def _loaded(self) -> _Loaded:
        """The task, its metric, and the stretch of each split."""
        task = Task(self.task, self.include_path, self.num_fewshot, self.gen_kwargs)
        metric, filter = task.metric(self.metric)
        return _Loaded(task, metric, filter, self._stretches(task))

    def _stretches(self, task: Task) -> dict[str, _Stretch]:
        """The stretch of each split, held against what there is and against the others."""
        data_splits = task.splits()
        stretches = {}
        for name, text in zip(SPLITS, (self.train, self.test, self.validation), strict=True):
            chosen = _part_and_slice(name, text)
            if chosen is None:
                continue
            part, cut = chosen
            # many tasks have no training documents: a range of others then serves as such
            if part not in data_splits:
                raise ValueError(
                    f"{name}: the task {self.task!r} has no {part} documents, only "
                    f"{' and '.join(data_splits)}; a range divides them, "
                    f"such as {list(data_splits)[-1]}[:100]"
                )
            size = len(task.documents(part))
            places = range(size)[cut]
            if not places:
                raise ValueError(
                    f"{name}: {text} is empty, the task {self.task!r} has {size} {part} documents"
                )
            task.check(part, places)
            stretches[name] = _Stretch(part, places)
        # a model that is judged by what it was bred on looks better than it is
        for one, other in combinations(stretches, 2):
            first, second = stretches[one], stretches[other]
            # parts of different names may be the same split of the data set
            shared = range(
                max(first.places.start, second.places.start),
                min(first.places.stop, second.places.stop),
            )
            if data_splits[first.part] == data_splits[second.part] and shared:
                middle = first.places.start + len(first.places) // 2
                raise ValueError(
                    f"{one} and {other}: both take documents {shared.start} to {shared.stop - 1} "
                    f"of the task's split {data_splits[first.part]!r}; divide them, such as "
                    f"{one}: {first.part}[:{middle}], {other}: {first.part}[{middle}:]"
                )
        return stretches

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, the task and the wrapped model do not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


class _Stretch(NamedTuple):
    """The documents of a split of ours: a part of the task, and the places in it."""

    part: str
    places: range


class _Loaded(NamedTuple):
    """A task with the metric that scores it, and the stretch of each split of ours."""

    task: Task
    metric: str
    filter: str
    stretches: dict[str, _Stretch]


class _Wrapped(NamedTuple):
    """A resident model as lm-eval has it, and the requests made for its tokenizer, by part."""

    model: Any
    tokenizer: Any
    lm: Any
    requests: dict[str, list[Requests]]

    def wraps(self, language: LanguageModel) -> bool:
        """Whether it is this model and this tokenizer: weights may change in place."""
        return self.model is language.model and self.tokenizer is language.tokenizer


def _part_and_slice(name: str, text: str | None) -> tuple[str, slice] | None:
    """Part and range of a text such as "validation[:500]"; None for no such split."""
    if text is None:
        return None
    match = re.fullmatch(rf"({'|'.join(PARTS)})(?:\[(\d*):(\d*)\])?", text)
    if match is None:
        raise ValueError(
            f"{name}: expected {', '.join(PARTS)}, or a range such as validation[:500], "
            f"got {text!r}"
        )
    part, start, stop = match.groups()
    # an end that is left open, or no range at all, is None to a slice
    ends = [int(end) if end else None for end in (start, stop)]
    return part, slice(*ends)
