"""A task of lm-eval: its documents, the requests they make of a model, and what each answer is worth. lm_eval's only home."""

from __future__ import annotations

import copy
import dataclasses
import difflib
import logging
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch

from fitness.families import companies, positions_of
from fitness.records import check_readable, shown

PARTS = ("training", "validation", "test")
"""The documents that a task of lm-eval may have."""

UNLIMITED = 2**30
"""Tokens that a model can take whose config has no limit, as lm-eval is told."""

Requests: TypeAlias = list[Any]
"""What one document asks of a model: lm_eval's instances, one for each choice or one in all."""


class Task:
    """One task, as lm-eval itself loads it, with the seeds that lm-eval sets: its few-shot examples are lm-eval's own."""

    def __init__(
        self,
        name: str,
        include_path: str | Path | None,
        num_fewshot: int | None,
        gen_kwargs: Mapping[str, Any] | None,
    ) -> None:
        """Loads the task and its data; arguments as `fitness.harness.Harness` has them.

        Raises:
            ImportError: if lm-eval is not installed.
            ValueError: if there is no such task, or lm-eval cannot load it, or it is of a kind that cannot be scored.
        """
        self.name, self.include_path = name, include_path
        self._documents: dict[str, list[Any]] = {}
        with seeded(*_seeds()), quiet():
            self.task = self._load()
        config = self.task.config
        kind = self.task.OUTPUT_TYPE
        if kind == "loglikelihood_rolling":
            raise ValueError(
                f"task: {name!r} measures the likelihood of whole texts, which is no score in [0, 1] of a sample"
            )
        if getattr(self.task, "MULTIMODAL", False):
            raise ValueError(
                f"task: {name!r} shows more than text, which a language model cannot read"
            )
        if getattr(self.task, "UNSAFE_CODE", False):
            raise ValueError(
                f"task: {name!r} runs code that the model wrote, which is not done here"
            )
        if num_fewshot is not None and num_fewshot != config.num_fewshot:
            if config.num_fewshot == 0:
                raise ValueError(
                    f"num_fewshot: {name!r} sets it to 0 itself, and lm-eval keeps that; got {num_fewshot}"
                )
            self.task.set_config("num_fewshot", num_fewshot)
        if gen_kwargs:
            if kind != "generate_until":
                raise ValueError(f"gen_kwargs: {name!r} generates nothing, its requests are {kind}")
            self.task.set_config("generation_kwargs", {**config.generation_kwargs, **gen_kwargs})

    def splits(self) -> dict[str, str]:
        """The parts that it has, each with the name of the data set's split behind it: two parts may share one."""
        has = (
            self.task.has_training_docs(),
            self.task.has_validation_docs(),
            self.task.has_test_docs(),
        )
        return {
            part: getattr(self.task.config, f"{part}_split", None) or part
            for part, here in zip(PARTS, has, strict=True)
            if here
        }

    def documents(self, part: str) -> list[Any]:
        """The documents of a part, in lm-eval's order."""
        if part not in self._documents:
            with seeded(*_seeds()), quiet():
                self._documents[part] = list(getattr(self.task, f"{part}_docs")())
        return self._documents[part]

    def check(self, part: str, places: Sequence[int]) -> None:
        """Holds the right choice of some documents of a part against their choices, where lm-eval itself compares them.

        Raises:
            ValueError: if none of a document's choices is right, as where a test set came without its labels: -1, or nothing.
        """
        from lm_eval.api.task import ConfigurableTask

        task = self.task
        # a task with a way of its own to compare knows what it compares
        own = getattr(type(task), "process_results", None) is not ConfigurableTask.process_results
        own = own or task.config.process_results is not None or task.multiple_input
        if own or task.OUTPUT_TYPE != "multiple_choice":
            return
        for place in places:
            doc = self.documents(part)[place]
            choices, right = task.doc_to_choice(doc), task.doc_to_target(doc)
            several = right if isinstance(right, list) else [right]
            here = [
                one in range(len(choices)) if isinstance(one, int) else one in choices
                for one in several
            ]
            if not any(here):
                raise ValueError(
                    f"task: document {place} of the {part} documents of {self.name!r}: expected its right answer among "
                    f"its {len(choices)} choices, got {shown(right)}"
                )

    def metric(self, wanted: str | None) -> tuple[str, str]:
        """A metric and its filter, held against what the task has.

        Args:
            wanted: "metric" or "metric,filter"; the first that gives each sample a score if None. The first filter if none is named.

        Raises:
            ValueError: if the task has no such metric or filter, or it is none of single samples.
        """
        filters = [ensemble.name for ensemble in self.task._filters]
        faults = {metric: self._fault(metric) for metric in self.task.aggregation()}
        has = f"the task {self.name!r} has {', '.join(metric + fault for metric, fault in faults.items())}"
        has += f"; each with the filter {' or '.join(filters)}"
        if wanted is None:
            fit = [metric for metric, fault in faults.items() if not fault]
            if not fit:
                raise ValueError(f"metric: none gives each sample a score in [0, 1]: {has}")
            return fit[0], filters[0]
        metric, _, filter = wanted.partition(",")
        if metric not in faults or (filter or filters[0]) not in filters:
            raise ValueError(f"metric: expected a metric, or metric,filter, got {wanted!r}; {has}")
        if faults[metric]:
            raise ValueError(
                f"metric: expected a score in [0, 1] of each sample, got {wanted!r}; {has}"
            )
        return metric, filter or filters[0]

    def requests(
        self, part: str, lm: Any, apply_chat_template: bool, system_instruction: str | None
    ) -> list[Requests]:
        """What each document of a part asks, the few-shot examples drawn as lm-eval draws them when it scores all of that part.

        Only on the part that lm-eval itself scores may a document be among its own examples, where lm-eval lets it.

        Raises:
            ValueError: if half a character is in a prompt, which no tokenizer can read.
        """
        task, name = self.task, self.name
        template = {
            "apply_chat_template": apply_chat_template,
            "chat_template": lm.apply_chat_template if apply_chat_template else None,
        }
        made = []
        python, others = _seeds()
        with quiet(), seeded(python, others), self._held_out(part):
            task.set_fewshot_seed(others)
            for place, doc in enumerate(self.documents(part)):
                context = task.fewshot_context(
                    doc,
                    num_fewshot=task.config.num_fewshot or 0,
                    system_instruction=system_instruction,
                    fewshot_as_multiturn=True,
                    gen_prefix=task.doc_to_prefix(doc),
                    **template,
                )
                asked = task.construct_requests(
                    doc=doc, ctx=context, metadata=(name, place, task.config.repeats), **template
                )
                made.append(asked if isinstance(asked, list) else [asked])
                for text in [
                    text for request in made[-1] for text in request.args if isinstance(text, str)
                ]:
                    try:
                        check_readable(text)
                    except ValueError as error:
                        raise ValueError(
                            f"task: document {place} of the {part} documents of {name!r}: {error}"
                        ) from None
        return made

    def answer(self, lm: Any, asked: Sequence[Requests], seed: int) -> list[Requests]:
        """The same requests with the model's answers, raw and filtered."""
        answered = [[_fresh(request) for request in requests] for requests in asked]
        flat = [request for requests in answered for request in requests]
        with quiet(), seeded(seed, seed):
            for kind in dict.fromkeys(request.request_type for request in flat):
                queue = [
                    request
                    for request in flat
                    if request.request_type == kind
                    for _ in range(request.repeats or 1)
                ]
                for company in _companies(lm, kind, queue):
                    for request, response in zip(
                        company, getattr(lm, kind)(company, disable_tqdm=True), strict=True
                    ):
                        request.resps.append(response)
            self.task._instances = flat
            self.task.apply_filters()
        return answered

    def scores(self, answered: Sequence[Requests], metric: str, filter: str) -> list[float]:
        """What the metric gives each document's answers.

        Raises:
            ValueError: if that is no number in [0, 1].
        """
        scores = []
        for requests in answered:
            first = requests[0]
            with quiet():
                values = self.task.process_results(
                    first.doc, [request.filtered_resps[filter] for request in requests]
                )
            value = values.get(metric)
            if not isinstance(value, int | float | np.bool_ | np.number) or not 0 <= value <= 1:
                shown = (
                    f"gives document {first.doc_id} {value!r}"
                    if metric in values
                    else f"is not among {', '.join(values)}"
                )
                raise ValueError(
                    f"metric: expected a score in [0, 1] of each sample, but {metric!r} of {self.name!r} {shown}"
                )
            scores.append(float(value))
        return scores

    def shown(self, requests: Requests, filter: str) -> dict[str, Any]:
        """The prompt of an answered document, the expected answer, and the model's: the most likely choice, or what it wrote."""
        doc, first = requests[0].doc, requests[0]
        expected, answer = self.task.doc_to_target(doc), first.filtered_resps[filter]
        if self.task.OUTPUT_TYPE == "multiple_choice":
            likely = int(np.argmax([request.filtered_resps[filter][0] for request in requests]))
            choices = self.task.doc_to_choice(doc)
            answer = choices[likely % len(choices)]
            expected = (
                choices[expected]
                if isinstance(expected, int) and 0 <= expected < len(choices)
                else expected
            )
        return {"prompt": first.args[0], "expected": expected, "answer": answer}

    def _load(self) -> Any:
        """lm-eval's own object."""
        if self.include_path is not None and not Path(self.include_path).is_dir():
            raise ValueError(f"include_path: there is no folder {self.include_path}")
        manager = None if self.include_path is None else _manager(str(self.include_path), False)
        if (
            manager is None or self.name not in manager.all_tasks
        ):  # lm-eval's own are many, and slow to look through
            manager = _manager(None if self.include_path is None else str(self.include_path), True)
        if self.name in manager.all_groups or self.name in manager.all_tags:
            raise ValueError(
                f"task: {self.name!r} is a group of tasks; name one, or several side by side (fitness.combined.Combined)"
            )
        if self.name not in manager.all_subtasks:
            near = difflib.get_close_matches(self.name, manager.all_subtasks, 3)
            hint = f"; the nearest are {', '.join(map(repr, near))}" if near else ""
            raise ValueError(f"task: lm-eval has no task {self.name!r}{hint}")
        try:
            return next(iter(manager.load([self.name])["tasks"].values()))
        except Exception as error:  # a task is a program of its author's
            raise ValueError(
                f"task: lm-eval cannot load {self.name!r}: {type(error).__name__}: {error}"
            ) from error

    def _fault(self, metric: str) -> str:
        """Why a metric is none that could be a fitness; nothing if it may be one."""
        from lm_eval.api.registry import AGGREGATION_REGISTRY

        how = self.task.aggregation()[metric]
        known = next(
            (name for name, function in AGGREGATION_REGISTRY.items() if function is how), "mean"
        )
        if known not in ("mean", "nanmean", "median"):
            return " (taken over all samples together)"
        return "" if self.task.higher_is_better().get(metric, True) else " (less is better)"

    @contextmanager
    def _held_out(self, part: str) -> Iterator[None]:
        """Keeps a document from its own examples, except on the part that lm-eval scores."""
        has, shots = self.splits(), getattr(self.task, "fewshot_cfg", None)
        if shots is None or part == ("test" if "test" in has else "validation"):
            yield
            return
        kept = shots.split, self.task.config.test_split
        shots.split = self.task.config.test_split = has[
            part
        ]  # where these are the same, lm-eval takes the document out
        try:
            yield
        finally:
            shots.split, self.task.config.test_split = kept


