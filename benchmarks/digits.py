"""Births per second on digits, beside the bare forward pass over the training set, in one run.

    python benchmarks/digits.py [--births 3000] [--rounds 5] [--threads 1]

Each round times the bare forward pass of the 64-256-10 network over the 1,437 training images (nothing else: no new weights,
no scores), then a run at lookahead 1, then one at lookahead 16 with births raised as stacks, so that all three see the same
machine. The last column is what counts: the time of a whole birth (planning, crossover, mutation, scoring, admission, log) in
bare forward passes of the same round.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch

from evomerge import Crossover, Local, NaturalNiches, evolve
from fitness.classification import Classification
from fitness.images import SklearnDigits
from populations.mnist import Classifiers

STRATEGY = NaturalNiches(mutation=0.01, crossover=Crossover(angle="whole"))
SETTINGS = {
    "lookahead 1": {"lookahead": 1},
    "lookahead 1, every datapoint": {"lookahead": 1, "foresee": False},
    "lookahead 16, stacks of 8": {"lookahead": 16, "stack": 8},
    "lookahead 16, stacks of 16": {"lookahead": 16, "stack": 16},
}


def bare_forward(data: SklearnDigits, threads: int, passes: int = 300) -> float:
    """Seconds of one forward pass over the training images."""
    torch.set_num_threads(threads)
    network = Classifiers(data).network().eval()
    images = data.split("train")[0]
    with torch.inference_mode():
        for _ in range(passes // 10):
            network(images)
        started = time.perf_counter()
        for _ in range(passes):
            network(images)
    return (time.perf_counter() - started) / passes


def seconds_of_run(data: SklearnDigits, births: int, threads: int, **settings: int | bool) -> float:
    """Seconds of a run into a fresh run directory, without report."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        evolve(Classifiers(data), Classification(data), births=births, strategy=STRATEGY, workers=Local(threads), progress=False,
               run_dir=Path(folder) / "run", **settings)  # fmt: skip
        return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--births", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    data = SklearnDigits()
    seconds_of_run(data, 100, options.threads)
    bare, births = [], {name: [] for name in SETTINGS}
    for _ in range(options.rounds):
        for name, settings in SETTINGS.items():
            bare.append(bare_forward(data, options.threads))
            none = seconds_of_run(data, 0, options.threads, **settings)
            run = seconds_of_run(data, options.births, options.threads, **settings)
            bare.append(bare_forward(data, options.threads))
            births[name].append(((run - none) / options.births, (bare[-1] + bare[-2]) / 2))
    print(f"torch {torch.__version__}, {options.threads} thread(s), {options.rounds} rounds of {options.births} births: medians")
    print(f"{'':32}{'ms':>8}{'a second':>10}{'bare passes':>13}")
    print(f"{'bare forward pass':32}{1e3 * statistics.median(bare):8.3f}{1 / statistics.median(bare):10.0f}{1:13.2f}")
    for name, pairs in births.items():
        seconds = statistics.median(run for run, _ in pairs)
        ratio = statistics.median(run / bare for run, bare in pairs)
        print(f"{name:32}{1e3 * seconds:8.3f}{1 / seconds:10.0f}{ratio:13.2f}")


if __name__ == "__main__":
    main()
