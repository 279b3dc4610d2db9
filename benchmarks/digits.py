"""Births per second on digits, beside the bare forward pass over the training set, in one run.

    python benchmarks/digits.py [--births 10000] [--rounds 1] [--threads 1]

The runs, each into a fresh run directory: from scratch at lookahead 1, the same with every datapoint scored, the same at lookahead
16 with births raised as stacks, and from specialists. After every hundredth birth the clock of the run is stopped, and the bare forward
pass of the 64-256-10 network over the 1,437 training images is timed ten times (nothing else: no new weights, no scores), so that
both see the same machine: a shared one is half as fast again from one second to the next. The ratio is what counts: the time of
a whole birth (planning, crossover, mutation, scoring, admission, log, snapshots) in bare forward passes of the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from evomerge import Local, evolve
from evomerge.config import calls, config
from evomerge.evolution import OUTSIDE
from evomerge.workers.job import Outcome
from fitness.images import SklearnDigits
from populations.mnist import Classifiers

CONFIGS = Path(__file__).parents[1] / "configs"
STACKS = {"lookahead": 16, "stack": 16, "tile": 240}
RUNS = {
    "from scratch, lookahead 1": ("digits.yaml", {}),
    "from scratch, lookahead 1, every datapoint": ("digits.yaml", {"foresee": False, "tile": 1437}),
    "from scratch, lookahead 16, stacks of 16": ("digits.yaml", STACKS),
    "from specialists, lookahead 1": ("digits_specialists.yaml", {}),
    "from specialists, lookahead 16, stacks of 16": ("digits_specialists.yaml", STACKS),
}


class Paced(Local):
    """This process, with the bare forward pass timed now and then."""

    def __init__(self, threads: int, every: int = 100, passes: int = 10) -> None:
        """Times `passes` passes after `every` births."""
        super().__init__(threads)
        self.every, self.passes = every, passes

    def start(self, *arguments: Any) -> None:
        """As `Local.start`."""
        super().start(*arguments)
        data = SklearnDigits()
        self.network, self.images = Classifiers(data).network().eval(), data.split("train")[0]
        self.away, self.timed = 0.0, []

    def result(self, number: int) -> Outcome:
        """As `Local.result`."""
        if number % self.every == 0:
            left = time.perf_counter()
            with torch.inference_mode():
                self.network(self.images)
                started = time.perf_counter()
                for _ in range(self.passes):
                    self.network(self.images)
            back = time.perf_counter()
            self.timed.append((back - started) / self.passes)
            self.away += back - left
        return super().result(number)


def timed_run(
    name: str, births: int | None, threads: int, settings: dict
) -> tuple[float, float, float]:
    """Seconds of a birth, all in all; seconds of a bare forward pass; the share of datapoints that was scored."""
    workers = Paced(threads)
    call = calls.build(config.load(CONFIGS / name), evolve, outside=OUTSIDE)
    call |= {"births": births or call["births"], "workers": workers, "progress": False} | settings
    with tempfile.TemporaryDirectory() as folder:
        evolve(**call, run_dir=Path(folder) / "run")
        summary = json.loads((Path(folder) / "run" / "summary.json").read_text())
    return (
        (summary["seconds"] - workers.away) / summary["births"],
        statistics.mean(workers.timed),
        summary["share_scored"],
    )


def main() -> None:
    """Times all runs and prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--births", type=int, help="of each run; as many as its config says if not given"
    )
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    print(
        f"torch {torch.__version__}, {options.threads} thread(s), {options.rounds} round(s): medians"
    )
    print(f"{'':48}{'ms':>8}{'a second':>10}{'bare passes':>13}{'scored':>9}")
    every = []
    for name, (file, settings) in RUNS.items():
        births, ratios = [], []
        for _ in range(options.rounds):
            birth, bare, share = timed_run(file, options.births, options.threads, settings)
            births.append(birth)
            ratios.append(birth / bare)
            every.append(bare)
        birth, ratio = statistics.median(births), statistics.median(ratios)
        print(f"{name:48}{1e3 * birth:8.3f}{1 / birth:10.0f}{ratio:13.2f}{share:9.2f}", flush=True)
    bare = statistics.median(every)
    print(
        f"{'bare forward pass over the 1,437 images':48}{1e3 * bare:8.3f}{1 / bare:10.0f}{1:13.2f}{1:9.2f}"
    )


if __name__ == "__main__":
    main()
