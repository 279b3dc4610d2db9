"""Special tokens in a response: they can be extracted, can stop it, and are not scored."""

import re

import numpy as np
import pytest
import torch
from tiny_llama import TinyLlama

from fitness.agents import Agents
from fitness.generation import Generator
from fitness.matching import exact, numeric
from fitness.questions import QuestionAnswering
from fitness.responses import Response, extracted, special_tokens

SPECIAL = [
    *(
        "</s>",
        "<pad>",
        "<s>",
        "<ans>",
        "</ans>",
        "<think>",
        "</think>",
        "<|channel|>",
        "<|message|>",
    ),
    *("<|option_B|>", "<yes>", "<|extra_7|>", "<act>", "</act>"),
]


def speaker(says, spaced=False):
    """A real Llama that goes on from "=" with these tokens, each of which follows one other.

    It has Llama's spaces if so wanted.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = [
        "?",
        "=",
        "\n",
        *dict.fromkeys(word for word in says if word not in SPECIAL and word not in "?=\n"),
    ]
    vocabulary = {word: place for place, word in enumerate([*SPECIAL, *words])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.decoder = decoders.Metaspace() if spaced else decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="</s>", pad_token="<pad>", bos_token="<s>"
    )
    tokenizer.add_tokens(
        [AddedToken(token, special=True, normalized=False) for token in SPECIAL[3:]],
        special_tokens=True,
    )
    size = len(vocabulary)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=64,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        bos_token_id=2,
        eos_token_id=0,
        pad_token_id=1,
    )
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    for name, parameter in model.named_parameters():
        parameter.fill_(1.0 if "norm" in name else 0.0)
    model.model.embed_tokens.weight.copy_(torch.eye(size, 64))
    for before, after in zip(("=", *says), (*says, "</s>"), strict=True):
        model.lm_head.weight[vocabulary[after], vocabulary[before]] = 1
    return TinyLlama(model, tokenizer)


class One:
    """One question with its answer."""

    def __init__(self, answer):
        self.answer = answer

    def split(self, name):
        return [{"question": "=", "answer": self.answer}] if name == "train" else None


def explained(says, answer, spaced=False, **settings):
    fitness = QuestionAnswering(One(answer), **{"max_new_tokens": 12} | settings)
    return fitness.explain(speaker(says, spaced), np.array([0]), "train")[0]


EXTRACTED = {
    "between two tags": (["<ans>", "4", "</ans>"], "4", r"<ans>(.*?)</ans>"),
    "the tags with it": (["<ans>", "4", "</ans>"], "4", r"<ans>.*?</ans>"),
    "behind thoughts": (["<think>", "9", "</think>", "4"], "4", r"(?:.*</think>)?(.*)"),
    "behind what named the channel": (
        ["<|channel|>", "final", "<|message|>", "4"],
        "4",
        r"<\|channel\|>final<\|message\|>(.*)",
    ),
    "tags that nobody names": (["<ans>", "4", "</ans>"], "4", r"<(?:ans|a)>(.*?)</\w+>"),
    "an option that is a token": (["<|option_B|>"], "B", r"<\|option_(\w)\|>"),
    "a special token itself": (["<yes>"], "<yes>", r"(<yes>|<no>)"),
    "around another special token": (["4", "<s>", "2"], "42", r"(.*)"),
    "from the start on": (["<s>", "4"], "4", r"^(\w+)"),
    "across a special token": (["is", "<s>", "4"], "4", r"is(\d)"),
    "up to the end token": (["<ans>", "4"], "4", r"<ans>(.*)</s>"),
    "no tags": (["is", "4"], "4", r"is(\d)"),
}


@pytest.mark.parametrize("name", EXTRACTED)
def test_an_expression_sees_special_tokens_and_the_score_does_not(name):
    says, answer, extract = EXTRACTED[name]
    shown = explained(says, answer, extract=extract)
    assert (shown["answer"], shown["score"]) == (answer, 1.0)


@pytest.mark.parametrize("extract", [r"<ans>(.*?)</ans>", r"<ans>\s*(\w+)"])
def test_a_tokenizer_that_writes_spaces_between_words(extract):
    shown = explained(
        ["<ans>", "▁New", "▁York", "</ans>"],
        "New York",
        spaced=True,
        extract=extract.replace(r"\w+", r"[\w ]+"),
    )
    assert (shown["answer"].strip(), shown["score"]) == ("New York", 1.0)


@pytest.mark.parametrize("says", [["<|extra_7|>"], ["5", "<|extra_7|>"], ["<|extra_7|>", "<s>"]])
def test_no_number_is_read_out_of_the_name_of_a_token(says):
    for settings in ({}, {"extract": r"(\d+)"}, {"extract": r"(.*)"}):
        assert explained(says, "7", score=numeric, **settings)["score"] == 0


@pytest.mark.parametrize("answer", ["<yes>", "<ans>4</ans>", "4</s>"])
def test_a_reference_with_a_special_token_needs_an_expression(answer):
    with pytest.raises(
        ValueError,
        match=r"^datapoint 0 of train: answer: .* has the special token '<?/?.*' in it, "
        r".* set extract",
    ):
        explained(["<yes>"], answer)
    assert explained(["<yes>"], answer, score=lambda *_: 1.0)["score"] == 1


def test_without_an_expression_special_tokens_are_left_out_as_ever():
    assert explained(["<ans>", "4", "</ans>", "2"], "42") == {
        "prompt": "=",
        "expected": "42",
        "answer": "42",
        "score": 1.0,
    }
    heard = []
    explained(["<ans>", "4"], "4", score=lambda *given: float(bool(heard.append(given))))
    assert heard == [("=", "4", "4")]


@pytest.mark.parametrize(
    ("stop", "answer"),
    [
        ("</ans>", "4"),
        ("</ans>\n", "4"),
        ("4</ans>", ""),
        (["x", "\n<s>"], "4"),
        ("ans", "49"),
        ("\n", "4"),
        ("9", "4"),
    ],
)
def test_a_stop_may_have_special_tokens_in_it_and_is_no_part_of_their_names(stop, answer):
    language = speaker(["<ans>", "4", "</ans>", "\n", "<s>", "9"])
    generator = Generator(12, stop=stop)
    prompts = generator.encode(language, ["="], str, special=False)
    assert [text.strip() for text in generator(language, prompts)] == [answer.replace("49", "4\n9")]
    response = generator.respond(language, prompts)[0]
    assert not any(end in response.text for end in generator.stop)
    assert "<pad>" not in response.written


def test_generation_ends_at_a_stop_with_special_tokens_in_it():
    language = speaker(["<ans>", "4", "</ans>", "\n", "<s>", "9"])
    calls, forward = [], language.model.forward
    language.model.forward = lambda *args, **kwargs: calls.append(1) or forward(*args, **kwargs)
    generator = Generator(12, stop="</ans>\n")
    generator(language, generator.encode(language, ["="], str, special=False))
    assert len(calls) == 4


def test_rows_that_stop_before_others_are_read_without_their_filling():
    language = speaker(["<ans>", "4", "</ans>", "9", "\n", "8"])
    for stop in ("</ans>9", "4", "\n"):
        generator = Generator(12, stop=stop)
        short, long = generator.respond(
            language, generator.encode(language, ["</ans>", "="], str, special=False)
        )
        assert "<pad>" not in short.written + long.written
        assert long.written in ("<ans>", "<ans>4", "<ans>4</ans>9")


@pytest.mark.parametrize("stop", ["</ans>", "\n", "4"])
def test_what_ended_a_response_may_close_what_is_extracted(stop):
    says = ["<ans>", "x", "4", "</ans>", "\n"]
    shown = explained(
        says, {"</ans>": "x4", "\n": "x4", "4": "x"}[stop], stop=stop, extract=f"<ans>(.*?){stop}"
    )
    assert shown["score"] == 1


def test_the_action_of_an_agent_stands_in_special_tokens_and_stays_there_in_the_transcript():
    heard = []

    class Room:
        def size(self, split):
            return 1

        def episode(self, datapoint, split):
            return self

        def reset(self):
            return "="

        def step(self, action):
            heard.append(action)
            return "=", 0.5, False

    language = speaker(["<think>", "hm", "</think>", "<act>", "go", "</act>"])
    agents = Agents(Room(), 2, extract="<act>(.*?)</act>", max_new_tokens=8, stop=None)
    shown = agents.explain(language, np.array([0]), "train")
    assert heard == ["go", "go"]
    assert (
        shown[0]["answer"] == "<think>hm</think><act>go</act>\n=<think>hm</think><act>go</act>\n="
    )
    plain = Agents(Room(), 1, max_new_tokens=8, stop=None).explain(language, np.array([0]), "train")
    assert plain[0]["answer"] == "hmgo\n="
    assert heard[2:] == ["hmgo"]


def test_special_tokens_are_those_that_the_tokenizer_leaves_out():
    language = speaker(["4"])
    assert sorted(special_tokens(language.tokenizer).values()) == sorted(SPECIAL)


def test_a_text_is_a_response_without_special_tokens():
    assert extracted("<ans>4</ans>", "<ans>(.*?)</ans>") == "4"
    assert Response("4", "<a>4", ("<a>",)).extracted(re.compile("<a>.")) == "4"
    assert Response("4", "<a>4", ("<a>",)).extracted(re.compile("a>(.)")) == ""
    assert exact("", extracted("a", "b"), "a") == 0
