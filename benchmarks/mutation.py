"""What mutation of a recipe does to real models: scores of mutated mixtures, with noise of both kinds and of several sizes.

    python benchmarks/mutation.py SEED SEED ... --data sums.jsonl sorting.jsonl

Seeds are folders of language models or of LoRA adapters; each file of data is JSON lines with a `question` and an
`answer`. The table has the mean score of each file over the children of the seeds' equal mixture.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from evomerge.genome.recipe import Recipe
from fitness.matching import exact
from fitness.questions import QuestionAnswering
from fitness.records import JsonLines, Part
from populations.llm import LanguageModels


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("seeds", nargs="+")
    parser.add_argument(
        "--data", nargs="+", type=Path, required=True, help="JSON lines, a file for each skill"
    )
    parser.add_argument("--adapter-base", help="what LoRA adapters among the seeds stand on")
    parser.add_argument("--questions", type=int, default=100, help="questions of each file")
    parser.add_argument("--children", type=int, default=3, help="children for each row")
    parser.add_argument("--scales", nargs="+", type=float, default=[0.05, 0.1, 0.2])
    parser.add_argument("--template", default="Question: {question}\nAnswer:")
    parser.add_argument("--dtype", default="bfloat16")
    options = parser.parse_args()

    population = LanguageModels(
        options.seeds, adapter_base=options.adapter_base, dtype=options.dtype
    )
    skills = {}
    for path in options.data:
        data = JsonLines(Part(path, stop=options.questions))
        skills[path.stem] = QuestionAnswering(
            data, options.template, score=exact, max_new_tokens=16, stop="\n"
        )

    # Every layer's mixture gets noise of its own, as in a recipe that has been split often.
    size, count = population.axis.size, len(options.seeds)
    bounds = np.unique(np.linspace(0, size, 31).astype(np.int64))
    middle = Recipe(bounds, np.full((len(bounds) - 1, count), 1 / count))

    def scores(genome: Recipe) -> list[float]:
        model = population.express(genome)
        means = []
        for fitness in skills.values():
            row = fitness(model, np.arange(options.questions), "train")
            means.append(float(row.mean()))
        return means

    founders = population.founders(np.random.default_rng(0))
    rows = [(name, [scores(genome)]) for name, genome in zip(options.seeds, founders, strict=True)]
    rows.append(("their equal mixture", [scores(middle)]))
    for scale in options.scales:
        for noise in ("free", "zero-sum"):
            children = [
                scores(middle.mutate(scale, number, noise)) for number in range(options.children)
            ]
            rows.append((f"noise {scale:g}, {noise}", children))
            print(json.dumps({"noise": noise, "scale": scale, "scores": children}), flush=True)

    print("| | " + " | ".join(skills) + " |")
    print("|---" * (len(skills) + 1) + "|")
    for name, tries in rows:
        cells = [f"{mean:.3f}" for mean in np.mean(tries, axis=0)]
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
