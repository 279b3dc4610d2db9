"""How the demo seeds are trained: one base that is stopped early, and a short fine-tune of it for each skill."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from fitness import shop
from fitness.shop import Shop
from fitness.skills import LETTERS, Arithmetic, Skill, Sorting

logger = logging.getLogger(__name__)

PIECE = r"(?:[a-z]+|[^a-z]) ?"
"""A token: a word, digit or sign with the space behind it, if there is one. So texts may be joined before or after encoding."""

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
WORDS = (
    *"0123456789+-=>",
    *("sort", *LETTERS),
    *(shop.WANT, shop.NOT, shop.READY, shop.INVALID, shop.SEARCH, shop.CLICK, shop.BUY),
    *(word for words in shop.ATTRIBUTES for word in words),
)
CONTEXT = 256
"""Tokens that the models can hold."""

VISITS = 6000
"""Purchases of the expert to learn from."""

NO_TARGET = -100

Lesson = tuple[list[int], list[int]]
"""Tokens, and the same tokens where the model is to speak, `NO_TARGET` where it listens."""


@dataclass(frozen=True)
class Course:
    """One training.

    Attributes:
        steps: of AdamW.
        rate: learning rate at the start, after a short warm-up; it falls linearly.
        end: share of the rate that is left at the end.
        lessons: of each skill in one step; a fraction is the chance of one more.
        enough: by skill the share of lessons, averaged over some 20 steps, that ends the training once it is answered right.
    """

    steps: int
    rate: float
    end: float
    lessons: Mapping[str, float]
    enough: Mapping[str, float] = field(default_factory=dict)


BASE = Course(
    steps=1200,
    rate=3e-3,
    end=0.2,
    lessons={"arithmetic": 96, "sorting": 12, "shopping": 28},
    enough={"arithmetic": 0.5},
)
"""Stopped early: it knows something of every skill, and clearly less than each specialist of its own."""

SPECIALISTS = {
    "arithmetic": Course(
        steps=200, rate=6e-4, end=0.1, lessons={"arithmetic": 128, "sorting": 0.1, "shopping": 0.1}
    ),
    "sorting": Course(
        steps=350, rate=5e-4, end=0.1, lessons={"sorting": 48, "arithmetic": 0.2, "shopping": 0.1}
    ),
    "shopping": Course(
        steps=150, rate=4e-4, end=0.1, lessons={"shopping": 32, "arithmetic": 0.3, "sorting": 0.1}
    ),
}
"""Gentle: an other lesson now and then keeps them from forgetting all of the rest, and near enough to each other to merge."""


def tokenizer() -> Any:
    """A PreTrainedTokenizerFast over the words, digits and signs of all skills; it puts nothing before or behind a text."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = [*SPECIAL, "\n", *(piece for word in WORDS for piece in (word, word + " "))]
    core = Tokenizer(
        models.WordLevel(
            {piece: number for number, piece in enumerate(pieces)}, unk_token=SPECIAL[-1]
        )
    )
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    core.decoder = decoders.Fuse()
    names = {f"{name[1:-1]}_token": name for name in SPECIAL}
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        **names,
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def blank(seed: int, words: Any) -> Any:
    """A tiny LlamaForCausalLM with random weights, in float32, for this tokenizer."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokens = {
        "pad_token_id": words.pad_token_id,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
    }
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(words),
            hidden_size=96,
            intermediate_size=288,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=CONTEXT,
            tie_word_embeddings=True,
            **tokens,
        )
    )
    ends = [
        words.eos_token_id,
        words.convert_tokens_to_ids("\n"),
    ]  # an answer is a line, and so is an action
    model.generation_config = GenerationConfig(
        **{**tokens, "eos_token_id": ends}, do_sample=False, max_new_tokens=16
    )
    return model


def lessons(words: Any, visits: int = VISITS) -> dict[str, list[Lesson]]:
    """All there is to learn of each skill, in the tokens of this tokenizer, none of it from a split that is scored."""

    def drill(skill: Skill) -> list[list[tuple[str, str]]]:
        return [
            [(f"{record['question']} = ", f"{record['answer']}\n")]
            for record in skill.split("lessons") or ()
        ]

    talks = {
        "arithmetic": drill(Arithmetic()),
        "sorting": drill(Sorting()),
        "shopping": [_purchase(Shop().episode(number, "lessons")) for number in range(visits)],
    }
    return {name: [_lesson(words, talk) for talk in spoken] for name, spoken in talks.items()}


def teach(model: Any, course: Course, material: Mapping[str, Sequence[Lesson]], seed: int) -> None:
    """Trains a model in place on lessons drawn with `seed`."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=course.rate, betas=(0.9, 0.98))
    slope = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / 20) * (1 - (1 - course.end) * step / course.steps),
    )
    total = sum(course.lessons.values())
    mastery = dict.fromkeys(course.lessons, 0.0)
    began = time.perf_counter()
    model.train()
    for step in range(course.steps):
        loss = 0.0
        for (
            name,
            share,
        ) in course.lessons.items():  # one skill after another, as their lengths differ
            count = int(share + rng.random())
            if not count:
                continue
            tokens, targets = _batch(
                [material[name][number] for number in rng.integers(len(material[name]), size=count)]
            )
            logits, targets = model(input_ids=tokens).logits[:, :-1], targets[:, 1:]
            part = (
                cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)
                * count
                / total
            )
            part.backward()
            loss += part.item()
            right = (
                ((logits.argmax(dim=-1) == targets) | (targets == NO_TARGET))
                .all(dim=-1)
                .float()
                .mean()
                .item()
            )
            mastery[name] += (right - mastery[name]) / 20
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        slope.step()
        optimizer.zero_grad()
        done = step + 1 == course.steps or any(
            mastery[name] >= share for name, share in course.enough.items()
        )
        if done or (step + 1) % 100 == 0:
            known = ", ".join(f"{name} {100 * share:.0f} %" for name, share in mastery.items())
            logger.info(
                "step %d: loss %.3f, right %s, %.0f s",
                step + 1,
                loss,
                known,
                time.perf_counter() - began,
            )
        if done:
            break
    model.eval()


