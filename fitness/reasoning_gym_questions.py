"""Questions that are drawn from reasoning-gym: the same in any process, none in two splits."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import zlib
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from functools import lru_cache
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from fitness.reasoning_gym_library import CHUNK, configured, dataset_of

SPLITS = ("test", "train", "validation", "lessons")
"""Four shares of all questions. Nothing is scored on lessons, which are for training models."""

SPACING = 1_000_000
"""Between the first draws of two seeds.

reasoning-gym draws question i of seed s from the seed s + i: those of the seeds 1 and 2 are the
same but for one.
"""

LARGEST_SEED = 4000
"""Beyond it the seeds of numpy, which some datasets draw from, end."""

IDLE = 500
"""Draws in a row without a new question that is wanted, after which there are no more."""


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
        configured(name, config, seed)
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
        # some print as they draw, where a command prints what others read
        with redirect_stdout(StringIO()):
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


@lru_cache(maxsize=4)
def _drawn(order: str) -> dict[str, list[Puzzle]]:
    """The questions of an order, as JSON."""
    configs, sizes, seed = json.loads(order)
    # where Python was told how to hash there is nothing to find out
    if not sys.flags.hash_randomization:
        return draw_here(configs, sizes, seed)
    with TemporaryDirectory() as folder:
        # what the other process finds comes in a file, whatever the datasets print
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
        [sys.executable, "-m", "fitness.reasoning_gym_again", order, str(result)],
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
