"""The package lm-eval and what is needed of it: its tasks, its seeds and its wrapper of a model.

No other module imports lm_eval, which takes seconds; it is imported on first use.
"""

from __future__ import annotations

import copy
import difflib
import logging
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fitness.families import positions_of
from fitness.versions import Version, version_of

UNLIMITED = 2**30
"""Stands for no limit where lm-eval wants to know how many tokens a model can take."""


def load_task(name: str, include_path: str | Path | None) -> Any:
    """A task as lm-eval's own object.

    Args:
        name: of the task.
        include_path: a folder with task YAMLs of the user's own.

    Raises:
        ImportError: if lm-eval is not installed.
        ValueError: if there is no such folder or task, or lm-eval cannot load it.
    """
    with seeded(*seeds()), quiet():
        manager = _manager_that_has(name, include_path)
        # a group has several metrics and several lists of documents
        if name in manager.all_groups or name in manager.all_tags:
            raise ValueError(
                f"task: {name!r} is a group of tasks; name one, or several side by side "
                f"(fitness.combined.Combined)"
            )
        if name not in manager.all_subtasks:
            hint = ""
            near = difflib.get_close_matches(name, manager.all_subtasks, 3)
            if near:
                hint = f"; the nearest are {', '.join(map(repr, near))}"
            raise ValueError(f"task: lm-eval has no task {name!r}{hint}")
        # a task is a program of its author's, so any exception may come out of it
        try:
            return next(iter(manager.load([name])["tasks"].values()))
        except Exception as error:
            raise ValueError(
                f"task: lm-eval cannot load {name!r}: {type(error).__name__}: {error}"
            ) from error


def wrap(model: Any, tokenizer: Any, batch: int) -> Any:
    """A resident model as lm-eval has models.

    What lm-eval changes of a tokenizer, it changes of a copy.

    Args:
        model: a causal language model of transformers.
        tokenizer: its tokenizer.
        batch: prompts that it reads side by side.

    Raises:
        ImportError: if lm-eval is not installed.
    """
    try:
        from lm_eval.models.huggingface import HFLM
    except ImportError as error:
        raise _missing(error) from None
    # lm-eval itself takes a config's number as it stands, and 2,048 where there is none
    longest = positions_of(model) or UNLIMITED
    # lm-eval sets a padding token, which must not show in the resident tokenizer
    with quiet():
        return HFLM(
            pretrained=model,
            tokenizer=copy.deepcopy(tokenizer),
            batch_size=batch,
            max_length=longest,
        )


def compares_its_own_way(task: Any) -> bool:
    """Whether a task brings a function of its own that compares answers, in place of lm-eval's."""
    from lm_eval.api.task import ConfigurableTask

    function = getattr(type(task), "process_results", None)
    if function is not ConfigurableTask.process_results:
        return True
    return bool(task.config.process_results is not None or task.multiple_input)


def aggregations() -> Mapping[str, Callable[..., Any]]:
    """The functions by which lm-eval makes one number of all samples', by their names."""
    from lm_eval.api.registry import AGGREGATION_REGISTRY

    return AGGREGATION_REGISTRY


def seeds() -> tuple[int, int]:
    """lm-eval's own seeds: for `random`, and for all others.

    Raises:
        ImportError: if lm-eval is not installed.
    """
    try:
        from lm_eval.defaults import DEFAULT_OTHER_SEED, DEFAULT_RANDOM_SEED
    except ImportError as error:
        raise _missing(error) from None
    return DEFAULT_RANDOM_SEED, DEFAULT_OTHER_SEED


@contextmanager
def seeded(python: int, others: int) -> Iterator[None]:
    """A block with random, numpy and torch at these seeds.

    All three go on afterwards as if nothing had been: the caller's own draws must not depend on
    whether a task was loaded.
    """
    python_state = random.getstate()
    numpy_state = np.random.get_state()  # noqa: NPY002
    devices = range(0)
    # a GPU that nothing has used yet stays unused
    if torch.cuda.is_initialized():
        devices = range(torch.cuda.device_count())
    # tasks draw from all three: their examples, their shuffled choices, their samples
    with torch.random.fork_rng(devices):
        random.seed(python)
        np.random.seed(others)  # noqa: NPY002
        torch.default_generator.manual_seed(others)
        if devices:
            torch.cuda.manual_seed_all(others)
        try:
            yield
        finally:
            random.setstate(python_state)
            np.random.set_state(numpy_state)  # noqa: NPY002


@contextmanager
def quiet() -> Iterator[None]:
    """A block without the bars of `datasets` and what lm-eval logs below an error."""
    import datasets

    log = logging.getLogger("lm_eval")
    level = log.level
    without_bars = datasets.are_progress_bars_disabled()
    log.setLevel(logging.ERROR)
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        log.setLevel(level)
        if not without_bars:
            datasets.enable_progress_bars()


def _manager_that_has(name: str, include_path: str | Path | None) -> Any:
    """lm-eval's index of tasks, in which a task is, if it is in any."""
    if include_path is None:
        return _manager(None, (), True)
    if not Path(include_path).is_dir():
        raise ValueError(f"include_path: there is no folder {include_path}")
    # lm-eval's own tasks are many, and slow to look through
    version = version_of(sorted(Path(include_path).rglob("*.yaml")))
    manager = _manager(str(include_path), version, False)
    if name in manager.all_tasks:
        return manager
    return _manager(str(include_path), version, True)


@lru_cache(maxsize=4)
def _manager(include_path: str | None, _version: Version, include_defaults: bool) -> Any:
    """lm-eval's index of the tasks in a folder, and of its own if `include_defaults`."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=include_path, include_defaults=include_defaults)


def _missing(error: ImportError) -> ImportError:
    """What a user reads who has not installed lm-eval."""
    return ImportError(
        f"tasks of lm-eval need the package lm-eval: pip install 'evomerge[lm-eval]' ({error})"
    )
