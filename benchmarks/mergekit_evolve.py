"""mergekit's evolutionary search beside evomerge's: the same seeds, questions, scorer and number of evaluations.

    python benchmarks/mergekit_evolve.py [--births 100] [--seeds 0 1] [--train 250] [--test 1000] [--layer-granularity 1]
        [--method linear] [--filters self_attn mlp] [--negative] [--timed 16]

Two specialists of a tiny Llama, which ship with evomerge, are merged for two tasks of lm-eval over local files: sums, and the next
action of an expert in the small shop, given what the expert saw and did before (the shop itself is played turn by turn, which lm-eval
cannot). What is optimised is the mean of the two shares of exact answers, greedily generated, on the first --train questions of each;
--test others are there to look at the best so far, and nothing is chosen by them.

The script `mergekit-evolve` of mergekit 0.1.5 does not start: it reads `lm_eval.models.vllm_causallms`, which lm-eval from 0.4.10 on
does not import by itself, and lm-eval 0.4.9 does not import beside the transformers 5 that mergekit asks for. With that mended it
needs a GPU. So this drives its parts: its configuration and genome, `merge_model` and `evaluate_model`, of which its default strategy
is made, `InMemoryMergeEvaluator`, and `cma.fmin2` with the script's options. What is not as in the script:

- a stand-in for the module that it reads; the CPU as lm-eval's device; no Ray, since one child is raised at a time
- in memory, tasks are planned without pydantic's check, which fails; prompts are answered in batches as asked for, not one by one; and
  rotary frequencies stay float32, as in a model from the disk, where it rounds them to bfloat16, which changes answers
- CMA-ES gets a seed, which the script does not give it; the seeds are not converted, being bfloat16 in one file already

mergekit writes and evaluates bfloat16, so evomerge does likewise here, with the search of configs/skills.yaml otherwise. Its two
founders count as evaluations, so there are two births less. Every child is scored on all questions, in the batches that lm-eval
makes of them, so a model has the same score everywhere; for the seeds and for every child that is raised both ways, that is checked. CMA-ES
evaluates whole generations: what is beyond --births is not counted. The search spaces differ: mergekit has a weight for each group
of layers and seed (and filter), evomerge splits before any tensor and mixes by SLERP, a little beyond the seeds. Of
mergekit's methods task_arithmetic has the base, too, which evomerge has not.

Seconds are medians of a child: making it (merge, write and load; merge in memory; express), generation (`generate_until` of
lm-eval), and the rest (what lm-eval does besides, all of it anew for each child of mergekit; crossing, log, decisions). In memory,
the first --timed children of the first seed are raised once more. torch has one thread.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stderr
from functools import wraps
from pathlib import Path
from typing import Any

import cma  # type: ignore[import-untyped]
import lm_eval.models
import numpy as np
import torch
import yaml
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager
from mergekit.evo.config import EvolMergeConfiguration
from mergekit.evo.genome import ModelGenome
from mergekit.io.tasks import ReturnTensor
from mergekit.options import MergeOptions
from mergekit.plan import MergePlanner
from transformers.utils import logging as transformers_logging

from evomerge import Crossover, Local, NaturalNiches, evolve
from evomerge.rundir.births import read_births
from evomerge.workers.job import Outcome
from fitness.combined import Combined
from fitness.harness import Harness
from fitness.shop import Shop
from fitness.skills import Arithmetic
from populations.llm import LanguageModel, LanguageModels
from populations.skills import folder

SEEDS = ("arithmetic", "shopping")
"""The specialists that are merged."""

TASKS = {"demo_sums": 12, "demo_shopping": 6}
"""lm-eval's tasks, with the most tokens of an answer; as these differ, lm-eval does not mix the tasks in a batch."""

BATCH = 64
"""Prompts that are answered side by side, on both sides."""

SIGMA = 1 / 6
"""The step of CMA-ES at its start: the script's default."""

MAKE, GENERATE, EVALUATE, WHOLE = range(4)
"""What is timed: a model comes to be, it answers, it is scored (answers and all), everything."""

Times = tuple[float, float, float]
"""Seconds of making a child, of generation, and of the rest."""

CLOSE = 1e-6
"""By how much sums in another order may differ."""

