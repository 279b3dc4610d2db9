"""Expressing a child of large seeds: beside a plain copy of the same bytes, and beside mergekit by way of the disk.

    python benchmarks/express.py [--gigabytes 1.0] [--threads 2] [--rounds 7] [--device cpu]

A Llama with random weights of at least so many gigabytes and K = 2 and 4 fine-tunes of it, in float32 and bfloat16, are written into a
temporary folder. A child is a recipe of twenty nested crossovers with splits between tensors. In each round the child is
expressed into the resident model, and as many bytes are copied as that reads and writes: K models read, one written. mergekit
builds the same child from its exported recipe, in this process, and transformers loads it; what it writes is timed as far as the page
cache, and until it is on the disk. Memory is the peak of a process of its own
that loads the seeds and expresses the child, less its peak when it had done the same with a model of some megabytes (libraries, compiled
code), beside the size of the seeds' files and the model.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from tokenizers import Tokenizer, models
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils.logging import disable_progress_bar

from evomerge.genome.crossover import Crossover
from evomerge.genome.recipe import Recipe
from populations.llm import LanguageModels


def shape_of(gigabytes: float, dtype: torch.dtype) -> LlamaConfig:
    """As many layers of Llama as it takes, 2,048 wide."""
    config = LlamaConfig(
        hidden_size=2048,
        intermediate_size=5632,
        num_attention_heads=16,
        num_key_value_heads=8,
        vocab_size=32000,
    )
    layer, rest = 2048 * (2 * 2048 + 2 * 1024) + 3 * 2048 * 5632, 2 * 32000 * 2048
    config.num_hidden_layers = int(max(1, -(-(gigabytes * 1e9 / dtype.itemsize - rest) // layer)))
    return config


SMALL = LlamaConfig(
    hidden_size=64,
    intermediate_size=128,
    num_attention_heads=2,
    num_key_value_heads=2,
    num_hidden_layers=2,
    vocab_size=64,
)
"""What a process gets its libraries ready with."""


def write_seeds(folder: Path, count: int, dtype: torch.dtype, config: LlamaConfig) -> list[str]:
    """Fine-tunes of one random base."""
    folder.mkdir()
    torch.manual_seed(0)
    with torch.device("meta"):
        model = LlamaForCausalLM(config)
    model = model.to(dtype).to_empty(device="cpu")
    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    )
    seeds = []
    for k in range(count):
        for name, parameter in model.named_parameters():
            parameter.data.normal_(0, 0.02) if k == 0 else parameter.data.add_(
                torch.full_like(parameter, 1e-3 * k)
            )
            if "norm" in name:
                parameter.data.fill_(1.0)
        seeds.append(str(folder / f"seed{k}"))
        model.save_pretrained(seeds[-1])
        words.save_pretrained(seeds[-1])
    return seeds


def bred(population: Any) -> Recipe:
    """A child of twenty nested crossovers of all seeds."""
    rng = np.random.default_rng(0)
    genomes = population.founders(rng)
    crossover = Crossover()
    for birth in range(20):
        mate = genomes[birth % len(population.seeds)]
        genomes.append(genomes[-1].cross(mate, crossover.draw(population.axis, rng), population))
    return genomes[-1]


def copying(population: Any) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Pairs of tensors of which copying each reads and writes what a child does: (K + 1) / 2 models."""
    slots, pairs = population._slots, []
    copies = {name: torch.empty_like(slot) for name, slot in slots.items()}
    budget = (len(population.seeds) + 1) / 2 * sum(slot.numel() for slot in slots.values())
    for k in range(len(population.seeds)):
        for name in slots:
            source = population._kept.tensors(name)[k].view(-1)[: int(budget)]
            if len(source):
                pairs.append((copies[name].view(-1)[: len(source)], source))
                budget -= len(source)
    return pairs


