"""The package reasoning-gym: its datasets by name, and their questions, the same in any process."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

SPLITS = ("test", "train", "validation", "lessons")
"""Four shares of all questions. Nothing is scored on lessons, which are for training models."""

CHUNK = 1000
"""Size of a dataset that questions are drawn from. Some draw others where the size is another."""

SPACING = 1_000_000
"""Between the first draws of two seeds.

reasoning-gym draws question i of seed s from the seed s + i: those of the seeds 1 and 2 are the
same but for one.
"""

LARGEST_SEED = 4000
"""Beyond it the seeds of numpy, which some datasets draw from, end."""

IDLE = 500
"""Draws in a row without a new question that is wanted, after which there are no more."""

RUNS_ANSWERS = {
    "binary_matrix",
    "countdown",
    "intermediate_integration",
    "n_queens",
    "polynomial_multiplication",
    "puzzle24",
    "simple_integration",
    "spiral_matrix",
    "string_insertion",
}
"""Datasets whose scorers run an answer as Python code."""

MAY_NOT_END = {"rubiks_cube"}
"""Datasets whose scorers take as long as an answer asks for."""


class Puzzle(NamedTuple):
    """A question of reasoning-gym.

    Attributes:
        dataset: the name of its dataset.
        seed: from which it is drawn: `create_dataset(dataset, seed=seed, size=1000)[place]`.
        place: its place among those.
        entry: as reasoning-gym has it: question, answer and metadata.
    """

    dataset: str
    seed: int
    place: int
    entry: Mapping[str, Any]


def draw(
    configs: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int], seed: int
) -> dict[str, list[Puzzle]]:
    """The questions of each split: dataset after dataset, as many of each as its size says.

    Some datasets go through sets of texts, whose order depends on the random number by which each
    process of Python hashes texts: every worker would score other questions. So another process
    draws them, too, and what differs there is refused.

    Args:
        configs: by the name of the dataset what its configuration class takes.
        sizes: questions of each dataset by split.
        seed: from which they are drawn.

    Raises:
        ImportError: if reasoning-gym is not installed.
        RuntimeError: if the other process ends early.
        ValueError: if there is no such dataset, it takes no such configuration, has too few
            questions, or has others in another process.
    """
    # the commonest mistakes are known without a process
    for name, config in configs.items():
        _configured(name, config, seed)
    try:
        order = json.dumps([configs, sizes, seed])
    except (TypeError, ValueError) as error:
        raise ValueError(f"datasets: expected settings that a config can have: {error}") from None
    return _drawn(order)


def draw_here(
    configs: Mapping[str, Mapping[str, Any]], sizes: Mapping[str, int], seed: int
) -> dict[str, list[Puzzle]]:
    """As `draw`, in this process."""
    questions: dict[str, list[Puzzle]] = {split: [] for split in sizes}
    # some datasets set the seed of numpy's own generator, from which others draw
    state = np.random.get_state()  # noqa: NPY002
    try:
        for name, config in configs.items():
            for split, puzzles in _draw_one(name, config, sizes, seed).items():
                questions[split] += puzzles
    finally:
        np.random.set_state(state)  # noqa: NPY002
    return questions


def digests(questions: Mapping[str, Sequence[Puzzle]]) -> dict[str, str]:
    """By dataset what tells its questions and answers from others."""
    texts: dict[str, list[Any]] = {}
    for split, puzzles in questions.items():
        for puzzle in puzzles:
            entry = puzzle.entry
            place = [split, puzzle.seed, puzzle.place, entry["question"], str(entry["answer"])]
            texts.setdefault(puzzle.dataset, []).append(place)
    made = {}
    for name, places in texts.items():
        made[name] = hashlib.sha256(json.dumps(places).encode()).hexdigest()
    return made


def split_of(question: str) -> str:
    """The split that a question belongs to, whatever seed it is drawn from."""
    return SPLITS[zlib.crc32(question.encode()) % len(SPLITS)]


def dataset_of(name: str, config: Mapping[str, Any], seed: int) -> Any:
    """A dataset of `CHUNK` questions, configured.

    Raises:
        ImportError: if reasoning-gym is not installed.
        ValueError: if there is no such dataset, or it does not take this configuration.
    """
    configured = _configured(name, config, seed)
    make = _datasets()[name][0]
    try:
        return make(config=configured)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise _refused(name, error) from error


@lru_cache(maxsize=4)
def _drawn(order: str) -> dict[str, list[Puzzle]]:
    """The questions of an order, as JSON."""
    configs, sizes, seed = json.loads(order)
    # where Python was told how to hash there is nothing to find out
    if not sys.flags.hash_randomization:
        return draw_here(configs, sizes, seed)
    with TemporaryDirectory() as folder:
        # some datasets print as they draw, so what the other process finds comes in a file
        result = Path(folder, "digests.json")
        other = _other_process(order, result)
        try:
            questions = draw_here(configs, sizes, seed)
            _, problem = other.communicate()
        finally:
            other.kill()
            other.wait()
        if other.returncode:
            raise RuntimeError(
                f"the process that draws questions a second time ended with {other.returncode}: "
                f"{problem.strip()[-500:]}"
            )
        theirs = json.loads(result.read_text())
    for name, digest in digests(questions).items():
        if digest != theirs[name]:
            raise ValueError(
                f"datasets: the questions of {name!r} depend on the number by which a process of "
                f"Python hashes texts; set PYTHONHASHSEED=0 before Python starts, for all workers"
            )
    return questions


def _other_process(order: str, result: Path) -> subprocess.Popen[str]:
    """A process that draws an order, and hashes texts by a number of its own."""
    # it finds what this one would
    paths = [path or os.getcwd() for path in sys.path]
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(  # noqa: S603 (Python itself, on a module of ours)
        [sys.executable, "-m", "fitness.reasoning_gym_draw", order, str(result)],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def _draw_one(
    name: str, config: Mapping[str, Any], sizes: Mapping[str, int], seed: int
) -> dict[str, list[Puzzle]]:
    """The questions of each split from one dataset.

    Question i of a split is the same whatever the sizes are, and none stands there twice.
    """
    drawn: dict[str, list[Puzzle]] = {split: [] for split in sizes}
    seen: set[str] = set()
    missing = sum(sizes.values())
    idle = 0
    number = 0
    while missing and number < SPACING:
        start = seed * SPACING + number // CHUNK * CHUNK
        if number % CHUNK == 0:
            dataset = dataset_of(name, config, start)
        entry = _entry(name, dataset, number % CHUNK)
        question = entry["question"]
        split = split_of(question)
        idle += 1
        if question not in seen and len(drawn.get(split, ())) < sizes.get(split, 0):
            drawn[split].append(Puzzle(name, start, number % CHUNK, entry))
            missing -= 1
            idle = 0
        seen.add(question)
        if idle == IDLE:
            break
        number += 1
    for split, size in sizes.items():
        if len(drawn[split]) < size:
            raise ValueError(
                f"{split}: expected {size} questions of {name!r}, which gives {len(drawn[split])} "
                f"different ones; ask for fewer, or configure it so that there are more"
            )
    return drawn


def _entry(name: str, dataset: Any, place: int) -> Mapping[str, Any]:
    """A question, as reasoning-gym has it."""
    try:
        entry: Mapping[str, Any] = dataset[place]
    except (OSError, MemoryError):
        raise
    # some values are only found to be wrong where they are drawn from
    except Exception as error:
        raise ValueError(
            f"datasets.{name}: no question could be drawn with this configuration: "
            f"{type(error).__name__}: {error}"
        ) from error
    return entry


def _configured(name: str, config: Mapping[str, Any], seed: int) -> Any:
    """A configuration of a dataset, checked.

    Raises:
        ValueError: if there is no such dataset, or it does not take this configuration.
    """
    _check_name(name)
    make = _datasets()[name][1]
    known = [field.name for field in fields(make) if field.name not in ("seed", "size")]
    for key in config:
        if key in ("seed", "size"):
            raise ValueError(
                f"datasets.{name}.{key}: sizes and the seed are set beside datasets, for all of "
                f"them: train, test, validation, seed"
            )
        if key not in known:
            raise ValueError(
                f"datasets.{name}: no setting {key!r}{_hint(str(key), known)}; "
                f"its settings: {', '.join(known)}"
            )
    try:
        configured = make(**config, seed=seed, size=CHUNK)
        configured.validate()
    except Exception as error:
        raise _refused(name, error) from error
    return configured


def _refused(name: str, error: Exception) -> ValueError:
    """What a user reads where reasoning-gym refuses a configuration."""
    reason = str(error) or type(error).__name__
    return ValueError(f"datasets.{name}: reasoning-gym refuses this configuration: {reason}")


def _check_name(name: str) -> None:
    """Refuses a name that is no dataset's, or that of one that is not safe to score."""
    known = sorted(_datasets())
    if name not in known:
        raise ValueError(f"datasets: reasoning-gym has no dataset {name!r}{_hint(name, known)}")
    if name == "composite":
        raise ValueError("datasets: composite is several in one; name those instead")
    # what a model writes may be anything, and would run with the rights of whoever runs this
    if name in RUNS_ANSWERS:
        raise ValueError(
            f"datasets: {name!r} is scored by running the model's answer as Python code, "
            f"which is refused here"
        )
    if name in MAY_NOT_END:
        raise ValueError(
            f"datasets: {name!r} has a scorer that need not end with what a model writes, "
            f"and is refused here"
        )


def _hint(name: str, known: list[str]) -> str:
    """The names nearest to one that is not known."""
    near = difflib.get_close_matches(name, known, 3)
    if not near:
        return ""
    return f", did you mean {' or '.join(near)}?"


@lru_cache(maxsize=1)
def _datasets() -> Mapping[str, tuple[Any, Any]]:
    """By name the class of each dataset and of its configuration."""
    try:
        from reasoning_gym.factory import DATASETS
    except ImportError as error:
        raise ImportError(
            "questions of reasoning-gym need the package reasoning-gym: "
            f"pip install 'evomerge[reasoning-gym]' ({error})"
        ) from None
    datasets: Mapping[str, tuple[Any, Any]] = DATASETS
    return datasets
