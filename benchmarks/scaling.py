"""How busy workers are kept, and how fast the driver is: births that only sleep, on 2 to 128 Ray actors.

    python benchmarks/scaling.py [--workers 2 8 32 128] [--minutes 0.5]      the share of their time in which workers were busy
    python benchmarks/scaling.py --driver [--births 20000]                   births a second that plan, travel and are admitted
    python benchmarks/scaling.py --real                                      two workers against one, on evaluations that compute

A birth's seconds are drawn from its child's numbers: uniform in 0.1 to 2; or skewed, one in ten ten times as long. The actors import no
torch. For each number of workers the lookahead is twice that, then more, until workers are busy 95 % of the time.
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path

import numpy as np
import psutil

from evomerge import Crossover, NaturalNiches, evolve
from evomerge.genome.axis import Axis
from evomerge.genome.weights import Weights
from evomerge.workers.job import Job, Outcome
from evomerge.workers.ray import Ray

DATAPOINTS = 100


class Vectors:
    """A species of a hundred numbers, whose models are themselves."""

    def __init__(self) -> None:
        """No settings."""
        self.axis = Axis.flat({"numbers": (100,)})

    def founders(self, rng: np.random.Generator) -> list[Weights]:
        """Two random ones."""
        return [Weights(child.standard_normal(100, dtype=np.float32)) for child in rng.spawn(2)]

    def express(self, genome: Weights) -> np.ndarray:
        """Nothing to be done."""
        return genome.vector

    def save(self, genome: Weights, directory: Path) -> None:
        """As numpy has it."""
        np.save(directory / "vector.npy", genome.vector)


class Sleep:
    """Scores that are made up, after a sleep; both are drawn from the model's numbers."""

    def __init__(self, shortest: float, longest: float, skewed: bool = False) -> None:
        """Sleeps uniformly between two numbers of seconds; with `skewed` one in ten sleeps ten times as long."""
        self.shortest, self.longest, self.skewed = shortest, longest, skewed

    def size(self, split: str) -> int:
        """The training split only."""
        return DATAPOINTS if split == "train" else 0

    def __call__(self, model: np.ndarray, datapoints: np.ndarray, split: str) -> np.ndarray:  # noqa: ARG002
        """Sleeps, then scores."""
        rng = np.random.default_rng(np.frombuffer(model.tobytes(), dtype=np.uint32))
        seconds = rng.uniform(self.shortest, self.longest)
        time.sleep(seconds * (10 if self.skewed and rng.random() < 0.1 else 1))
        return rng.random(DATAPOINTS, dtype=np.float32)[datapoints]


class Compute:
    """Scores that take a second of one processor."""

    def size(self, split: str) -> int:
        """The training split only."""
        return DATAPOINTS if split == "train" else 0

    def __call__(self, model: np.ndarray, datapoints: np.ndarray, split: str) -> np.ndarray:  # noqa: ARG002
        """Multiplies matrices."""
        rng = np.random.default_rng(np.frombuffer(model.tobytes(), dtype=np.uint32))
        matrix = rng.standard_normal((700, 700))
        for _ in range(60):
            matrix = matrix @ matrix
            matrix /= np.abs(matrix).max()
        return rng.random(DATAPOINTS, dtype=np.float32)[datapoints]


class Watched(Ray):
    """Workers that are all alive before the first birth, and keep what they said of themselves when births began to run out."""

    def __init__(self, count: int, births: int = 1, last: int = 0) -> None:
        """So many workers, so many births a call; `last` is the birth after which too few are left to keep all busy."""
        super().__init__(count, cpus=0.01, births=births)
        self.last = last

    def founders(self, seed: int) -> list:
        """As `Ray.founders`."""
        while self.status()["alive"] < self.count:
            self._pool.turn(0.5)
        self.begun = time.perf_counter()
        return super().founders(seed)

    def submit(self, job: Job) -> None:
        """As `Ray.submit`; the clock of who is busy begins with the first birth, after the founders, which come one by one."""
        if job.birth.number == 1:
            for worker in self._pool._workers:
                worker.born, worker.busy = time.monotonic(), 0.0
        super().submit(job)

    def result(self, number: int) -> Outcome:
        """As `Ray.result`."""
        outcome = super().result(number)
        if number == self.last:
            self.said = self.status()
        return outcome


def bred(fitness: object, workers: Watched, births: int, lookahead: int) -> float:
    """Seconds of so many births, from when all workers are alive."""
    strategy = NaturalNiches(size=20, crossover=Crossover())
    evolve(
        Vectors(), fitness, strategy=strategy, births=births, lookahead=lookahead, workers=workers, foresee=False,
        tile=DATAPOINTS, progress=False,
    )  # fmt: skip
    return time.perf_counter() - workers.begun


def busy(count: int, lookahead: int, minutes: float, skewed: bool) -> float:
    """The share of their time in which so many workers were busy."""
    births = int(60 * minutes / (1.05 * (1.9 if skewed else 1.0)) * count) + lookahead
    workers = Watched(count, last=births - lookahead)
    bred(Sleep(0.1, 2.0, skewed), workers, births, lookahead)
    return workers.said["busy"]


def driver(births: int) -> None:
    """Births a second through one worker that does nothing, and the driver's memory."""
    for first in (births // 10, births):
        gc.collect()
        seconds = bred(Sleep(0.0, 0.0), Watched(2, births=16), first, 64)
        memory = psutil.Process().memory_info().rss / 1e6
        print(
            f"{first:7,} births: {first / seconds:7.0f} a second, the driver has {memory:.0f} MB",
            flush=True,
        )


def main() -> None:
    """Prints the table that was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 8, 32, 128])
    parser.add_argument("--minutes", type=float, default=0.5)
    parser.add_argument("--births", type=int, default=20_000)
    parser.add_argument("--driver", action="store_true")
    parser.add_argument("--real", action="store_true")
    options = parser.parse_args()
    if options.driver:
        driver(options.births)
        return
    if options.real:
        seconds = {count: bred(Compute(), Watched(count), 40, 2 * count) for count in (1, 2)}
        print(
            f"one worker {seconds[1]:.1f} s, two {seconds[2]:.1f} s: {seconds[1] / seconds[2]:.2f} times as fast"
        )
        return
    print(f"{'workers':>8}{'durations':>12}{'lookahead':>11}{'busy':>8}")
    for count in options.workers:
        for skewed in (False, True):
            for times in (2, 3, 4, 6, 8, 12):
                share = busy(count, times * count, options.minutes, skewed)
                print(
                    f"{count:8}{'skewed' if skewed else 'uniform':>12}{times * count:11}{share:8.3f}",
                    flush=True,
                )
                if share >= 0.95:
                    break


if __name__ == "__main__":
    main()