Found = tuple[int, float, float]
"""Evaluations so far, the best training score among them, and the same model's test score."""


class Clock:
    """Seconds that were spent in some functions."""

    def __init__(self) -> None:
        """Nothing is watched yet."""
        self.spent = np.zeros(WHOLE)

    def watch(self, owner: Any, name: str, what: int) -> None:
        """From now on adds what a function takes to the seconds of `what`."""
        plain: Callable[..., Any] = getattr(owner, name)

        @wraps(plain)
        def timed(*arguments: Any, **named: Any) -> Any:
            started = time.perf_counter()
            try:
                return plain(*arguments, **named)
            finally:
                self.spent[what] += time.perf_counter() - started

        setattr(owner, name, timed)

    def now(self) -> np.ndarray:
        """(4,) seconds so far; those of everything from no particular moment."""
        return np.append(self.spent, time.perf_counter())


def questions(sizes: dict[str, int]) -> dict[str, list[dict[str, str]]]:
    """Each task's questions with their answers, those to train on first."""
    sums, shop = Arithmetic(**sizes), Shop(**sizes)
    asked: dict[str, list[dict[str, str]]] = {name: [] for name in TASKS}
    for split, size in sizes.items():
        asked["demo_sums"] += [
            {"question": f"{r['question']} = ", "answer": r["answer"]}
            for r in sums.split(split) or ()
        ]
        for number in range(size):
            episode = shop.episode(number, split)
            said, actions = (
                episode.reset(),
                episode.expert()[:-1],
            )  # that it buys in the end, every model knows
            turn = number % len(actions)
            for action in actions[:turn]:
                said += f"{action}\n{episode.step(action)[0]}"
            asked["demo_shopping"].append({"question": said, "answer": actions[turn]})
    return asked


def write_tasks(where: Path, sizes: dict[str, int]) -> None:
    """Files from which lm-eval has the tasks."""
    for name, asked in questions(sizes).items():
        lines = where / f"{name}.jsonl"
        lines.write_text("".join(json.dumps(question) + "\n" for question in asked))
        task = {
            "task": name,
            "dataset_path": "json",
            "dataset_kwargs": {
                "data_files": {"test": str(lines)},
                "cache_dir": str(where / "cache"),
            },
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{answer}}",
            "num_fewshot": 0,
            "generation_kwargs": {"until": ["\n"], "do_sample": False, "max_gen_toks": TASKS[name]},
            "metric_list": [
                {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}
            ],
        }
        (where / f"{name}.yaml").write_text(yaml.safe_dump(task))