def timed(call: Callable[[], object], device: str) -> float:
    """Seconds of one call."""
    if device == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    call()
    if device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def by_way_of_disk(folder: Path, device: str) -> tuple[float, float]:
    """Seconds that mergekit takes to write the child that `folder` has the recipe of, and transformers to load it.

    Twice: as far as the page cache, from which it is loaded again; and when what was written is on the disk before it is loaded.
    """
    from mergekit.config import MergeConfiguration
    from mergekit.merge import MergeOptions, run_merge

    config = MergeConfiguration.model_validate(
        yaml.safe_load((folder / "mergekit.yaml").read_text())
    )
    os.sync()
    started = time.perf_counter()
    run_merge(config, str(folder / "child"), MergeOptions(cuda=device == "cuda", quiet=True))
    merged = time.perf_counter()
    os.sync()
    on_disk = time.perf_counter()
    AutoModelForCausalLM.from_pretrained(folder / "child", dtype="auto").to(device)
    whole = time.perf_counter() - started
    return whole - (on_disk - merged), whole


def against_copy(population: Any, child: Recipe, rounds: int) -> tuple[float, float, float]:
    """Median seconds of expressing a child, of a plain copy of as many bytes, and the median of their ratios, round by round."""
    population.express(child)
    pairs = copying(population)

    def copy() -> None:
        for target, source in pairs:
            target.copy_(source)

    copy()
    express = partial(population.express, child)
    times = [
        (timed(express, population.device), timed(copy, population.device)) for _ in range(rounds)
    ]
    ours, plain = (statistics.median(column) for column in zip(*times, strict=True))
    return ours, plain, statistics.median(a / b for a, b in times)


def peak(kind: type, small: Sequence[object], seeds: Sequence[object], device: str) -> float:
    """Gigabytes that a process of its own needs at most to load seeds and express a child, beside what small ones need."""
    code = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import express
from {kind.__module__} import {kind.__name__}
for paths in {(list(map(str, small)), list(map(str, seeds)))}:
    population = {kind.__name__}(paths, device={device!r})
    population.express(express.bred(population))
    print(express.high_water({device!r}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split()[-2:])
    return (after - before) / 1e6


def high_water(device: str) -> int:
    """Kilobytes that this process needed at most on the device; in the host's memory with the files that it has mapped."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated() // 1024
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def measured(
    small: list[str], seeds: list[str], folder: Path, options: argparse.Namespace, dtype: str
) -> None:
    """Prints one line of the table."""
    population = LanguageModels(seeds, device=options.device)
    child = bred(population)
    ours, plain, ratio = against_copy(population, child, options.rounds)
    size = sum(slot.numel() * slot.element_size() for slot in population._slots.values()) / 1e9
    (folder / "out").mkdir()
    population.save(child, folder / "out")
    del population
    cached, disk = by_way_of_disk(folder / "out", options.device)
    memory, floor = peak(LanguageModels, small, seeds, options.device), (len(seeds) + 1) * size
    print(
        f"{dtype:9}{len(seeds):3}{size:7.2f}{1e3 * ours:11.1f}{1e3 * plain:9.1f}{ratio:7.2f}"
        f"{cached:13.1f}{cached / ours:8.0f}{disk:13.1f}{disk / ours:8.0f}{memory:10.2f}{floor:8.2f}{memory / floor:7.2f}",
        flush=True,
    )


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    disable_progress_bar()
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {options.device}, {options.threads} thread(s), {options.rounds} rounds: medians"
    )
    print(f"{'':9}{'K':>3}{'GB':>7}{'express ms':>11}{'copy ms':>9}{'ratio':>7}{'mergekit s':>13}{'times':>8}{'to disk s':>13}{'times':>8}"
          f"{'peak GB':>10}{'floor':>8}{'ratio':>7}")  # fmt: skip
    for dtype in (torch.float32, torch.bfloat16):
        for count in (2, 4):
            with tempfile.TemporaryDirectory() as folder:
                small = write_seeds(Path(folder) / "small", count, dtype, SMALL)
                seeds = write_seeds(
                    Path(folder) / "large", count, dtype, shape_of(options.gigabytes, dtype)
                )
                measured(small, seeds, Path(folder), options, str(dtype).removeprefix("torch."))


if __name__ == "__main__":
    main()
