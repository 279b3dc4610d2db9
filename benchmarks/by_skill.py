"""Who can do what: test scores by skill of what was there before, of the best mixture, and of what was bred from it.

    evomerge compare configs/smollm.yaml --out runs/smollm
    python benchmarks/by_skill.py runs/smollm/smollm/* --sweep runs/smollm/sweep/0 --picture docs/smollm.png

Runs are of one config with several random seeds; its fitness has groups, such as the parts of a sum. A founder and the
sweep's best have the 95 % interval over the datapoints, which is theirs with others; the best of the runs has that over the
runs. Where adapters are bred, what they stand on is scored as well.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from evomerge.archives.tiling import Tiling
from evomerge.config import calls, config
from evomerge.datapoints import batched_groups
from evomerge.evolution import OUTSIDE, evolve
from evomerge.genome.recipe import Recipe
from evomerge.intervals import Mean, interval
from evomerge.report.record import Record
from evomerge.workers.local import Local

SPLIT = "test"
GREY, BLUE, GREEN, ORANGE = "#9a9a9a", "#5b8db8", "#6a9f58", "#d1741f"


class Row(NamedTuple):
    """Who it is, and its mean scores: one for each skill, and last that over all."""

    name: str
    means: list[float]
    low: list[float]
    high: list[float]


def main() -> None:
    """Prints the table and draws the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run directories of one config")
    parser.add_argument("--sweep", type=Path, help="the run of a sweep over the same seeds")
    parser.add_argument("--picture", type=Path, help="a PNG file to draw")
    options = parser.parse_args()
    logging.disable(logging.WARNING)

    # A comparison has the runs' logs beside them.
    runs = [path for path in options.runs if path.is_dir()]
    records = [Record.read(path) for path in runs]
    first = records[0]
    assert first.founding is not None, f"{runs[0]} has no founders.safetensors"
    skills = list(first.founding.names)
    codes = first.founding.groups[SPLIT]  # (D,)
    weights = first.founding.weights.get(SPLIT)
    if weights is None:
        weights = np.ones(len(codes))

    rows = []
    base = base_scores(runs[0])
    if base is not None:
        rows.append(of_one("base", base, codes, weights))
    founders = first.founding.scores[SPLIT]  # (K, D)
    for number, scores in enumerate(founders):
        rows.append(of_one(first.label(number - len(founders) + 1), scores, codes, weights))
    if options.sweep is not None:
        best = Record.read(options.sweep).best_rows[SPLIT]
        rows.append(of_one("best mixture of the sweep", best, codes, weights))
    bests = [record.best_rows[SPLIT] for record in records]
    rows.append(over_runs(f"evomerge, {len(bests)} runs", bests, codes, weights))

    show(rows, skills)
    # What each specialist has on its own skill is the most that one of them can bring.
    specialists = rows[-len(founders) - 1 - bool(options.sweep) : -1 - bool(options.sweep)]
    own = np.mean([max(row.means[place] for row in specialists) for place in range(len(skills))])
    mean = np.mean(rows[-1].means[:-1])
    print(f"\nmean over the skills of the best specialist there: {own:.3f}")
    print(f"of the best of the runs: {mean:.3f}, which is {mean / own:.3f} of it")
    if options.picture is not None:
        draw(rows, skills, options.picture)


def base_scores(run: Path) -> np.ndarray | None:
    """(D,) what the model scores on which the adapters of a run stand; None where there are none."""
    call = calls.build(config.load(run / "config.yaml", []), evolve, outside=OUTSIDE)
    population, fitness = call["population"], call["fitness"]
    base = getattr(population, "adapter_base", None)
    if base is None:
        return None
    with_base = type(population)(
        [base, *population.seeds],
        adapter_base=base,
        dtype=population.dtype,
        device=population.device,
    )
    size = fitness.size(SPLIT)
    groups = batched_groups(fitness, SPLIT, size)
    tiles = Tiling.cut(0, np.arange(size), call.get("tile", 128), groups).tiles
    workers = Local()
    workers.start(with_base, fitness, 1)
    genome = Recipe.seed(0, len(population.seeds) + 1, with_base.axis.size)
    scores: np.ndarray = next(workers.score([genome], tiles, SPLIT))
    workers.stop()
    return scores


def of_one(name: str, scores: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> Row:
    """The means of one member, with intervals over the datapoints."""
    means, low, high = [], [], []
    for chosen in masks(codes):
        own, shares = scores[chosen].astype(np.float64), weights[chosen]
        means.append(float(np.average(own, weights=shares)))
        between = interval(own, shares)
        low.append(between[0])
        high.append(between[1])
    return Row(name, means, low, high)


def over_runs(
    name: str, bests: Sequence[np.ndarray], codes: np.ndarray, weights: np.ndarray
) -> Row:
    """The means of the best of several runs, with intervals over the runs."""
    means, low, high = [], [], []
    for chosen in masks(codes):
        mean = Mean.over([np.average(row[chosen], weights=weights[chosen]) for row in bests])
        means.append(mean.value)
        low.append(mean.value - mean.half)
        high.append(mean.value + mean.half)
    return Row(name, means, low, high)


def masks(codes: np.ndarray) -> list[np.ndarray]:
    """(D,) which datapoints belong to each skill, and last all of them."""
    chosen = [codes == number for number in range(codes.max() + 1)]
    return [*chosen, np.ones(len(codes), dtype=bool)]


def show(rows: Sequence[Row], skills: Sequence[str]) -> None:
    """Prints the table."""
    print("| | " + " | ".join([*skills, "all"]) + " |")
    print("|---" * (len(skills) + 2) + "|")
    for row in rows:
        cells = []
        for mean, low, high in zip(row.means, row.low, row.high, strict=True):
            cells.append(f"{mean:.3f} ({low:.3f} to {high:.3f})")
        print(f"| {row.name} | " + " | ".join(cells) + " |")


def draw(rows: Sequence[Row], skills: Sequence[str], out: Path) -> None:
    """A group of bars for each skill: what was there before, and what was bred."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    axes = figure.subplots()
    width = 0.8 / len(rows)
    names = [*skills, "all"]
    for number, row in enumerate(rows):
        places = np.arange(len(names)) + (number - (len(rows) - 1) / 2) * width
        means = np.array(row.means)
        reach = np.array([means - row.low, np.array(row.high) - means]).clip(min=0)
        axes.bar(places, means, width * 0.92, color=colour(row.name), alpha=shade(number, len(rows)),
                 yerr=reach, error_kw={"elinewidth": 0.8, "ecolor": "#444444"}, label=row.name)  # fmt: skip
    axes.set_xticks(np.arange(len(names)), names)
    axes.set_ylim(0, 1.02)
    axes.set_ylabel("test score")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=len(rows), loc="upper center", bbox_to_anchor=(0.5, 1.16))
    figure.savefig(out, dpi=130)
    print(f"\n{out}")


def colour(name: str) -> str:
    """Of a row's bars."""
    if name.startswith("evomerge"):
        return ORANGE
    if name.startswith("best mixture"):
        return GREEN
    return GREY if name == "base" else BLUE


def shade(number: int, count: int) -> float:
    """How strong a row's colour is, so that neighbours of one colour are told apart."""
    return 0.55 + 0.45 * number / (count - 1)


if __name__ == "__main__":
    main()