class Mergekit:
    """Children of mergekit's genome, made and scored by mergekit."""

    def __init__(self, tasks: Path, clock: Clock, options: argparse.Namespace) -> None:
        """Takes the folder of the tasks, and everything that the script would read from its config and command line."""
        stand_in = types.ModuleType("lm_eval.models.vllm_causallms")
        stand_in.VLLM = type("VLLM", (), {})  # type: ignore[attr-defined]
        lm_eval.models.vllm_causallms = sys.modules[stand_in.__name__] = stand_in
        MergePlanner.plan_in_memory = _plan_in_memory
        from mergekit.evo import actors, helpers

        self.helpers, self.clock = helpers, clock
        base = {"base_model": str(folder("base"))} if options.method == "task_arithmetic" else {}
        self.config = EvolMergeConfiguration.model_validate({
            "genome": {
                "models": [str(folder(name)) for name in SEEDS],
                "merge_method": options.method,
                "layer_granularity": options.layer_granularity,
                "filters": options.filters,
                "allow_negative_weights": options.negative,
                **base,
            },
            "tasks": [{"name": name, "weight": 1 / len(TASKS), "metric": "exact_match,none"} for name in TASKS],
            "limit": options.train,
            "apply_chat_template": False,
            "fewshot_as_multiturn": False,
        })  # fmt: skip
        self.genome = ModelGenome(self.config.genome)
        self.storage = tasks / "merged"
        self.merging = MergeOptions(
            cuda=False, low_cpu_memory=False, read_to_gpu=False, out_shard_size=10**12, copy_tokenizer=True,
            safe_serialization=True, random_seed=0, quiet=True,
        )  # fmt: skip
        with redirect_stderr(io.StringIO()):
            self.tasks = TaskManager(include_path=str(tasks))
        kind = actors.InMemoryMergeEvaluator.__ray_metadata__.modified_class
        self.resident = kind(
            self.config, self.genome, self.merging, batch_size=BATCH, task_manager=self.tasks
        )
        self.resident._maybe_init_model(
            self.genome.genotype_merge_config(self.genome.initial_genotype())
        )
        self.resident.model.batch_size_per_gpu = BATCH
        llama = self.resident.model.model
        llama.model.rotary_emb = type(llama.model.rotary_emb)(llama.config)
        clock.watch(helpers, "merge_model", MAKE)
        clock.watch(actors, "_eval_model", EVALUATE)

    def on_disk(self, genotype: np.ndarray) -> float:
        """The training score of a child that is merged to the disk and loaded, as `OnDiskMergeEvaluator` does."""
        config = self.config
        with redirect_stderr(io.StringIO()):  # lm-eval's bars
            merged = self.helpers.merge_model(
                genotype, self.genome, str(self.storage), self.merging
            )
            return self.helpers.evaluate_model(
                merged, config.tasks, num_fewshot=config.num_fewshot, limit=config.limit, vllm=False, batch_size=BATCH,
                task_manager=self.tasks, apply_chat_template=config.apply_chat_template,
                fewshot_as_multiturn=config.fewshot_as_multiturn, model_kwargs={"device": "cpu"},
            )["score"]  # fmt: skip

    def in_memory(self, genotype: np.ndarray) -> float:
        """The training score of a child that is merged into the resident model."""
        with redirect_stderr(io.StringIO()):
            return self.resident.evaluate_genotype(genotype)["score"]

    def search(
        self, births: int, seed: int, score: Callable[[np.ndarray], float]
    ) -> list[tuple[np.ndarray, float]]:
        """What the script's CMA-ES evaluates, in order, with the scores."""
        seen: list[tuple[np.ndarray, float]] = []

        def costs(genotypes: Sequence[np.ndarray]) -> list[float]:
            seen.extend((np.array(genotype), score(genotype)) for genotype in genotypes)
            return [-found for _, found in seen[-len(genotypes) :]]

        cma.fmin2(
            None,
            parallel_objective=costs,
            x0=self.genome.initial_genotype().view(-1).numpy(),
            sigma0=SIGMA,
            options={
                "maxfevals": births,
                "timeout": None,
                "seed": seed + 1,
                "verbose": -9,
                "verb_log": 0,
            },
        )
        return seen[:births]

    def seed(self, number: int) -> np.ndarray:
        """The genotype of a seed by itself; only weights, and not the SLERP of two, can say that."""
        genotype = self.genome.initial_genotype()
        genotype[..., 0] = 0.0
        genotype[:, number, :, 0] = 1.0
        return genotype.view(-1).numpy()


class Watched(Local):
    """This process, with the seconds of every birth."""

    def __init__(self, clock: Clock) -> None:
        """Looks at a clock that watches expressing and generation."""
        super().__init__(threads=1)
        self.clock, self.away, self.stamps = clock, np.zeros(WHOLE + 1), list[np.ndarray]()

    def result(self, number: int) -> Outcome:
        """As `Local.result`; begins a birth's time, which ends where the next one's begins."""
        self.stamps.append(self.clock.now() - self.away)
        return super().result(number)

    def score(self, *arguments: Any) -> Iterator[np.ndarray]:
        """As `Local.score`; a test is no part of a birth's time."""
        before = self.clock.now()
        rows = list(super().score(*arguments))
        self.away += self.clock.now() - before
        return iter(rows)

    def births(self) -> list[Times]:
        """The seconds of every birth but the last."""
        return [
            (each[MAKE], each[GENERATE], each[WHOLE] - each[MAKE] - each[GENERATE])
            for each in np.diff(self.stamps, axis=0)
        ]


def _plan_in_memory(planner: Any) -> list[Any]:
    """As `MergePlanner.plan_in_memory`, without pydantic's check of each task."""
    planner._plan()
    return [
        ReturnTensor.model_construct(
            weight_info=weight,
            tensor_task=task,
            dtype=weight.force_dtype or planner.config.out_dtype,
        )
        for weight, task in planner._tensors
    ]


