"""A config of mergekit-evolve as a config of evomerge: the same seeds and tasks, bred by M2N2, or the same genome under CMA-ES.

Nothing is dropped in silence: what has no counterpart here is told, each with its place and the reason.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evomerge.config.targets import TARGET
from evomerge.convert.genome import Remarks, cma_es, natural_niches, population
from evomerge.convert.mergekit_evolve import Options, read
from evomerge.convert.yaml_text import commented

GENOME = (
    "models", "merge_method", "base_model", "tokenizer_source", "layer_granularity", "normalize", "allow_negative_weights", "filters",
    "smooth",
)  # fmt: skip
TASK = ("name", "weight", "metric")
WHOLE = (
    "genome", "tasks", "limit", "num_fewshot", "shuffle", "random_init", "apply_chat_template", "fewshot_as_multiturn",
)  # fmt: skip
"""The fields of mergekit's classes that are converted here, or named as what has no counterpart."""


def convert(path: Path, options: Options | None = None) -> tuple[str, list[str]]:
    """Converts a config.

    Args:
        path: a config of mergekit-evolve.
        options: what its command line would say.

    Returns:
        The text of evomerge's config, and a line for all that has no counterpart; the text ends with the same lines.

    Raises:
        UserError: if mergekit-evolve would refuse the config, or nothing here can stand for it.
    """
    options = Options() if options is None else options
    given, unknown = read(path)
    remarks = Remarks(dropped=unknown)
    call: dict[str, Any] = {
        "population": population(given.genome, options, remarks),
        "fitness": _fitness(given, options, remarks),
        **_search(given, options, remarks),
    }
    tasks = [(f"tasks[{number}].", task, TASK) for number, task in enumerate(given.tasks)]
    for where, part, known in [("", given, WHOLE), ("genome.", given.genome, GENOME), *tasks]:
        for name in part.model_fields_set.difference(known):
            remarks.dropped[f"{where}{name}"] = "newer than what evomerge knows of mergekit-evolve"
    head = (
        f"# {path.name} of mergekit-evolve, as `evomerge convert` has written it. `evomerge check` tells whether it can run, and what time,\n"
        "# memory and disk the run takes.\n"
    )
    lines = remarks.lines()
    return head + commented(call, remarks.above) + "".join(f"# {line}\n" for line in lines), lines


def _fitness(given: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """The tasks, each document with its own score."""
    parts, shares = [], []
    for number, task in enumerate(given.tasks):
        if not task.weight > 0:
            why = (
                "a task that counts nothing"
                if task.weight == 0
                else "scores are shares of what is right, so more is better"
            )
            remarks.dropped[f"tasks[{number}].weight"] = (
                f"{task.weight}: {why}; {task.name} is left out"
            )
            continue
        shares.append(task.weight)
        parts.append(_part(given, task, options))
    place: tuple[str | int, ...] = ("fitness",) if len(parts) == 1 else ("fitness", "parts", 0)
    remarks.above[(*place, "train")] = _splits(given.limit)
    if options.task_search_path is None:
        remarks.above[(*place, "task")] = (
            "A task of your own needs include_path, the folder with its YAML: --task-search-path there."
        )
    for name, why in (
        (
            "shuffle",
            "documents keep lm-eval's order, so that every member and every resume has the same ones",
        ),
        (
            "random_init",
            "M2N2 starts from the seeds"
            if options.search == "m2n2"
            else "CMA-ES starts from equal weights",
        ),
    ):
        if getattr(given, name):
            remarks.dropped[name] = why
    if not given.fewshot_as_multiturn:
        remarks.dropped["fewshot_as_multiturn"] = (
            "in a chat template solved examples are turns of the conversation"
        )
    if len(parts) == 1:
        return parts[0]
    remarks.above["fitness", "shares"] = "The tasks' weights; only their proportions count."
    return {TARGET: "fitness.combined.Combined", "parts": parts, "shares": shares}


def _part(given: Any, task: Any, options: Options) -> dict[str, Any]:
    """One task."""
    train, test = (
        ("test", None)
        if given.limit is None
        else (f"test[:{given.limit}]", f"test[{given.limit}:]")
    )
    part: dict[str, Any] = {
        TARGET: "fitness.harness.Harness",
        "task": task.name,
        "metric": task.metric,
        "train": train,
        "test": test,
    }
    if options.task_search_path is not None:
        part["include_path"] = options.task_search_path
    if given.num_fewshot is not None:
        part["num_fewshot"] = given.num_fewshot
    part["apply_chat_template"] = given.apply_chat_template
    if options.batch_size is not None:
        part["batch"] = options.batch_size
    return part


def _splits(limit: int | None) -> str:
    """What to check of the splits."""
    scored = "Check the splits. lm-eval scores a task's test documents, or its validation documents where it has none: write validation then. "
    if limit is None:
        return scored + (
            "mergekit-evolve trains on all of them, and so does this; to know how good the best is on others, divide them, such as "
            "train: test[:500], test: test[500:], or train: validation, test: test."
        )
    return (
        scored
        + f"Trained on are the first {limit}, as limit had it; the others test the best, and nothing is chosen by them."
    )


def _search(given: Any, options: Options, remarks: Remarks) -> dict[str, Any]:
    """The strategy, and the numbers of the run."""
    run: dict[str, Any] = {
        "strategy": (natural_niches if options.search == "m2n2" else cma_es)(
            given.genome, options, remarks
        )
    }
    run["births"] = options.births
    remarks.above["births",] = "Merges to score: --max-fevals. The seeds are scored besides."
    if options.search == "cma-es":
        run["lookahead"] = run["strategy"]["settings"]["popsize"]
        remarks.above["lookahead",] = (
            "A generation is raised at once, by as many workers as there are."
        )
    if options.timeout is not None:
        run["hours"] = round(options.timeout / 3600, 6)
    return run
