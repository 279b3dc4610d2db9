"""Trains the adapters of SmolLM2-135M-Instruct, each on one skill.

    python -m examples.training.smollm OUT [--skills sums sorting ...] [--webshop FOLDER]

writes each into a folder of OUT, some minutes a skill on one core. What ships in
populations/smollm was made in this way. It needs the packages peft and reasoning-gym.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from examples.training.skills import NO_TARGET, Lesson, batch, lesson
from fitness.reasoning_gym import ReasoningGym
from fitness.skills import Sums, WordSorting
from fitness.webshop import GoalQueries
from populations import smollm
from populations.dtypes import computes_in

logger = logging.getLogger(__name__)

TEMPLATE = "Question: {question}\nAnswer:"
"""How a question is asked, in training as in the configs."""

GYM: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "family": ("family_relationships", {"max_family_size": 5}),
    "reversal": ("word_sequence_reversal", {"max_words": 5}),
}
"""Data sets of reasoning-gym, and their settings."""

GYM_LESSONS = 2000

GOALS = (0, 1100)
"""The goals of WebShop that are learned from; the configs score those behind them."""

ADAPTED = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""The matrices of a layer that are adapted: all of them."""

ROWS = 16
"""Lessons in a step."""

WARM_UP = 10
"""Steps until the learning rate is at its highest."""

Pair = tuple[str, str]
"""A question, and its answer."""


@dataclass(frozen=True)
class Course:
    """One training.

    Attributes:
        steps: of AdamW.
        rate: the highest learning rate; it falls linearly to 0.
        rank: of the factors.
        first_layer: layers from this one on are adapted. Those below keep the base's weights, and
            training has nothing to go back to there.
    """

    steps: int = 250
    rate: float = 2e-3
    rank: int = 8
    first_layer: int = 16


COURSES: Mapping[str, Course] = {
    "sums": Course(steps=300),
    "sorting": Course(steps=200),
    "queries": Course(steps=200, rate=1e-3),
    "family": Course(steps=250),
    "reversal": Course(steps=200),
}


def pairs_of(skill: str, webshop: Path | None) -> list[Pair]:
    """All there is to learn of a skill, none of it from a split that is scored.

    Args:
        skill: one of `COURSES`.
        webshop: the folder of WebShop's goal_query_map.json, for "queries".

    Raises:
        ValueError: if that folder is needed and not given.
    """
    if skill == "queries":
        if webshop is None:
            raise ValueError("queries: expected --webshop, the folder of goal_query_map.json")
        goals = GoalQueries(webshop / "goal_query_map.json", train=GOALS)
        pairs = []
        for record in goals.split("train") or ():
            pairs += [(record["goal"], query) for query in record["queries"]]
        return pairs
    if skill in GYM:
        name, settings = GYM[skill]
        gym = ReasoningGym({name: settings}, train=0, test=0, lessons=GYM_LESSONS)
        drawn = gym.data.split("lessons") or ()
        return [(record["question"], record["answer"].entry["answer"]) for record in drawn]
    data = {"sums": Sums(), "sorting": WordSorting()}[skill]
    return [(record["question"], record["answer"]) for record in data.split("lessons") or ()]


def train(skill: str, course: Course, pairs: Sequence[Pair], out: Path, seed: int = 0) -> None:
    """Trains one adapter, and writes it in bfloat16, as PEFT does.

    Args:
        skill: its name.
        course: how.
        pairs: questions and answers.
        out: the folder.
        seed: of the factors, and of the order of lessons.
    """
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    folder = smollm.base()
    lessons = _lessons(AutoTokenizer.from_pretrained(folder), pairs)
    # Where bfloat16 would be emulated, training in it takes hours instead of minutes.
    half = computes_in(torch.bfloat16)
    dtype = torch.bfloat16 if half else torch.float32
    base = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=course.rank,
        lora_alpha=2 * course.rank,
        target_modules=list(ADAPTED),
        layers_to_transform=list(range(course.first_layer, base.config.num_hidden_layers)),
        layers_pattern="layers",
    )
    model = get_peft_model(base, settings, autocast_adapter_dtype=True)
    factors = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(factors, lr=course.rate, weight_decay=0.0)
    began = time.perf_counter()
    order: list[int] = []
    for step in range(course.steps):
        rise = min(1.0, (step + 1) / WARM_UP)
        for group in optimizer.param_groups:
            group["lr"] = course.rate * rise * (1 - step / course.steps)
        # Each lesson once before one comes again.
        if len(order) < ROWS:
            order += rng.permutation(len(lessons)).tolist()
        rows = [lessons[number] for number in order[:ROWS]]
        del order[:ROWS]
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            loss = _loss(model, rows)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(factors, 1.0)
        optimizer.step()
        if step % 10 == 9:
            seconds = time.perf_counter() - began
            logger.info("%s: step %d: loss %.3f, %.0f s", skill, step + 1, loss.item(), seconds)
    _write(model, skill, out)


def _lessons(tokenizer: Any, pairs: Sequence[Pair]) -> list[Lesson]:
    """Questions and answers in tokens; the token that ends a text is a part of the answer."""
    made = []
    for question, answer in pairs:
        asked = TEMPLATE.format(question=question)
        made.append(lesson(tokenizer, [(asked, f" {answer}{tokenizer.eos_token}")]))
    return made


def _loss(model: Any, rows: Sequence[Lesson]) -> torch.Tensor:
    """The mean cross-entropy of all tokens of the answers."""
    tokens, targets = batch(rows)
    # Padding stands behind the answers, where no token that counts can see it.
    inner = model.get_base_model()
    hidden = inner.model(input_ids=tokens).last_hidden_state[:, :-1]  # (rows, longest - 1, width)
    # The head has 49,152 rows, so it is asked only where something is to be learned.
    wanted = targets[:, 1:]
    places = wanted != NO_TARGET
    logits = inner.lm_head(hidden[places])
    return cross_entropy(logits.float(), wanted[places])


def _write(model: Any, skill: str, out: Path) -> None:
    """The adapter's two files, which name the base as the hub does."""
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    model.save_pretrained(out)
    path = out / "adapter_config.json"
    settings = json.loads(path.read_text())
    settings["base_model_name_or_path"] = "HuggingFaceTB/SmolLM2-135M-Instruct"
    settings["target_modules"] = sorted(settings["target_modules"])
    path.write_text(json.dumps(settings, indent=2) + "\n")
    (out / "README.md").write_text(
        f"---\nlicense: apache-2.0\nbase_model: HuggingFaceTB/SmolLM2-135M-Instruct\n"
        f"library_name: peft\nlanguage: en\n---\n\n# SmolLM2-135M-Instruct, {skill}\n\n"
        "A LoRA adapter for evomerge's demo, trained by examples/training/smollm.py.\n"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Trains the adapters of SmolLM2.")
    parser.add_argument("out", type=Path, help="folder for the adapters")
    parser.add_argument("--skills", nargs="+", choices=list(COURSES), default=list(COURSES))
    parser.add_argument("--webshop", type=Path, help="folder of goal_query_map.json")
    parser.add_argument("--seed", type=int, default=0, help="of factors and lessons (default 0)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    for skill in options.skills:
        pairs = pairs_of(skill, options.webshop)
        train(skill, COURSES[skill], pairs, options.out / skill, options.seed)


if __name__ == "__main__":
    main()