def scorer(tasks: Path, train: int) -> Combined:
    """The same tasks as a fitness of evomerge."""
    return Combined([
        Harness(name, "exact_match", train=f"test[:{train}]", test=f"test[{train}:]", include_path=tasks, batch=BATCH)
        for name in TASKS
    ])  # fmt: skip


def mean(fitness: Combined, model: LanguageModel, split: str) -> float:
    """The mean score over all questions of a split."""
    return float(fitness(model, np.arange(fitness.size(split)), split).astype(np.float64).mean())


def population() -> LanguageModels:
    """The seeds, as configs/skills.yaml has them but for the type."""
    seeds = [folder(name) for name in SEEDS]
    return LanguageModels(
        seeds, chromosomes={"attention": "self_attn", "mlp": "mlp"}, dtype="bfloat16"
    )


def check_same(mergekit: Mergekit, fitness: Combined) -> None:
    """Holds the scores of the seeds against each other.

    Raises:
        RuntimeError: if a seed has another score on the other side.
    """
    ours = population()
    for number, genome in enumerate(ours.founders(np.random.default_rng(0))):
        score, test = (mean(fitness, ours.express(genome), split) for split in ("train", "test"))
        print(f"{'seed ' + SEEDS[number]:21}{score:8.4f}{test:8.4f}", flush=True)
        if mergekit.config.genome.merge_method == "linear":
            theirs = (
                mergekit.on_disk(mergekit.seed(number)),
                mergekit.in_memory(mergekit.seed(number)),
            )
            if not np.allclose(theirs, score, rtol=0, atol=CLOSE):
                raise RuntimeError(
                    f"seed {SEEDS[number]}: {score} by evomerge, {theirs} by mergekit on disk and in memory"
                )


def search_theirs(
    mergekit: Mergekit, fitness: Combined, seed: int, marks: Sequence[int], timed: int
) -> tuple[list[Found], list[Times], list[Times]]:
    """The best of mergekit's search at each mark, and the seconds of its children on disk and in memory.

    Raises:
        RuntimeError: if a child has another score in memory than on disk.
    """
    disk, memory = list[Times](), list[Times]()

    def on_disk(genotype: np.ndarray) -> float:
        score, spent = timing(lambda: mergekit.on_disk(genotype), mergekit.clock)
        disk.append((spent[MAKE], spent[GENERATE], spent[WHOLE] - spent[MAKE] - spent[GENERATE]))
        return score

    seen = mergekit.search(marks[-1], seed, on_disk)
    if len(seen) < marks[-1]:
        print(f"{seed:6} CMA-ES ended after {len(seen)} evaluations", flush=True)
    for genotype, score in seen[:timed]:
        again, spent = timing(lambda: mergekit.in_memory(genotype), mergekit.clock)  # noqa: B023
        memory.append(
            (spent[WHOLE] - spent[EVALUATE], spent[GENERATE], spent[EVALUATE] - spent[GENERATE])
        )
        if abs(again - score) > CLOSE:
            raise RuntimeError(
                f"a child has the score {score} on disk and {again} in memory: {genotype}"
            )
    found, tests = list[Found](), dict[int, float]()
    for mark in marks:
        best = int(np.argmax([score for _, score in seen[:mark]]))
        if best not in tests:
            mergekit.in_memory(seen[best][0])
            tests[best] = mean(
                fitness,
                LanguageModel(mergekit.resident.model.model, mergekit.resident.model.tokenizer),
                "test",
            )
        found.append((mark, seen[best][1], tests[best]))
    return found, disk, memory


def timing(call: Callable[[], float], clock: Clock) -> tuple[float, np.ndarray]:
    """What a call gives, and the seconds (4,) that it took."""
    before = clock.now()
    return call(), clock.now() - before