def wrap(model: Any, tokenizer: Any, batch: int) -> Any:
    """A resident model as lm-eval has models; what lm-eval changes of a tokenizer, it changes of a copy."""
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise _missing(error) from None
    # lm-eval itself takes a config's number as it stands, and 2,048 where there is none
    longest = positions_of(model) or UNLIMITED
    with quiet():
        return HFLM(
            pretrained=model,
            tokenizer=copy.deepcopy(tokenizer),
            batch_size=batch,
            max_length=longest,
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without the bars of `datasets` and what lm-eval logs below an error."""
    import datasets

    log, bars = logging.getLogger("lm_eval"), datasets.are_progress_bars_disabled()
    level = log.level
    log.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        log.setLevel(level)
        if not bars:
            datasets.enable_progress_bars()


@contextmanager
def seeded(python: int, others: int) -> Iterator[None]:
    """With random, numpy and torch at these seeds; all three go on afterwards as if nothing had been."""
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
    with torch.random.fork_rng(devices):
        random.seed(python)
        np.random.seed(others)  # noqa: NPY002
        torch.default_generator.manual_seed(others)
        if devices:
            torch.cuda.manual_seed_all(others)
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002


def _seeds() -> tuple[int, int]:
    """lm-eval's own, for random and for all others."""
    try:
        from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
    except ImportError as error:
        raise _missing(error) from None
    return DEFAULT_RANDOM_SEED, DEFAULT_OTHER_SEED


@lru_cache(maxsize=4)
def _manager(include_path: str | None, include_defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path, include_defaults=include_defaults)


def _fresh(request: Any) -> Any:
    """A request that nobody has answered yet."""
    return dataclasses.replace(
        request, arguments=copy.deepcopy(request.arguments), resps=[], filtered_resps={}
    )


def _companies(lm: Any, kind: str, queue: Requests) -> list[Requests]:
    """The requests that are put to a model together: lm-eval pads prompts of generation on the left, which some models read."""
    if kind != "generate_until" or len(companies(lm.model, [1, 2])) == 1:
        return [queue]
    lengths = [lm.tok_batch_encode([request.args[0]])[0].shape[1] for request in queue]
    return [[queue[place] for place in places] for places in companies(lm.model, lengths)]


def _missing(error: ImportError) -> ImportError:
    return ImportError(
        f"tasks of lm-eval need the package lm-eval: pip install 'evomerge[lm-eval]' ({error})"
    )
