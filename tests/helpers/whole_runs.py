"""What tests of whole runs share: small runs, and what two equal runs have in common."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from evomerge import Crossover, NaturalNiches, evolve
from evomerge.rundir.births import CLOCKS, read_births
from evomerge.rundir.snapshots import read_snapshot
from fitness.classification import Classification
from fitness.images import SklearnDigits
from populations.mnist import Classifiers

ROOT = Path(__file__).parents[2]
DIGITS = SklearnDigits()
PATIENCE = 1800
"""Seconds after which what a test waits for will not come, on the busiest machine."""


def small_run(
    run_dir: Path | None = None, *, births: int = 120, mutation: float = 0.01, **settings: Any
) -> Any:
    """A short run of small networks on real digits."""
    settings.setdefault(
        "strategy", NaturalNiches(size=8, mutation=mutation, crossover=Crossover(angle="whole"))
    )
    settings.setdefault("population", Classifiers(DIGITS, hidden=(16,), sd=0.1))
    settings.setdefault("fitness", Classification(DIGITS))
    return evolve(births=births, run_dir=run_dir, progress=False, **settings)


def log_of(run_dir: Path, *without: str) -> list[dict[str, Any]]:
    """births.jsonl without what differs between two equal runs."""
    return [
        {key: value for key, value in entry.items() if key not in (*CLOCKS, *without)}
        for entry in read_births(run_dir)
    ]


def state_of(run_dir: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The newest snapshot's data, without its clock, and its tensors as bytes."""
    _, data, tensors = read_snapshot(run_dir)
    state = data["state"]
    for clock in ("seconds", "memory"):
        state["counters"].pop(clock)
    return state, {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}


def assert_same_run(one: Path, other: Path) -> None:
    """Two run directories hold the same run: archive, scores, ids, weights, births in flight and log, byte for byte."""
    assert log_of(one) == log_of(other)
    assert state_of(one) == state_of(other)
    weights, others = (
        {path.relative_to(run): path.read_bytes() for path in run.rglob("best/**/*.safetensors")}
        for run in (one, other)
    )
    assert weights
    assert weights == others


def assert_same_archive(one: Any, other: Any) -> None:
    """Two archives hold the same members."""
    assert [member.id for member in one.members] == [member.id for member in other.members]
    assert np.array_equal(one.scores, other.scores)
    for mine, theirs in zip(one.members, other.members, strict=True):
        assert np.array_equal(mine.genome.vector, theirs.genome.vector)


def start(
    *arguments: object, cwd: Path, path: str = str(ROOT), **options: Any
) -> subprocess.Popen[str]:
    """`python -m evomerge` in a process of its own."""
    command = [sys.executable, "-m", "evomerge", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **options,
    )


def write_config(folder: Path, **changes: Any) -> Path:
    """A config of a small run on digits."""
    config = {
        "population": {
            "_target_": "populations.mnist.Classifiers",
            "data": "${fitness.data}",
            "hidden": [16],
            "sd": 0.1,
        },
        "fitness": {
            "_target_": "fitness.classification.Classification",
            "data": {"_target_": "fitness.images.SklearnDigits"},
        },
        "strategy": {"size": 8, "mutation": 0.01},
        "births": 100,
    }
    path = folder / "config.yaml"
    path.write_text(json.dumps(config | changes))
    return path


def wait_for_births(process: subprocess.Popen[str], run_dir: Path, more_than: int) -> None:
    """Until a run's log has more lines than so many; fails if the process ends before, or after half an hour."""
    log, deadline = run_dir / "births.jsonl", time.monotonic() + PATIENCE
    while not log.is_file() or log.read_bytes().count(b"\n") <= more_than:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def begun(folder: Path, **changes: Any) -> subprocess.Popen[str]:
    """A run of its own process, `run` in a folder, with some births in its log."""
    process = start("run", write_config(folder, **changes), "run_dir=run", cwd=folder)
    wait_for_births(process, folder / "run", 49)
    return process