def search_ours(
    fitness: Combined, clock: Clock, seed: int, marks: Sequence[int], where: Path
) -> tuple[list[Found], list[Times]]:
    """The best of evomerge's search at each mark, and the seconds of its births."""
    workers = Watched(clock)
    evolve(
        population(), fitness, strategy=NaturalNiches(size=8, crossover=Crossover(ratio=(-0.3, 1.3))),
        births=marks[-1] - len(SEEDS), seed=seed, tile=fitness.size("train"), foresee=False, workers=workers, run_dir=where,
        progress=False,
    )  # fmt: skip
    bests = [entry for entry in read_births(where) if entry.get("best")]
    found = []
    for mark in marks:
        best = [entry for entry in bests if entry["birth"] <= mark - len(SEEDS)][-1]
        found.append((mark, best["train"], best["test"]))
    return found, workers.births()


def main() -> None:
    """Runs both searches with each seed, and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--births", type=int, default=100, help="evaluations of each search")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--train", type=int, default=250, help="questions of each task to train on")
    parser.add_argument("--test", type=int, default=1000, help="questions of each task to test on")
    parser.add_argument(
        "--method",
        choices=("linear", "slerp", "task_arithmetic"),
        default="linear",
        help="mergekit's",
    )
    parser.add_argument(
        "--layer-granularity",
        type=int,
        default=1,
        help="layers of the model, which has two, to a group",
    )
    parser.add_argument(
        "--filters", nargs="+", help="parts of tensor names that have weights of their own"
    )
    parser.add_argument("--negative", action="store_true", help="weights may be negative")
    parser.add_argument(
        "--timed", type=int, default=16, help="children that are raised in memory, too"
    )
    options = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"
    logging.disable(logging.WARNING)
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    torch.set_num_threads(1)
    marks = [*(n for k in range(20) if (n := 10 * 2**k) < options.births), options.births]
    clock = Clock()
    clock.watch(HFLM, "generate_until", GENERATE)
    with tempfile.TemporaryDirectory() as scratch:
        tasks = Path(scratch)
        write_tasks(tasks, {"train": options.train, "test": options.test})
        fitness, mergekit = scorer(tasks, options.train), Mergekit(tasks, clock, options)
        clock.watch(HFLM, "__init__", MAKE)
        clock.watch(LanguageModels, "express", MAKE)
        print(f"{options.train} questions a task to train on, {options.test} to test on; {mergekit.config.genome.merge_method}, "
              f"{mergekit.genome.initial_genotype().numel()} numbers")  # fmt: skip
        print(f"{'':21}{'train':>8}{'test':>8}")
        check_same(mergekit, fitness)
        print(f"\n{'':21}{'mergekit':>16}{'evomerge':>18}")
        print(f"{'seed':>6}{'evaluations':>15}{'train':>8}{'test':>8}{'train':>10}{'test':>8}")
        disk, memory, births = list[Times](), list[Times](), list[Times]()
        rows: list[tuple[list[Found], list[Found]]] = []
        for seed in options.seeds:
            first, on_disk, in_memory = search_theirs(
                mergekit, fitness, seed, marks, 0 if rows else options.timed
            )
            second, raised = search_ours(fitness, clock, seed, marks, tasks / f"run{seed}")
            rows.append((first, second))
            disk, memory, births = disk + on_disk, memory + in_memory, births + raised
            for (mark, *a), (_, *b) in zip(first, second, strict=True):
                print(f"{seed:6}{mark:15}{a[0]:8.4f}{a[1]:8.4f}{b[0]:10.4f}{b[1]:8.4f}", flush=True)
        for place, mark in enumerate(marks):
            columns = np.mean(
                [[*first[place][1:], *second[place][1:]] for first, second in rows], axis=0
            )
            print(
                f"{'mean':>6}{mark:15}{columns[0]:8.4f}{columns[1]:8.4f}{columns[2]:10.4f}{columns[3]:8.4f}"
            )
        print(
            f"\n{'seconds of a child':21}{'making':>9}{'rest':>9}{'without generation':>21}{'generation':>12}"
        )
        for name, times in (
            ("mergekit on disk", disk),
            ("mergekit in memory", memory),
            ("evomerge", births),
        ):
            if times:
                making, generation, rest = (
                    statistics.median(column) for column in zip(*times, strict=True)
                )
                outside = statistics.median(each[0] + each[2] for each in times)
                print(f"{name:21}{making:9.4f}{rest:9.4f}{outside:21.4f}{generation:12.4f}")


if __name__ == "__main__":
    main()
