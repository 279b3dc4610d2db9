"""A task of lm-eval: its documents, their requests to a model, and what each answer is worth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from fitness.lm_eval_library import compares_its_own_way, load_task, quiet, seeded, seeds
from fitness.messages import shown
from fitness.readable import check_readable
from fitness.task_metrics import choose_metric

PARTS = ("training", "validation", "test")
"""The documents that a task of lm-eval may have."""

Requests: TypeAlias = list[Any]
"""What one document asks of a model: lm_eval's instances, one for each choice or one in all."""


class Task:
    """One task, as lm-eval itself loads it.

    It has the seeds that lm-eval sets, so its few-shot examples are lm-eval's own.
    """

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
            ValueError: if there is no such task, or lm-eval cannot load it, or it is of a kind
                that cannot be scored.
        """
        self.name = name
        self.task = load_task(name, include_path)
        self._documents: dict[str, list[Any]] = {}
        _check_kind(self.task, name)
        self._set_fewshot(num_fewshot)
        self._set_generation(gen_kwargs)

    def splits(self) -> dict[str, str]:
        """The parts that it has, each with the name of the data set's split behind it.

        Two parts may share one split.
        """
        task = self.task
        # lm-eval calls a part by its role, and its data set may call it by any name
        there = (task.has_training_docs(), task.has_validation_docs(), task.has_test_docs())
        splits = {}
        for part, has_documents in zip(PARTS, there, strict=True):
            if has_documents:
                splits[part] = getattr(task.config, f"{part}_split", None) or part
        return splits

    def documents(self, part: str) -> list[Any]:
        """The documents of a part, in lm-eval's order."""
        if part not in self._documents:
            with seeded(*seeds()), quiet():
                self._documents[part] = list(getattr(self.task, f"{part}_docs")())
        return self._documents[part]

    def check(self, part: str, places: Sequence[int]) -> None:
        """Holds the right choice of some documents against their choices, as lm-eval will.

        Args:
            part: of which the documents are.
            places: the documents.

        Raises:
            ValueError: if none of a document's choices is right, as where a test set came without
                its labels: -1, or nothing.
        """
        task = self.task
        # a task with a way of its own to compare knows what it compares
        if compares_its_own_way(task) or task.OUTPUT_TYPE != "multiple_choice":
            return
        for place in places:
            document = self.documents(part)[place]
            choices = task.doc_to_choice(document)
            right = task.doc_to_target(document)
            # some tasks have several right choices
            answers = right if isinstance(right, list) else [right]
            if not any(_is_choice(answer, choices) for answer in answers):
                raise ValueError(
                    f"task: document {place} of the {part} documents of {self.name!r}: expected "
                    f"its right answer among its {len(choices)} choices, got {shown(right)}"
                )

    def metric(self, wanted: str | None) -> tuple[str, str]:
        """A metric and its filter, as `fitness.task_metrics.choose_metric`."""
        return choose_metric(self.task, self.name, wanted)

    def requests(
        self, part: str, lm: Any, apply_chat_template: bool, system_instruction: str | None
    ) -> list[Requests]:
        """What each document of a part asks.

        The few-shot examples are drawn as lm-eval draws them when it scores all of that part. Only
        on the part that lm-eval itself scores may a document be among its own examples, where
        lm-eval lets it.

        Args:
            part: of which the documents are.
            lm: the model as `fitness.lm_eval_library.wrap` gives it.
            apply_chat_template: whether prompts are conversations in its tokenizer's template.
            system_instruction: as lm-eval has it.

        Raises:
            ValueError: if half a character is in a prompt, which no tokenizer can read.
        """
        task = self.task
        template: dict[str, Any] = {"apply_chat_template": apply_chat_template}
        template["chat_template"] = None
        if apply_chat_template:
            template["chat_template"] = lm.apply_chat_template
        made = []
        python, others = seeds()
        # all documents in one go and in order: each draws its examples from the same generator
        with quiet(), seeded(python, others), self._held_out(part):
            task.set_fewshot_seed(others)
            for place, document in enumerate(self.documents(part)):
                context = task.fewshot_context(
                    document,
                    num_fewshot=task.config.num_fewshot or 0,
                    system_instruction=system_instruction,
                    fewshot_as_multiturn=True,
                    gen_prefix=task.doc_to_prefix(document),
                    **template,
                )
                asked = task.construct_requests(
                    doc=document,
                    ctx=context,
                    metadata=(self.name, place, task.config.repeats),
                    **template,
                )
                # a task makes one request of a document, or a list of them
                requests = asked if isinstance(asked, list) else [asked]
                self._check_texts(requests, part, place)
                made.append(requests)
        return made

    def scores(self, answered: Sequence[Requests], metric: str, filter: str) -> list[float]:
        """What the metric gives each document's answers.

        Raises:
            ValueError: if that is no number in [0, 1].
        """
        scores = []
        for requests in answered:
            document = requests[0].doc
            answers = [request.filtered_resps[filter] for request in requests]
            with quiet():
                values = self.task.process_results(document, answers)
            value = values.get(metric)
            # lm-eval's metrics may be any numbers, and competition needs scores in [0, 1]
            if not isinstance(value, int | float | np.bool_ | np.number) or not 0 <= value <= 1:
                problem = f"is not among {', '.join(values)}"
                if metric in values:
                    problem = f"gives document {requests[0].doc_id} {value!r}"
                raise ValueError(
                    f"metric: expected a score in [0, 1] of each sample, but {metric!r} of "
                    f"{self.name!r} {problem}"
                )
            scores.append(float(value))
        return scores

    def shown(self, requests: Requests, filter: str) -> dict[str, Any]:
        """The prompt of an answered document, the expected answer, and the model's.

        The model's answer is the choice that it finds most likely, or what it wrote.
        """
        first = requests[0]
        expected = self.task.doc_to_target(first.doc)
        answer = first.filtered_resps[filter]
        # here the answer is a likelihood for each choice, which says nothing to a reader
        if self.task.OUTPUT_TYPE == "multiple_choice":
            choices = self.task.doc_to_choice(first.doc)
            likelihoods = [request.filtered_resps[filter][0] for request in requests]
            # there may be several requests for each choice, in rounds of all choices
            answer = choices[int(np.argmax(likelihoods)) % len(choices)]
            if isinstance(expected, int) and 0 <= expected < len(choices):
                expected = choices[expected]
        return {"prompt": first.args[0], "expected": expected, "answer": answer}

    def _set_fewshot(self, num_fewshot: int | None) -> None:
        """Sets the number of examples, where it is not the task's own."""
        fixed = self.task.config.num_fewshot
        if num_fewshot is None or num_fewshot == fixed:
            return
        # lm-eval would go on with 0 and say nothing
        if fixed == 0:
            raise ValueError(
                f"num_fewshot: {self.name!r} sets it to 0 itself, and lm-eval keeps that; "
                f"got {num_fewshot}"
            )
        self.task.set_config("num_fewshot", num_fewshot)

    def _set_generation(self, gen_kwargs: Mapping[str, Any] | None) -> None:
        """Changes the task's way of generating."""
        if not gen_kwargs:
            return
        kind = self.task.OUTPUT_TYPE
        if kind != "generate_until":
            raise ValueError(
                f"gen_kwargs: {self.name!r} generates nothing, its requests are {kind}"
            )
        # what the config does not name stays as the task has it
        settings = {**self.task.config.generation_kwargs, **gen_kwargs}
        self.task.set_config("generation_kwargs", settings)

    def _check_texts(self, requests: Requests, part: str, place: int) -> None:
        """Refuses the requests of a document with a text that no tokenizer can read."""
        for argument in chain.from_iterable(request.args for request in requests):
            if not isinstance(argument, str):
                continue
            try:
                check_readable(argument)
            except ValueError as error:
                raise ValueError(
                    f"task: document {place} of the {part} documents of {self.name!r}: {error}"
                ) from None

    @contextmanager
    def _held_out(self, part: str) -> Iterator[None]:
        """Keeps a document from its own examples, except on the part that lm-eval scores."""
        splits = self.splits()
        shots = getattr(self.task, "fewshot_cfg", None)
        scored = "test"
        if "test" not in splits:
            scored = "validation"
        # there lm-eval itself decides, and its samples are what ours are to be like
        if shots is None or part == scored:
            yield
            return
        examples_split = shots.split
        test_split = self.task.config.test_split
        # where these two are the same, lm-eval takes the document out of its examples
        shots.split = splits[part]
        self.task.config.test_split = splits[part]
        try:
            yield
        finally:
            shots.split = examples_split
            self.task.config.test_split = test_split


def _check_kind(task: Any, name: str) -> None:
    """Refuses a task that gives no score of a sample, or asks for more than text.

    Raises:
        ValueError: if it is one of these.
    """
    if task.OUTPUT_TYPE == "loglikelihood_rolling":
        raise ValueError(
            f"task: {name!r} measures the likelihood of whole texts, which is no score in [0, 1] "
            f"of a sample"
        )
    if getattr(task, "MULTIMODAL", False):
        raise ValueError(f"task: {name!r} shows more than text, which a language model cannot read")
    if getattr(task, "UNSAFE_CODE", False):
        raise ValueError(f"task: {name!r} runs code that the model wrote, which is not done here")


def _is_choice(answer: Any, choices: Sequence[Any]) -> bool:
    """Whether an answer, a choice or the number of one, is among the choices."""
    if isinstance(answer, int):
        return answer in range(len(choices))
    return answer in choices
