"""What one mixing ratio can do: the seeds, and their merges on a grid of ratios, scored as a config says.

    python benchmarks/sweep.py CONFIG [key=value ...] [--points 41]

The founders are mixed as by `evomerge.Sweep`, with the angle of the config's crossover. All are scored on the training split; the best of them and the seeds on the test
split too, each part of a combined fitness by itself. What a search has to beat is the best of the grid; what it can hope for is
each seed's score on its own part.
"""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import numpy as np

from evomerge import Local, Sweep, evolve
from evomerge.archives.tiling import Tiling
from evomerge.config import calls, config
from evomerge.datapoints import batched_groups
from evomerge.evolution import OUTSIDE
from evomerge.genome.recipe import Recipe
from fitness.combined import Combined


class Scorer:
    """Mean scores of genomes, and of the parts of a combined fitness."""

    def __init__(self, call: dict) -> None:
        """Takes what a config makes."""
        self.population, self.fitness, self.tile = (
            call["population"],
            call["fitness"],
            call.get("tile", 256),
        )
        self.parts = self.fitness.parts if isinstance(self.fitness, Combined) else [self.fitness]
        self.workers = Local()
        self.workers.start(self.population, self.fitness, 1)

    def __call__(self, genome: object, split: str) -> list[float]:
        """The weighted mean over all datapoints, then the mean of each part."""
        size = self.fitness.size(split)
        groups = batched_groups(self.fitness, split, size)
        tiles = Tiling.cut(0, np.arange(size), self.tile, groups).tiles
        scores = next(self.workers.score([genome], tiles, split))
        ends = np.cumsum([part.size(split) for part in self.parts])[:-1]
        weights = self.fitness.weights(split) if hasattr(self.fitness, "weights") else None
        return [
            float(np.average(scores, weights=weights)),
            *(float(part.mean()) for part in np.split(scores, ends)),
        ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--points", type=int, default=41)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    call = calls.build(config.load(options.config, options.overrides), evolve, outside=OUTSIDE)
    score, population = Scorer(call), call["population"]
    seeds: list[Recipe] = population.founders(np.random.default_rng(0))
    grid = Sweep(options.points, call["strategy"].crossover.angle).begin(
        population, call["fitness"], lambda: seeds, 0
    )

    names = (
        [getattr(part, "name", type(part).__name__) for part in score.parts]
        if len(score.parts) > 1
        else []
    )
    print(f"{'':28}{'train':>8}{'test':>8}" + "".join(f"{name[:14]:>16}" for name in names))

    def show(name: str, genome: Recipe, train: float) -> list[float]:
        test = score(genome, "test")
        print(
            f"{name:28}{train:8.4f}{test[0]:8.4f}"
            + "".join(f"{part:16.4f}" for part in test[1:] if names),
            flush=True,
        )
        return test

    own = []
    for number, seed in enumerate(seeds):
        own.append(show(f"seed {number}", seed, score(seed, "train")[0])[1:])
    merges = [
        grid.plan(number, None, population, 0).child(population)
        for number in range(1, len(grid.mixtures) + 1)
    ]
    train, best = max((score(merge, "train")[0], number) for number, merge in enumerate(merges))
    shares = ", ".join(f"{share:.3f}" for share in grid.mixtures[best])
    show(f"best of {len(merges)}: {shares}", merges[best], train)
    print(
        f"mean over the parts of the best seed's test score there: {np.mean(np.max(own, axis=0)):.4f}"
    )


if __name__ == "__main__":
    main()
