"""What a birth costs beside its model: an archive of 1,000 recipes of two 7B models, after 5,000 births.

    python benchmarks/planning.py [--members 1000] [--births 5000] [--datapoints 1000]

No weights: the axis has the shapes of Llama-2-7B, the Gram matrices are made up, and so are the scores. The births are planned,
crossed and admitted as in a run. Printed for the flat axis (splits between tensors) and for the unit axis: milliseconds to plan a
birth, to cross the recipes, and to admit the child, at the end; the size of a snapshot; and of the largest recipe.
"""

from __future__ import annotations

import argparse
import statistics
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from evomerge.archives.archive import Member
from evomerge.archives.tiling import Tiling
from evomerge.genome.axis import Axis
from evomerge.genome.crossover import Crossover
from evomerge.genome.grams import Grams
from evomerge.genome.layers import Layer
from evomerge.genome.recipe import Recipe
from evomerge.run.best import Best
from evomerge.run.snapshot import pack
from evomerge.run.state import State
from evomerge.rundir.rundir import RunDir
from evomerge.strategies.natural_niches import NaturalNiches

LAYERS, WIDE, INNER, HEADS, VOCABULARY = 32, 4096, 11008, 32, 32000
LAST = 200
"""Births that are timed, at the end."""


@dataclass
class Species:
    """What planning and crossing ask of a population."""

    axis: Axis
    grams: Grams


def species(order: str) -> Species:
    """Two fine-tunes of Llama-2-7B, alike to a cosine of 0.99."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (VOCABULARY, WIDE)}
    layers = []
    for layer in range(LAYERS):
        name = f"model.layers.{layer}."
        heads = [f"{name}self_attn.{part}_proj.weight" for part in "qkvo"]
        shapes |= dict.fromkeys(heads, (WIDE, WIDE))
        gate, up, down = (f"{name}mlp.{part}_proj.weight" for part in ("gate", "up", "down"))
        shapes |= {gate: (INNER, WIDE), up: (INNER, WIDE), down: (WIDE, INNER)}
        shapes |= {
            f"{name}input_layernorm.weight": (WIDE,),
            f"{name}post_attention_layernorm.weight": (WIDE,),
        }
        layers += [Layer(heads[:3], heads[3:], HEADS), Layer([gate, up], [down])]
    shapes |= {"model.norm.weight": (WIDE,), "lm_head.weight": (VOCABULARY, WIDE)}
    axis = Axis.flat(shapes, cut="tensor") if order == "flat" else Axis.unit(shapes, layers)
    units = sum(len(bounds) - 1 for bounds in axis.unit_bounds)
    gram = np.array([[1.0, 0.99], [0.99, 1.0]]) * np.random.default_rng(0).uniform(
        0.5, 2, (units, 1, 1)
    )
    return Species(axis, Grams(axis, gram, lambda *_: np.zeros((2, 2))))


def measured(order: str, members: int, births: int, datapoints: int) -> str:
    """One line of the table."""
    of, rng = species(order), np.random.default_rng(1)
    strategy = NaturalNiches(size=members, crossover=Crossover(ratio=(-0.3, 1.3)))
    archive = strategy.archive(None)
    for id, index in ((-1, 0), (0, 1)):
        archive.admit(
            Member(
                id,
                (),
                Recipe.seed(index, 2, of.axis.size),
                rng.random(datapoints, dtype=np.float32),
            )
        )
    spent: list[tuple[float, float, float]] = []
    for number in range(1, births + 1):
        ticks = [time.perf_counter()]
        birth = strategy.plan(number, archive.view, of, 0)  # type: ignore[arg-type]
        ticks.append(time.perf_counter())
        child = birth.child(of)  # type: ignore[arg-type]
        ticks.append(time.perf_counter())
        archive.admit(
            Member(
                number,
                birth.parents,
                child,
                rng.random(datapoints, dtype=np.float32) * min(1, number / births),
            )
        )
        ticks.append(time.perf_counter())
        spent.append((ticks[1] - ticks[0], ticks[2] - ticks[1], ticks[3] - ticks[2]))
    plan, cross, admit = (
        1e3 * statistics.median(column) for column in zip(*spent[-LAST:], strict=True)
    )
    slowest = 1e3 * max(plan for plan, _, _ in spent[-LAST:])
    youngest = archive.members[-1]
    state = State(
        archive,
        Best(youngest.id, youngest.genome, 0.5),
        Tiling.cut(1, np.arange(datapoints), 256),
        decided=births,
    )
    with TemporaryDirectory() as folder:
        run_dir = RunDir.create(Path(folder) / "run")
        run_dir.save(*pack(state))
        size = (
            sum(
                path.stat().st_size
                for path in (Path(folder) / "run" / "state").rglob("*")
                if path.is_file()
            )
            / 1e6
        )
        run_dir.close()
    largest = max(len(member.genome.coefficients) for member in archive.members)
    return f"{order:6}{plan:9.2f}{slowest:9.2f}{cross:9.2f}{admit:9.2f}{size:13.1f}{largest:12,}"


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=1000)
    parser.add_argument("--births", type=int, default=5000)
    parser.add_argument("--datapoints", type=int, default=1000)
    options = parser.parse_args()
    print(
        f"{'axis':6}{'plan ms':>9}{'slowest':>9}{'cross ms':>9}{'admit ms':>9}{'snapshot MB':>13}{'stretches':>12}"
    )
    for order in ("flat", "unit"):
        print(measured(order, options.members, options.births, options.datapoints), flush=True)


if __name__ == "__main__":
    main()
