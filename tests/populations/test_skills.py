"""The demo seeds: ordinary checkpoints, a tokenizer that loses nothing, a training that runs."""

import logging
import re

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from examples.training.skills import NO_TARGET, Course, blank, lessons, make, teach, tokenizer
from fitness.shop import INVALID, Shop
from fitness.skills import Arithmetic, Sorting
from populations.skills import SKILLS, folder

NAMES = ("base", *SKILLS)


def texts():
    """All that can be read or said: drills, answered, and visits to the shop with a mistake."""
    for skill in (Arithmetic(), Sorting()):
        for split in ("lessons", "train", "test"):
            yield from (
                f"{record['question']} = {record['answer']}\n" for record in skill.split(split)
            )
    for datapoint in range(300):
        episode = Shop().episode(datapoint, "test")
        talk = episode.reset()
        for action in ["buy", *episode.expert()]:
            talk += f"{action}\n{episode.step(action)[0]}"
        assert INVALID in talk
        yield talk


@pytest.fixture(scope="module")
def words():
    return tokenizer()


@pytest.mark.parametrize("name", NAMES)
def test_a_folder_loads_as_any_checkpoint(name, words):
    model = AutoModelForCausalLM.from_pretrained(folder(name))
    stored = AutoTokenizer.from_pretrained(folder(name))
    assert model.dtype == torch.bfloat16
    assert all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values())
    assert stored.get_vocab() == words.get_vocab(), (
        "the shipped models were trained on this vocabulary"
    )
    assert model.config.vocab_size == len(stored)
    assert (stored.pad_token, stored.bos_token, stored.eos_token) == ("<pad>", "<bos>", "<eos>")
    assert stored.padding_side == "left"
    assert not model.generation_config.do_sample


def test_an_answer_ends_with_its_line(words):
    model = AutoModelForCausalLM.from_pretrained(folder("arithmetic"), dtype=torch.float32)
    records = Arithmetic().split("test")[:50]
    asked = words(
        [f"{record['question']} = " for record in records], padding=True, return_tensors="pt"
    )
    answers = words.batch_decode(
        model.generate(**asked)[:, asked["input_ids"].shape[1] :], skip_special_tokens=True
    )
    assert all(re.fullmatch(r"\d{1,3}\n", answer) for answer in answers)
    assert (
        sum(
            answer == f"{record['answer']}\n"
            for answer, record in zip(answers, records, strict=True)
        )
        > 35
    )


def test_all_together_are_small():
    files = [file for name in NAMES for file in folder(name).iterdir()]
    assert sum(file.stat().st_size for file in files) < 4_000_000
    assert {file.suffix for file in files} == {".json", ".safetensors"}


def test_a_folder_that_does_not_ship():
    with pytest.raises(
        ValueError, match="expected base, arithmetic, sorting, shopping, got 'cooking'"
    ):
        folder("cooking")


def test_the_tokenizer_loses_nothing(words):
    unknown = words.unk_token_id
    every = list(texts())
    for text, tokens in zip(every, words(every)["input_ids"], strict=True):
        assert unknown not in tokens
        assert words.decode(tokens) == text
    assert words("café")["input_ids"].count(unknown) > 0


def test_a_text_may_be_cut_where_a_turn_ends(words):
    """Lessons are put together of pieces, and scored texts are read in one piece."""
    material = lessons(words, visits=50)
    records = Sorting().split("lessons")
    assert (
        material["sorting"][0][0]
        == words(f"{records[0]['question']} = {records[0]['answer']}\n")["input_ids"]
    )
    for tokens, targets in material["shopping"]:
        assert words(words.decode(tokens))["input_ids"] == tokens
        spoken = words.decode([target for target in targets if target != NO_TARGET])
        assert re.fullmatch(r"search \w+\n(click \w+\n){3}buy\n", spoken)


def test_lessons_are_not_what_is_scored(words):
    taught = {words.decode(tokens) for tokens, _ in lessons(words, visits=1)["arithmetic"]}
    scored = {
        f"{r['question']} = {r['answer']}\n"
        for split in ("train", "test")
        for r in Arithmetic().split(split)
    }
    assert taught
    assert scored
    assert not taught & scored


def test_teaching_lowers_the_loss(words, caplog):
    material = lessons(words, visits=60)
    model = blank(0, words)
    with caplog.at_level(logging.INFO):
        teach(
            model, Course(steps=120, rate=3e-3, end=0.5, lessons={"shopping": 8}), material, seed=0
        )
    first, last = (float(re.search(r"loss ([\d.]+)", message)[1]) for message in caplog.messages)
    assert last < first
    assert not model.training


def test_a_short_training_writes_folders_and_repeats_itself(tmp_path):
    course = Course(steps=4, rate=1e-3, end=0.5, lessons={"arithmetic": 2, "shopping": 0.5})
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        make(tmp_path / out, seed=seed, base=course, specialists={"shopping": course}, visits=4)
    weights = {}
    for out in "abc":
        for name in ("base", "shopping"):
            model = AutoModelForCausalLM.from_pretrained(tmp_path / out / name)
            weights[out, name] = torch.cat(
                [parameter.flatten() for parameter in model.parameters()]
            )
            assert (
                AutoTokenizer.from_pretrained(tmp_path / out / name).decode(
                    [model.config.pad_token_id]
                )
                == "<pad>"
            )
            assert model.generation_config.max_new_tokens
    assert torch.equal(weights["a", "base"], weights["b", "base"])
    assert torch.equal(weights["a", "shopping"], weights["b", "shopping"])
    assert not torch.equal(weights["a", "base"], weights["a", "shopping"])
    assert not torch.equal(weights["a", "base"], weights["c", "base"])
