"""A whole run of language models: seconds of a birth by part.

    python benchmarks/language_run.py [--births 8] [--questions 100] [--length 20] [--new 12] [--dtype bfloat16] [--threads 1] [--small]
    python benchmarks/language_run.py --config configs/smollm.yaml births=30

Without a config, two fine-tunes of one random base of SmolLM2-135M's shape are bred on questions of random tokens. All is done in a
temporary folder. A clock stands around `Generator.respond` and `LanguageModels.express`; what is left of the time of the births is
everything else: planning, crossover, scores, admission, the log and snapshots. A birth's time has that of the test split in it, where its
child was best. What comes before (loading, inner products of the seeds, founders) and after (export, report) is given apart.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import smol_llama
import torch
from transformers.utils.logging import disable_progress_bar

from evomerge.config import calls, config
from evomerge.evolution import OUTSIDE, evolve
from evomerge.run.loop import Loop
from fitness.generation import Generator
from fitness.questions import QuestionAnswering
from fitness.records import JsonLines
from populations.llm import LanguageModels

Event = tuple[str, float, float]
"""A part, and when it began and ended."""


def clocked(kind: Any, method: str, part: str, events: list[Event]) -> None:
    """Puts a clock around a method of a class."""
    original = getattr(kind, method)

    def timed(self: Any, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(self, *arguments)
        finally:
            events.append((part, started, time.perf_counter()))

    setattr(kind, method, timed)


def questions_of(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """A call of `evolve` that breeds two random models on random questions."""
    seeds = smol_llama.write(
        folder, getattr(torch, options.dtype), small=options.small, names=("a", "b")
    )
    shape = smol_llama.SMALL if options.small else smol_llama.SHAPE
    for split in ("train", "test"):
        prompts = smol_llama.prompts(
            options.questions, options.length, options.length, shape["vocab_size"]
        )
        lines = []
        for question in prompts:
            lines.append(json.dumps({"question": question, "answer": "w1"}) + "\n")
        (folder / f"{split}.jsonl").write_text("".join(lines))
    return {
        "population": LanguageModels(seeds, dtype=options.dtype, device="cpu"),
        "fitness": QuestionAnswering(
            JsonLines(folder / "train.jsonl", folder / "test.jsonl"),
            max_new_tokens=options.new,
            batch=options.batch,
        ),
        "births": options.births,
        "foresee": False,
    }


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, help="a config to run instead")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="of the config")
    parser.add_argument("--births", type=int, default=8)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--length", type=int, default=20)
    parser.add_argument("--new", type=int, default=12)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--threads", type=int, default=1)
    smol_llama.add_shape(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    disable_progress_bar()

    events: list[Event] = []
    clocked(LanguageModels, "express", "express", events)
    clocked(Generator, "respond", "generation", events)
    clocked(Loop, "go", "births", events)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.config is not None:
            given = config.load(options.config, options.overrides)
            call = calls.build(given, evolve, outside=OUTSIDE)
        else:
            call = questions_of(options, folder)
        started = time.perf_counter()
        evolve(**(call | {"run_dir": folder / "run", "progress": False}))
        ended = time.perf_counter()

    [(_, begun, over)] = [event for event in events if event[0] == "births"]
    births, seconds = call["births"], over - begun
    rest = seconds
    print("| part | seconds a birth | share |\n|---|---|---|")
    for part in ("generation", "express"):
        spent = 0.0
        for event, first, last in events:
            if event == part and begun <= first < over:
                spent += last - first
        rest -= spent
        print(f"| {part} | {spent / births:.3f} | {spent / seconds:.1%} |")
    print(f"| everything else | {rest / births:.3f} | {rest / seconds:.1%} |")
    print(f"| a birth | {seconds / births:.3f} | |")
    print(
        f"\nbefore the first birth {begun - started:.1f} s, {births} births {seconds:.1f} s, "
        f"after the last {ended - over:.1f} s"
    )


if __name__ == "__main__":
    main()
