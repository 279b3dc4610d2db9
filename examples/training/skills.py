"""Trains the language models of the demo: a base that is stopped early, and a specialist a skill.

    python -m examples.training.skills OUT [--seed 0]

writes each into a folder of OUT, after some minutes on the CPU. What ships in populations/skills
was made in this way. Each specialist is a short fine-tune of the base.
"""

from __future__ import annotations

import argparse
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
"""A token: a word, digit or sign with the space behind it, if there is one.

So texts may be joined before or after encoding.
"""

UNKNOWN = "<unk>"
SPECIAL = ("<pad>", "<bos>", "<eos>", UNKNOWN)

WORDS = (
    *"0123456789+-=>",
    *("sort", *LETTERS),
    *(shop.WANT, shop.NOT, shop.READY, shop.INVALID, shop.SEARCH, shop.CLICK, shop.BUY),
    *[word for words in shop.ATTRIBUTES for word in words],
)
CONTEXT = 256
"""Tokens that the models can hold."""

VISITS = 6000
"""Purchases of the expert to learn from."""

NO_TARGET = -100
"""In the place of a token that is not to be learned."""

WARM_UP = 20
"""Steps until the learning rate is at its highest, and over which what is right is averaged."""

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
        enough: by skill the share of lessons, averaged over some 20 steps, that ends the training
            once it is answered right.
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
"""Stopped early: it knows something of every skill, and less of each than the specialist."""

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
"""Gentle, so that specialists stay near enough to each other to merge.

A lesson of another skill now and then keeps them from forgetting all of the rest.
"""


def make(
    out: Path,
    *,
    seed: int = 0,
    base: Course = BASE,
    specialists: Mapping[str, Course] = SPECIALISTS,
    visits: int = VISITS,
) -> None:
    """Trains the base, and from it every specialist, and writes each into a folder of its name.

    Args:
        out: where the folders go; weights are written in bfloat16.
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


def tokenizer() -> Any:
    """A PreTrainedTokenizerFast over the words, digits and signs of all skills.

    It puts nothing before or behind a text.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Each word is two tokens: alone, and with the space behind it.
    pieces = [*SPECIAL, "\n"]
    for word in WORDS:
        pieces += [word, word + " "]
    vocabulary = {piece: number for number, piece in enumerate(pieces)}
    core = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    core.pre_tokenizer = pre_tokenizers.Split(Regex(PIECE), behavior="isolated")
    core.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        **{f"{token[1:-1]}_token": token for token in SPECIAL},
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
    config = LlamaConfig(
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
    model = LlamaForCausalLM(config)
    # An answer is a line, and so is an action.
    tokens["eos_token_id"] = [words.eos_token_id, words.convert_tokens_to_ids("\n")]
    model.generation_config = GenerationConfig(**tokens, do_sample=False, max_new_tokens=16)
    return model


def lessons(words: Any, visits: int = VISITS) -> dict[str, list[Lesson]]:
    """All there is to learn of each skill, in the tokens of this tokenizer.

    None of it is from a split that is scored.

    Args:
        words: the tokenizer.
        visits: purchases to learn from.
    """
    shop_talks = []
    for number in range(visits):
        shop_talks.append(_purchase(Shop().episode(number, "lessons")))
    talks = {
        "arithmetic": _drill(Arithmetic()),
        "sorting": _drill(Sorting()),
        "shopping": shop_talks,
    }
    material = {}
    for name, spoken in talks.items():
        material[name] = [lesson(words, talk) for talk in spoken]
    return material


def teach(model: Any, course: Course, material: Mapping[str, Sequence[Lesson]], seed: int) -> None:
    """Trains a model in place on lessons drawn with `seed`."""
    rng = np.random.default_rng(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=course.rate, betas=(0.9, 0.98))
    slope = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(1.0, (step + 1) / WARM_UP) * (1 - (1 - course.end) * step / course.steps),
    )
    total = sum(course.lessons.values())
    mastery = dict.fromkeys(course.lessons, 0.0)
    began = time.perf_counter()
    model.train()
    for step in range(course.steps):
        loss = 0.0
        # One skill after another, as the lengths of their lessons differ.
        for name, share in course.lessons.items():
            count = int(share + rng.random())
            if not count:
                continue
            numbers = rng.integers(len(material[name]), size=count)
            tokens, targets = batch([material[name][number] for number in numbers])
            # The token at each place is predicted from those before it.
            logits = model(input_ids=tokens).logits[:, :-1]  # (count, longest - 1, tokens)
            targets = targets[:, 1:]
            part = cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=NO_TARGET)
            part = part * count / total
            part.backward()
            loss += part.item()
            # A lesson is right if all that the model had to say is.
            right = (logits.argmax(dim=-1) == targets) | (targets == NO_TARGET)
            right_share = right.all(dim=-1).float().mean().item()
            mastery[name] += (right_share - mastery[name]) / WARM_UP
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        slope.step()
        optimizer.zero_grad()
        enough = any(mastery[name] >= share for name, share in course.enough.items())
        done = enough or step + 1 == course.steps
        if done or (step + 1) % 100 == 0:
            known = ", ".join([f"{name} {100 * share:.0f} %" for name, share in mastery.items()])
            seconds = time.perf_counter() - began
            logger.info("step %d: loss %.3f, right %s, %.0f s", step + 1, loss, known, seconds)
        if done:
            break
    model.eval()


def _drill(skill: Skill) -> list[list[tuple[str, str]]]:
    """Questions and answers, each a talk of one turn."""
    talks = []
    for record in skill.split("lessons") or ():
        talks.append([(f"{record['question']} = ", f"{record['answer']}\n")])
    return talks


def _purchase(episode: shop.Episode) -> list[tuple[str, str]]:
    """What the expert sees and does, turn by turn."""
    talk = []
    seen = episode.reset()
    for action in episode.expert():
        talk.append((seen, action + "\n"))
        seen, _, _ = episode.step(action)
    return talk


def lesson(words: Any, talk: Sequence[tuple[str, str]]) -> Lesson:
    """A talk in tokens: the model listens to the first text of a turn, and speaks the second."""
    heard = words([text for text, _ in talk])["input_ids"]
    spoken = words([text for _, text in talk])["input_ids"]
    tokens: list[int] = []
    targets: list[int] = []
    for question, answer in zip(heard, spoken, strict=True):
        tokens += question + answer
        targets += [NO_TARGET] * len(question) + answer
    return tokens, targets


def batch(rows: Sequence[Lesson]) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens and targets (rows, longest), padded on the right, where nothing is asked."""
    longest = max(len(tokens) for tokens, _ in rows)
    all_tokens = []
    all_targets = []
    for tokens, targets in rows:
        missing = longest - len(tokens)
        all_tokens.append(tokens + [0] * missing)
        all_targets.append(targets + [NO_TARGET] * missing)
    return torch.tensor(all_tokens), torch.tensor(all_targets)


def _write(model: Any, words: Any, folder: Path) -> None:
    """An ordinary checkpoint, in bfloat16; the model goes on in float32."""
    stored = type(model)(model.config)
    stored.load_state_dict(model.state_dict())
    stored.generation_config = model.generation_config
    stored.to(torch.bfloat16).save_pretrained(folder)
    words.save_pretrained(folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Trains the demo's language models.")
    parser.add_argument(
        "out", type=Path, help="folder for the checkpoints base, arithmetic, sorting and shopping"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and lessons (default 0)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make(options.out, seed=options.seed)


if __name__ == "__main__":
    main()
