"""A task of lm-eval as a skill: which of its documents train, and which test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from evomerge.config.targets import TARGET, import_path
from evomerge.merge.reading import Division
from evomerge.merge.skills import Skill

TASK = "fitness.tasks.Task"
"""The import path of what loads a task."""

LIMIT = 500
"""Most documents to train on where the user does not say: tasks may have many thousands."""

TESTED = ("test", "validation", "training")
"""Parts of a task, by how well they serve to test."""

TRAINED = ("validation", "training")
"""Parts of a task, by how well they serve to train."""


def task_skill(
    name: str,
    division: Division,
    *,
    folder: str | None = None,
    chat: bool = False,
    system: str | None = None,
    batch: int | None = None,
) -> Skill:
    """A skill from a task of lm-eval.

    Args:
        name: the task's.
        division: how documents are divided.
        folder: where lm-eval finds tasks of one's own.
        chat: whether its prompts are conversations.
        system: the system's message.
        batch: prompts that are read side by side.

    Raises:
        ImportError: if lm-eval is not installed.
        ValueError: if there is no such task, or it cannot be loaded or divided.
    """
    task = import_path(TASK)(name, folder, None, None)
    parts = task.splits()
    sizes = {part: len(task.documents(part)) for part in parts}
    train, test = chosen(parts, sizes, division)
    part: dict[str, Any] = {
        TARGET: "fitness.harness.Harness",
        "task": name,
        "train": _text(*train, sizes),
        "test": _text(*test, sizes),
    }
    if folder is not None:
        part["include_path"] = folder
    if chat:
        part["apply_chat_template"] = True
    if system is not None:
        part["system_instruction"] = system
    if batch is not None:
        part["batch"] = batch
    words = (
        f"{len(train[1]):,} to train ({part['train']}), {len(test[1]):,} to test "
        f"({part['test']}); a task of lm-eval, by its own metric"
    )
    about = (
        f"{name}: a task of lm-eval, by its own metric. It has "
        + ", ".join(f"{size:,} {which} documents" for which, size in sizes.items())
        + "."
    )
    return Skill(name, part, words, {TARGET: about})


def chosen(
    parts: Mapping[str, str], sizes: Mapping[str, int], division: Division
) -> tuple[tuple[str, range], tuple[str, range]]:
    """What a task is trained on, and what it is tested on: a part, and the places in it.

    >>> chosen({"training": "train", "test": "test"}, {"training": 9, "test": 4}, Division(0.8))
    (('training', range(0, 9)), ('test', range(0, 4)))
    >>> chosen({"test": "test"}, {"test": 10}, Division(0.8))
    (('test', range(0, 8)), ('test', range(8, 10)))

    Args:
        parts: of the task, each with the split of its data set behind it.
        sizes: how many documents each has.
        division: how documents are divided.

    Raises:
        ValueError: if there are too few.
    """
    test = next((part for part in TESTED if sizes.get(part)), None)
    if test is None:
        raise ValueError("the task has no documents")
    at_most = division
    if division.limit is None:
        at_most = replace(division, limit=LIMIT)
    for part in TRAINED:
        # Parts of different names may be one split of the data set.
        if sizes.get(part) and parts[part] != parts[test]:
            return (part, at_most.first(range(sizes[part]))), (
                test,
                division.first(range(sizes[test])),
            )
    training, testing = division.halves(sizes[test])
    return (test, at_most.first(training)), (test, testing)


def _text(part: str, places: range, sizes: Mapping[str, int]) -> str:
    """A part, or a range of one, as `Harness` takes it."""
    if len(places) == sizes[part]:
        return part
    start = places.start or ""
    stop = ""
    if places.stop < sizes[part]:
        stop = str(places.stop)
    return f"{part}[{start}:{stop}]"
