"""Scores of a language model on a task of lm-eval, each document's own metric as lm-eval computes it."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitness.batching import ran_out
from fitness.generation import LanguageModel
from fitness.tasks import PARTS, Requests, Task, wrap

log = logging.getLogger(__name__)

SPLITS = ("train", "test", "validation")


class Harness:
    """One score for each document of one task of lm-eval, which knows its prompts, filters and metrics.

    The same model, task and documents give what lm-eval's `simple_evaluate` logs of each sample. The prompts of a split are made
    together, once, so a document's few-shot examples do not depend on who is asked with it. A prompt that is longer than the model
    can take loses its beginning, as it does there. Several tasks go side by side with `fitness.combined.Combined`.
    """

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
            metric: one that scores each sample in [0, 1], with its filter if not the first: "acc_norm",
                "exact_match,flexible-extract". The task's first such if None.
            train: which of the task's documents are ours to train on: "training", "validation" or "test", all of them or a range:
                "validation[:500]".
            test: likewise, to test on; None for no such split.
            validation: likewise, to choose the best on.
            include_path: a folder with task YAMLs of one's own. A task that is found there loads without a look at lm-eval's own.
            num_fewshot: solved examples before each prompt; the task's own number if None.
            apply_chat_template: whether prompts are conversations in the tokenizer's chat template.
            system_instruction: as lm-eval has it.
            gen_kwargs: changes to the task's way of generating, such as {max_gen_toks: 128}.
            batch: prompts that the model reads side by side. It is halved, for good, where memory runs out.
            seed: of what is drawn where the task samples its answers.

        Raises:
            ValueError: if a setting is out of its range.
        """
        for name, chosen in zip(SPLITS, (train, test, validation), strict=True):
            _chosen(name, chosen)
        if batch < 1:
            raise ValueError(f"batch: expected at least 1, got {batch}")
        if num_fewshot is not None and num_fewshot < 0:
            raise ValueError(f"num_fewshot: expected 0 or more, got {num_fewshot}")
        self.task, self.metric, self.train, self.test, self.validation = (
            task,
            metric,
            train,
            test,
            validation,
        )
        self.include_path, self.num_fewshot = include_path, num_fewshot
        self.apply_chat_template, self.system_instruction, self.gen_kwargs = (
            apply_chat_template,
            system_instruction,
            gen_kwargs,
        )
        self.batch, self.seed = batch, seed

    def size(self, split: str) -> int:
        """As `Fitness.size`.

        Raises:
            ImportError: if lm-eval is not installed.
            ValueError: if lm-eval has no such task, the task no such metric or documents, two splits share documents, or a
                document has no right answer among its choices.
        """
        _, _, ranges = self._loaded()
        return len(ranges[split][1]) if split in ranges else 0

    def __call__(self, model: LanguageModel, datapoints: np.ndarray, split: str) -> np.ndarray:
        """As `Fitness.__call__`.

        Raises:
            MemoryError: if there is no memory for one prompt.
            ValueError: if the metric gives a sample something else than a number in [0, 1].
        """
        task, metric, _ = self._loaded()
        return np.array(
            task.scores(self._answered(model, datapoints, split), *metric), dtype=np.float32
        )

    def explain(
        self, model: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[dict[str, Any]]:
        """For each datapoint its prompt, the expected answer, the model's and the score."""
        task, metric, _ = self._loaded()
        answered = self._answered(model, datapoints, split)
        scores = task.scores(answered, *metric)
        return [
            {**task.shown(requests, metric[1]), "score": score}
            for requests, score in zip(answered, scores, strict=True)
        ]

    def _answered(
        self, language: LanguageModel, datapoints: np.ndarray, split: str
    ) -> list[Requests]:
        """The requests of these documents, and no others, with the model's answers."""
        task, _, ranges = self._loaded()
        if split not in ranges:
            raise ValueError(
                f"{split}: the task {self.task!r} has no such split here; it has {', '.join(ranges)}"
            )
        part, places = ranges[split]
        lm, made = self._wrapped(language)
        if part not in made:
            made[part] = task.requests(part, lm, self.apply_chat_template, self.system_instruction)
        asked = [made[part][places[index]] for index in datapoints.tolist()]
        entropy = [self.seed, SPLITS.index(split), *datapoints.tolist()]
        seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        while asked:
            try:
                return task.answer(lm, asked, seed)
            except (RuntimeError, MemoryError) as error:
                if not ran_out(error):
                    raise
                if lm.batch_size == 1:
                    raise MemoryError(
                        f"batch: there is no memory for one prompt of the task {self.task!r}"
                    ) from None
            lm.batch_size_per_gpu = lm.batch_size // 2
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            log.warning(
                "memory ran out; from here on %d prompts of %s are read side by side, and this run may differ from others of the "
                "same config in a bit here and there", lm.batch_size, self.task
            )  # fmt: skip
        return []

    def _wrapped(self, language: LanguageModel) -> tuple[Any, dict[str, list[Requests]]]:
        """The model as lm-eval has it, and the requests made for its tokenizer; made anew only for another resident model."""
        kept = vars(self).get("_lm")
        if kept is None or kept[0] is not language.model or kept[1] is not language.tokenizer:
            kept = vars(self)["_lm"] = (
                language.model,
                language.tokenizer,
                wrap(language.model, language.tokenizer, self.batch),
                {},
            )
        return kept[2], kept[3]

    def _loaded(self) -> tuple[Task, tuple[str, str], dict[str, tuple[str, range]]]:
        """The task, the metric with its filter, and for each split of ours the task's part and the places in it."""
        kept = vars(self)
        if "_task" not in kept:
            task = Task(self.task, self.include_path, self.num_fewshot, self.gen_kwargs)
            kept["_task"] = task, task.metric(self.metric), self._ranges(task)
        return kept["_task"]

    def _ranges(self, task: Task) -> dict[str, tuple[str, range]]:
        """For each split of ours the task's part and the places in it, held against what there is and against each other."""
        has = task.splits()
        ranges = {}
        for name, text in zip(SPLITS, (self.train, self.test, self.validation), strict=True):
            if (chosen := _chosen(name, text)) is None:
                continue
            part, cut = chosen
            if part not in has:
                raise ValueError(
                    f"{name}: the task {self.task!r} has no {part} documents, only {' and '.join(has)}; a range divides them, "
                    f"such as {list(has)[-1]}[:100]"
                )
            size = len(task.documents(part))
            if not (places := range(size)[cut]):
                raise ValueError(
                    f"{name}: {text} is empty, the task {self.task!r} has {size} {part} documents"
                )
            task.check(part, places)
            ranges[name] = part, places
        for (one, (part, places)), (other, (theirs, others)) in combinations(ranges.items(), 2):
            shared = range(max(places.start, others.start), min(places.stop, others.stop))
            if has[part] == has[theirs] and shared:
                raise ValueError(
                    f"{one} and {other}: both take documents {shared.start} to {shared.stop - 1} of the task's split {has[part]!r}; "
                    f"divide them, such as {one}: {part}[:{places.start + len(places) // 2}], {other}: {part}[{places.start + len(places) // 2}:]"
                )
        return ranges

    def __getstate__(self) -> dict[str, Any]:
        """Settings travel, the task and the wrapped model do not."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}


def _chosen(name: str, text: str | None) -> tuple[str, slice] | None:
    """Part and range of a text such as "validation[:500]"; None for no such split."""
    if text is None:
        return None
    match = re.fullmatch(rf"({'|'.join(PARTS)})(?:\[(\d*):(\d*)\])?", text)
    if match is None:
        raise ValueError(
            f"{name}: expected {', '.join(PARTS)}, or a range such as validation[:500], got {text!r}"
        )
    part, start, stop = match.groups()
    return part, slice(int(start) if start else None, int(stop) if stop else None)
