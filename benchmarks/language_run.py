"""A whole run of language models of SmolLM2-135M's shape: seconds of a birth by part.

    python benchmarks/language_run.py [--births 8] [--questions 100] [--length 20] [--new 12] [--dtype bfloat16] [--threads 1] [--small]

Two fine-tunes of one random base are bred in a temporary folder, on questions of random tokens. A clock stands around `Generator` and
`LanguageModels.express`; what is left of the time from the founders' last answer to the last child's is everything else: planning, crossover,
scores, admission, the log and snapshots. What comes before (loading, inner products of the seeds, founders) and after (test
questions, export, report) is given apart.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import smol_llama
import torch
from transformers.utils.logging import disable_progress_bar

from evomerge import evolve
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


def run(options: argparse.Namespace, folder: Path) -> tuple[list[Event], float, float]:
    """What happened in a run, and when it began and ended."""
    seeds = smol_llama.write(
        folder, getattr(torch, options.dtype), small=options.small, names=("a", "b")
    )
    vocabulary = smol_llama.SMALL["vocab_size"] if options.small else smol_llama.SHAPE["vocab_size"]
    for split in ("train", "test"):
        questions = smol_llama.prompts(
            options.questions, options.length, options.length, vocabulary
        )
        lines = [
            json.dumps({"question": question, "answer": "w1"}) + "\n" for question in questions
        ]
        (folder / f"{split}.jsonl").write_text("".join(lines))
    events: list[Event] = []
    clocked(LanguageModels, "express", "express", events)
    clocked(Generator, "respond", "generation", events)
    started = time.perf_counter()
    evolve(
        LanguageModels(seeds, dtype=options.dtype, device="cpu"),
        QuestionAnswering(
            JsonLines(folder / "train.jsonl", folder / "test.jsonl"),
            max_new_tokens=options.new,
            batch=options.batch,
        ),
        births=options.births,
        foresee=False,
        run_dir=folder / "run",
        progress=False,
    )
    return events, started, time.perf_counter()


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
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
    with tempfile.TemporaryDirectory() as folder:
        events, started, ended = run(options, Path(folder))
    # one call of each for a member, since all questions are one tile: first the two founders, then a child for each birth
    members = 2 + options.births
    answered = [event for event in events if event[0] == "generation"]
    begun, over = answered[1][2], answered[members - 1][2]
    inside = [event for event in events if begun <= event[1] < over]
    rest = over - begun
    print("| part | seconds a birth | median | share |\n|---|---|---|---|")
    for part in ("generation", "express"):
        seconds = [last - first for name, first, last in inside if name == part]
        rest -= sum(seconds)
        mean, share = sum(seconds) / options.births, sum(seconds) / (over - begun)
        print(f"| {part} | {mean:.3f} | {statistics.median(seconds):.3f} | {share:.1%} |")
    print(f"| everything else | {rest / options.births:.3f} | | {rest / (over - begun):.1%} |")
    print(f"| a birth | {(over - begun) / options.births:.3f} | | |")
    print(
        f"\nbefore the first birth {begun - started:.1f} s, {options.births} births {over - begun:.1f} s, "
        f"after the last {ended - over:.1f} s"
    )


if __name__ == "__main__":
    main()