def make(
    out: Path,
    *,
    seed: int = 0,
    base: Course = BASE,
    specialists: Mapping[str, Course] = SPECIALISTS,
    visits: int = VISITS,
) -> None:
    """Trains the base, and from it every specialist, and writes each into a folder of its name in bfloat16.

    Args:
        out: where the folders go.
        seed: of weights and lessons.
        base: the base's training.
        specialists: by name, the fine-tune of each.
        visits: purchases to learn from.
    """
    words = tokenizer()
    material = lessons(words, visits)
    model = blank(seed, words)
    logger.info("base: %s parameters", f"{model.num_parameters():,}")
    teach(model, base, material, seed)
    _write(model, words, out / "base")
    start = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for number, (name, course) in enumerate(specialists.items(), start=1):
        logger.info("%s", name)
        model.load_state_dict(start)
        teach(model, course, material, seed + number)
        _write(model, words, out / name)


def _purchase(episode: shop.Episode) -> list[tuple[str, str]]:
    """What the expert sees and does, turn by turn."""
    talk, seen = [], episode.reset()
    for action in episode.expert():
        talk.append((seen, action + "\n"))
        seen, _, _ = episode.step(action)
    return talk


def _lesson(words: Any, talk: Sequence[tuple[str, str]]) -> Lesson:
    tokens: list[int] = []
    targets: list[int] = []
    for heard, spoken in zip(
        *(words([turn[side] for turn in talk])["input_ids"] for side in (0, 1)), strict=True
    ):
        tokens += heard + spoken
        targets += [NO_TARGET] * len(heard) + spoken
    return tokens, targets


def _batch(rows: Sequence[Lesson]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets (rows, longest), padded on the right, where nothing is asked."""
    longest = max(len(tokens) for tokens, _ in rows)
    tokens = torch.tensor([tokens + [0] * (longest - len(tokens)) for tokens, _ in rows])
    targets = torch.tensor(
        [targets + [NO_TARGET] * (longest - len(targets)) for _, targets in rows]
    )
    return tokens, targets


def _write(model: Any, words: Any, folder: Path) -> None:
    """An ordinary checkpoint, in bfloat16; the model goes on in float32."""
    stored = type(model)(model.config)
    stored.load_state_dict(model.state_dict())
    stored.generation_config = model.generation_config
    stored.to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)
