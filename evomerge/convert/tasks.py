"""The tasks of mergekit-evolve as a fitness of evomerge: each document has its own score."""

from __future__ import annotations

from typing import Any

from evomerge.config.targets import TARGET
from evomerge.convert.mergekit_evolve import Options
from evomerge.convert.remarks import Place, Remarks

SPLITS = (
    "Check the splits. lm-eval scores a task's test documents, or its validation documents where "
    "it has none: write validation then. "
)
ALL_TRAIN = (
    "mergekit-evolve trains on all of them, and so does this; to know how good the best is on "
    "others, divide them, such as train: test[:500], test: test[500:], or train: validation, "
    "test: test."
)
SOME_TEST = (
    "Trained on are the first {limit}, as limit had it; the others test the best, and nothing is "
    "chosen by them."
)
"""What to check of the splits: always, of a config without a limit, of one with a limit."""


def fitness(given: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """The tasks as a fitness.

    Args:
        given: mergekit's `EvolMergeConfiguration`.
        options: which search it is for, and what else its command line says.
        remarks: what is said of it is added here.

    Returns:
        A call of `fitness.harness.Harness`, or of `fitness.combined.Combined` of several, as plain
        data.
    """
    parts = []
    shares = []
    for number, task in enumerate(given.tasks):
        # Shares of what is right cannot count against a member, as errors would.
        if task.weight > 0:
            parts.append(_harness(given, task, options))
            shares.append(task.weight)
            continue
        reason = "scores are shares of what is right, so more is better"
        if task.weight == 0:
            reason = "a task that counts nothing"
        remarks.dropped[f"tasks[{number}].weight"] = (
            f"{task.weight}: {reason}; {task.name} is left out"
        )
    # What holds for every task is said above the first one.
    place: Place = ("fitness",)
    if len(parts) > 1:
        place = ("fitness", "parts", 0)
    remarks.above[(*place, "train")] = _about_splits(given.limit)
    if options.task_search_path is None:
        remarks.above[(*place, "task")] = (
            "A task of your own needs include_path, the folder with its YAML: "
            "--task-search-path there."
        )
    _drop_settings(given, options, remarks)
    # One task needs no weight.
    if len(parts) == 1:
        return parts[0]
    remarks.above["fitness", "shares"] = "The tasks' weights; only their proportions count."
    return {TARGET: "fitness.combined.Combined", "parts": parts, "shares": shares}


def _harness(given: Any, task: Any, options: Options) -> dict[str, Any]:
    """One task."""
    train = "test"
    test = None
    # Documents behind the limit were scored by nobody, so they can test the best.
    if given.limit is not None:
        train = f"test[:{given.limit}]"
        test = f"test[{given.limit}:]"
    call: dict[str, Any] = {
        TARGET: "fitness.harness.Harness",
        "task": task.name,
        "metric": task.metric,
        "train": train,
        "test": test,
    }
    if options.task_search_path is not None:
        call["include_path"] = options.task_search_path
    if given.num_fewshot is not None:
        call["num_fewshot"] = given.num_fewshot
    call["apply_chat_template"] = given.apply_chat_template
    if options.batch_size is not None:
        call["batch"] = options.batch_size
    return call


def _about_splits(limit: int | None) -> str:
    """What to check of the splits."""
    if limit is None:
        return SPLITS + ALL_TRAIN
    return SPLITS + SOME_TEST.format(limit=limit)


def _drop_settings(given: Any, options: Options, remarks: Remarks) -> None:
    """Names the settings of tasks and of their search that have no counterpart."""
    if given.shuffle:
        remarks.dropped["shuffle"] = (
            "documents keep lm-eval's order, so that every member and every resume has the same "
            "ones"
        )
    if given.random_init:
        reason = "CMA-ES starts from equal weights"
        if options.search == "m2n2":
            reason = "M2N2 starts from the seeds"
        remarks.dropped["random_init"] = reason
    if not given.fewshot_as_multiturn:
        remarks.dropped["fewshot_as_multiturn"] = (
            "in a chat template solved examples are turns of the conversation"
        )
