"""What stands beside the seeds' weights.

It is alike, combined, or different, and then the user says whose it is.
"""

import json
import logging
from itertools import permutations
from pathlib import Path

import hypothesis
import numpy as np
import pytest
import tiny_llama
import torch
from hypothesis import strategies
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    Gemma2Config,
    Gemma2ForCausalLM,
    GenerationConfig,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from fitness.generation import Generator, chat_prompt
from fitness.stopping import Stopping
from populations.llm import LanguageModels
from populations.seeds.config_settings import config_settings
from populations.seeds.differences import differences, place_of
from populations.seeds.generation_configs import valid_generation_config

PROMPTS = ["1+1=", "sort: cab", "A long question, which takes some twenty tokens?"]
SIZES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.3,
    "max_position_embeddings": 256,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 3,
}
FAMILIES = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "gemma2": (Gemma2Config, Gemma2ForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


def seed(folder, number, family="qwen2", tokens=None, generation=None, **settings):
    """A random model of a family as a checkpoint.

    Settings are written into its config.json as they are given.
    """
    kind, made = FAMILIES[family]
    tokenizer = tokens or tiny_llama.tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        model = made(kind(vocab_size=len(tokenizer), **SIZES))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    change(folder / "config.json", **settings)
    if generation is not None:
        (folder / "generation_config.json").write_text(json.dumps(generation))
    return folder


def change(path, **entries):
    """Other entries in a file of JSON; None takes one out."""
    content = json.loads(path.read_text()) | entries
    path.write_text(
        json.dumps({name: value for name, value in content.items() if value is not None})
    )


def rope(**entries):
    """A config's rope as transformers 5 writes it."""
    return {"rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"} | entries}


def pair(tmp_path, family="qwen2", first=None, second=None):
    return [
        str(seed(tmp_path / name, number, family, **(settings or {})))
        for number, (name, settings) in enumerate({"a": first, "b": second}.items())
    ]


def founders(seeds, **settings):
    population = LanguageModels(seeds, device="cpu", **settings)
    return population, population.founders(np.random.default_rng(0))


def logits(model):
    """What a model makes of more tokens than it has positions."""
    with torch.no_grad():
        return model((torch.arange(300) % 90)[None]).logits


@pytest.mark.parametrize(
    ("family", "settings", "setting"),
    [
        (
            "qwen2",
            rope(rope_theta=1e6),
            "rope_parameters.rope_theta is 10000.0 in .*a, 1000000.0 in .*b",
        ),
        (
            "qwen2",
            rope(rope_type="linear", factor=4.0),
            "rope_parameters.factor is not set in .*a, 4.0 in .*b",
        ),
        (
            "qwen2",
            rope(rope_type="yarn", factor=4.0, original_max_position_embeddings=64),
            "rope_parameters.rope_type is default in .*a, yarn in .*b",
        ),
        (
            "qwen2",
            rope(rope_type="dynamic", factor=2.0),
            "rope_type is default in .*a, dynamic in .*b",
        ),
        ("qwen2", {"rms_norm_eps": 1e-3}, "rms_norm_eps is 1e-06 in .*a, 0.001 in .*b"),
        (
            "qwen2",
            {
                "use_sliding_window": True,
                "sliding_window": 8,
                "max_window_layers": 0,
                "layer_types": None,
            },
            "layer_types is .*sliding_window is not set in .*a, 8 in .*b",
        ),
        (
            "gemma2",
            {"attn_logit_softcapping": 5.0},
            "attn_logit_softcapping is 50.0 in .*a, 5.0 in .*b",
        ),
        (
            "gemma2",
            {"final_logit_softcapping": None, "query_pre_attn_scalar": 64},
            "query_pre_attn_scalar is 256 in .*a, 64",
        ),
        ("mistral", {"sliding_window": 8}, "sliding_window is 4096 in .*a, 8 in .*b"),
    ],
)
def test_what_is_computed_otherwise_takes_a_word_of_the_user(tmp_path, family, settings, setting):
    a, b = pair(tmp_path, family, second=settings)
    for order in ([a, b], [b, a]):
        with pytest.raises(
            ValueError, match=r"seeds: they differ in what a model computes with the same weights"
        ):
            LanguageModels(order).axis  # noqa: B018
    with pytest.raises(
        ValueError,
        match=rf"(?s){setting}.*; say whose the members have with like: .*a \(or another seed\)",
    ):
        LanguageModels([a, b]).axis  # noqa: B018
    own = {name: logits(AutoModelForCausalLM.from_pretrained(name)) for name in (a, b)}
    for order in ([a, b], [b, a]):
        for named in (a, b):
            population, genomes = founders(order, like=named)
            at = order.index(named)
            assert torch.equal(logits(population.express(genomes[at]).model), own[named])
            other = order[1 - at]
            assert not torch.allclose(
                logits(population.express(genomes[1 - at]).model), own[other], atol=1e-3
            ), "a difference that changes nothing would need no word"


@pytest.mark.parametrize(
    "settings",
    [
        {"max_window_layers": 1},
        {"sliding_window": 16, "use_sliding_window": False},
        {"attention_dropout": 0.1, "initializer_range": 0.5},
        {"unsloth_version": "2025.1", "trained_with": {"tool": "axolotl"}},
        {"use_cache": False, "dtype": "bfloat16", "_name_or_path": "/elsewhere"},
        {"bos_token_id": 5},
        {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": None},
    ],
)
def test_what_changes_nothing_refuses_nobody(tmp_path, settings):
    seeds = pair(tmp_path, second=settings)
    for order in (seeds, seeds[::-1]):
        population, genomes = founders(order, dtype="float32")
        for name, genome in zip(order, genomes, strict=True):
            model = AutoModelForCausalLM.from_pretrained(name, dtype="float32")
            assert torch.equal(logits(population.express(genome).model), logits(model))


def test_a_value_of_the_user_stands_in_for_every_seeds(tmp_path):
    a, b = pair(tmp_path, second=rope(rope_theta=1e6))
    wanted = AutoConfig.from_pretrained(a)
    wanted.rope_parameters["rope_theta"] = 5e4
    expected = logits(AutoModelForCausalLM.from_pretrained(a, config=wanted))
    for given in ({"rope_theta": 5e4}, {"rope_parameters": {"rope_theta": 5e4}}):
        population, genomes = founders([a, b], config=given)
        assert torch.equal(logits(population.express(genomes[0]).model), expected)
    (tmp_path / "out").mkdir()
    population.save(genomes[0], tmp_path / "out")
    assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path / "out")), expected)


def test_a_value_makes_of_a_class_what_the_file_would(tmp_path):
    """Layer types follow from the window.

    So a value is put into what the file says and not into what became of it.
    """
    a, b = pair(tmp_path, first={"layer_types": None}, second={"layer_types": None})
    window = {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 0}
    population, genomes = founders([a, b], config=window)
    change(Path(a) / "config.json", **window)
    expected = logits(AutoModelForCausalLM.from_pretrained(a))
    assert torch.equal(logits(population.express(genomes[0]).model), expected)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"rope_tehta": 1e6},
            r"config: Qwen2Config has no setting 'rope_tehta'; it has .*rope_theta",
        ),
        ({"num_hidden_layers": "two"}, r"config: "),
        (
            {"sliding_window": 8},
            r"config: expected sliding_window to become 8, but the model's class makes it None",
        ),
    ],
)
def test_a_value_that_the_class_does_not_take_is_refused(tmp_path, given, message):
    with pytest.raises(ValueError, match=message):
        LanguageModels(pair(tmp_path), config=given).axis  # noqa: B018


@pytest.mark.parametrize("like", ["c", 2, -1, True, "A"])
def test_like_names_a_seed(like):
    with pytest.raises(
        ValueError, match=r"like: expected one of the seeds, a, b, or its place from 0 to 1, got"
    ):
        LanguageModels(["a", "b"], like=like)
    assert (place_of("b", ["a", "b"]), place_of(0, ["a", "b"]), place_of(None, ["a", "b"])) == (
        1,
        0,
        None,
    )


def test_the_longest_positions_are_read_where_nothing_hangs_on_them(tmp_path, caplog):
    seeds = pair(
        tmp_path, first={"max_position_embeddings": 64}, second={"max_position_embeddings": 512}
    )
    for order in (seeds, seeds[::-1]):
        population, genomes = founders(order)
        assert population.express(genomes[0]).model.config.max_position_embeddings == 512
    assert "max_position_embeddings is 64 in" in caplog.text
    assert "the members read up to 512" in caplog.text
    limited, genomes = founders(seeds, like=0)
    assert limited.express(genomes[1]).model.config.max_position_embeddings == 64
    dynamic = rope(rope_type="dynamic", factor=2.0)
    for name, positions in zip(seeds, (64, 512), strict=True):
        change(Path(name) / "config.json", **dynamic, max_position_embeddings=positions)
    with pytest.raises(
        ValueError, match=r"max_position_embeddings is 64 in .*, 512 in .*say whose"
    ):
        LanguageModels(seeds).axis  # noqa: B018


def with_marks(**changes):
    """A tokenizer with two more tokens, that a conversation uses."""
    tokenizer = tiny_llama.tokenizer(
        begin=changes.pop("begin", False), chat=changes.pop("chat", None)
    )
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    for name, value in changes.items():
        setattr(tokenizer, name, value)
        tokenizer.init_kwargs[name] = value  # what is saved
    return tokenizer


@pytest.mark.parametrize(
    ("change_of", "setting"),
    [
        ({"begin": True}, "post_processor.single is"),
        ({"split_special_tokens": True}, "split_special_tokens is False in .*a, True in .*b"),
    ],
)
def test_tokenizers_that_read_a_text_otherwise_take_a_word_of_the_user(
    tmp_path, change_of, setting
):
    seeds = pair(
        tmp_path, first={"tokens": with_marks()}, second={"tokens": with_marks(**change_of)}
    )
    with pytest.raises(
        ValueError, match=rf"seeds: they differ in how their tokenizers read a text: .*{setting}"
    ):
        LanguageModels(seeds).axis  # noqa: B018
    for place, name in enumerate(seeds):
        population, genomes = founders(seeds, like=place)
        reader, own = population.express(genomes[0]).tokenizer, AutoTokenizer.from_pretrained(name)
        assert reader("1<s>2")["input_ids"] == own("1<s>2")["input_ids"]
        assert reader.bos_token == own.bos_token


def test_a_token_that_is_special_in_one_seed_only_takes_a_word_of_the_user(tmp_path):
    plain = tiny_llama.tokenizer()
    plain.add_tokens(["<|im_start|>", "<|im_end|>"])
    seeds = pair(tmp_path, first={"tokens": with_marks()}, second={"tokens": plain})
    with pytest.raises(
        ValueError,
        match=r"how their tokenizers read a text: .*token '<\|im_end\|>'.special is True "
        r"in .*a, False in .*b",
    ):
        LanguageModels(seeds).axis  # noqa: B018


def test_a_start_token_that_nobody_puts_before_a_text_is_named(tmp_path, caplog):
    seeds = pair(
        tmp_path,
        first={"tokens": with_marks()},
        second={"tokens": with_marks(bos_token="<|im_start|>")},
    )
    for order in (seeds, seeds[::-1]):
        LanguageModels(order).axis  # noqa: B018
    assert "start token is <s> in" in caplog.text


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"type": "linear", "factor": 4.0}, {"rope_type": "linear", "factor": 4.0}),
        (
            {"type": "dynamic", "rope_type": "dynamic", "factor": 2.0},
            {"rope_type": "dynamic", "factor": 2.0},
        ),
        ({"type": "yarn", "factor": 2.0}, {"rope_type": "yarn", "factor": 2.0}),
    ],
)
def test_an_old_name_of_a_rope_is_no_difference(tmp_path, one, other):
    """As transformers 4 wrote it, beside one that transformers 5 has saved again."""
    old = {"rope_parameters": None, "rope_theta": 10000.0, "rope_scaling": one}
    a, b = pair(tmp_path, first=old, second={**old, "rope_scaling": other})
    for order in ([a, b], [b, a]):
        population, genomes = founders(order)
        for name, genome in zip(order, genomes, strict=True):
            assert torch.equal(
                logits(population.express(genome).model),
                logits(AutoModelForCausalLM.from_pretrained(name)),
            )


@pytest.mark.parametrize(
    "given",
    [
        {"rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}},
        {"rope_scaling": {"rope_type": "linear", "factor": 3.0}, "rope_theta": 5e4},
        {"rope_parameters": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                             "high_freq_factor": 4.0, "original_max_position_embeddings": 64}},
        {"rope_scaling": None},
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "before",
    [
        {},
        {"rope_scaling": {"type": "yarn", "factor": 2.0, "original_max_position_embeddings": 128}},
    ],
)
def test_a_rope_of_the_users_is_as_a_file_with_it(tmp_path, given, before):
    old = {"rope_parameters": None, "rope_theta": 10000.0, **before}
    seeds = pair(tmp_path, first=old, second={**old, "rope_scaling": None})
    population, genomes = founders(seeds, config=given)
    got = logits(population.express(genomes[0]).model)
    change(Path(seeds[0]) / "config.json", **{"rope_scaling": None, **given})
    assert torch.equal(got, logits(AutoModelForCausalLM.from_pretrained(seeds[0])))


def test_a_window_that_no_layer_looks_at_is_no_difference(tmp_path):
    windows = {
        "use_sliding_window": True,
        "sliding_window": 8,
        "max_window_layers": 2,
        "layer_types": None,
    }
    for order in (seeds := pair(tmp_path, second=windows), seeds[::-1]):
        LanguageModels(order).axis  # noqa: B018


@pytest.mark.parametrize("architectures", [None, ["Qwen2ForCausalLM"]])
def test_a_config_need_not_name_its_class(tmp_path, architectures):
    seeds = pair(tmp_path, second={"architectures": architectures})
    for order in (seeds, seeds[::-1]):
        LanguageModels(order).axis  # noqa: B018


def test_like_takes_the_tokens_of_one_seed(tmp_path):
    """A token for padding that a fine-tune has added, and special tokens that it has named anew."""
    padded = with_marks()
    padded.add_special_tokens({"pad_token": "[PAD]"})
    a, b = pair(tmp_path, first={"tokens": with_marks()}, second={"tokens": with_marks()})
    padded.save_pretrained(b)
    with pytest.raises(
        ValueError,
        match=r"seeds: expected one tokenizer.*like: .*takes the tokens of one; "
        r"vocabulary: trailing",
    ):
        LanguageModels([a, b]).axis  # noqa: B018
    population, genomes = founders([a, b], like=a)
    assert "[PAD]" not in population.express(genomes[1]).tokenizer.get_vocab()
    for name in ("tokenizer.json", "tokenizer_config.json"):
        text = (Path(a) / name).read_text(encoding="utf-8")
        (Path(b) / name).write_text(text.replace("<|im_end|>", "<|done|>"), encoding="utf-8")
    for named in (a, b):
        population, genomes = founders([a, b], like=named)
        assert (
            population.express(genomes[0]).tokenizer.get_vocab()
            == AutoTokenizer.from_pretrained(named).get_vocab()
        )
    tiny_llama.tokenizer(tiny_llama.CHARACTERS[::-1]).save_pretrained(b)
    with pytest.raises(
        ValueError,
        match=r"seeds: expected one tokenizer; token \d+ is '.*' in .*b and another one in .*a",
    ):
        LanguageModels([a, b], like=a).axis  # noqa: B018


def test_answers_end_as_each_seed_ends_them(tmp_path):
    """By the tokenizer, the generation config, or the config alone; in any order of the seeds.

    The export has them all.
    """
    settings = {
        "a": {"tokens": with_marks(), "generation": {"eos_token_id": 2}},
        "b": {
            "tokens": with_marks(eos_token="<|im_end|>"),
            "generation": {"eos_token_id": [40, 41]},
        },
        "c": {"tokens": with_marks(), "eos_token_id": 50},
    }
    names = [
        str(seed(tmp_path / name, number, **own))
        for number, (name, own) in enumerate(settings.items())
    ]
    (tmp_path / "c" / "generation_config.json").unlink()
    marks = AutoTokenizer.from_pretrained(names[1])
    every = {2, 40, 41, 50, marks.eos_token_id}
    assert len(every) == 5
    for order in permutations(names):
        population, genomes = founders(list(order))
        language = population.express(genomes[0])
        ends = Stopping(language.tokenizer, []).end_tokens(language.model)
        assert set(ends) == every
    out = tmp_path / "out"
    out.mkdir()
    population.save(genomes[0], out)
    for name in ("generation_config.json", "config.json"):
        assert set(json.loads((out / name).read_text())["eos_token_id"]) == every
    assert set(AutoModelForCausalLM.from_pretrained(out).generation_config.eos_token_id) == every


SETTINGS = {
    "config": [
        {},
        rope(rope_theta=5e5),
        rope(rope_type="linear", factor=2.0),
        {"rms_norm_eps": 1e-4},
        {"attn_logit_softcapping": 10.0},
        {"final_logit_softcapping": 5.0},
        {"sliding_window": 4},
        {"query_pre_attn_scalar": 16},
        {"max_position_embeddings": 512},
        {"use_cache": False, "bos_token_id": 5},
        {"eos_token_id": 60},
    ],
    "tokens": [
        {},
        {"chat": tiny_llama.CHAT},
        {"begin": True},
        {"bos_token": "<|im_start|>"},
        {"eos_token": "<|im_end|>"},
    ],
    "generation": [
        None,
        {},
        {"eos_token_id": [2, 41]},
        {"temperature": 0.3},
        {"repetition_penalty": 1.5, "eos_token_id": 42},
    ],
}
"""What may stand beside a seed's weights, place by place."""


def answers(population, genome):
    language = population.express(genome)
    prompts = [language.tokenizer(prompt)["input_ids"] for prompt in PROMPTS]
    return Generator(max_new_tokens=12)(language, prompts)


SEED = strategies.fixed_dictionaries(
    {place: strategies.sampled_from(own) for place, own in SETTINGS.items()}
)


@pytest.mark.whole
@hypothesis.settings(max_examples=12)
@hypothesis.given(strategies.lists(SEED, min_size=2, max_size=3))
def test_founders_answer_as_each_seed_alone_or_a_word_is_asked_for(tmp_path_factory, drawn):
    """Seeds that differ in all that stands beside weights, in every order."""
    folder, names, alone = tmp_path_factory.mktemp("seeds"), [], {}
    for number, own in enumerate(drawn):
        made = {
            "tokens": with_marks(**own["tokens"]),
            "generation": own["generation"],
            **own["config"],
        }
        names.append(str(seed(folder / "abc"[number], number, "gemma2", **made)))
        population, genomes = founders([names[-1]] * 2)
        alone[names[-1]] = answers(population, genomes[0])
    for order in permutations(names):
        try:
            LanguageModels(order).axis  # noqa: B018
            undecided = False
        except ValueError as error:
            undecided = "say whose the members have with like" in str(error)
            if not undecided:
                raise
        for place, name in enumerate(order):
            population, genomes = founders(order, like=name if undecided else None)
            assert_begins(alone[name], answers(population, genomes[place]))


def assert_begins(alone, together):
    """The same answers, but that another seed's end token may come up in one and ends it there."""
    assert all(long.startswith(short) for long, short in zip(alone, together, strict=True)), (
        alone,
        together,
    )
    assert any(together)


def test_the_only_chat_template_is_everybodys(tmp_path):
    seeds = pair(
        tmp_path,
        first={"tokens": with_marks()},
        second={"tokens": with_marks(chat=tiny_llama.CHAT)},
    )
    for order in (seeds, seeds[::-1]):
        population, genomes = founders(order)
        assert population.express(genomes[0]).tokenizer.chat_template == tiny_llama.CHAT


@pytest.mark.parametrize("special", ["eos_token", "bos_token"])
def test_a_template_prints_the_special_tokens_of_its_own_seed(tmp_path, special):
    """A base without a template and with another such token stands first or last.

    A conversation is written as for the other.
    """
    template = tiny_llama.CHAT.replace("\n", "{{ " + special + " }}")
    marks = with_marks(chat=template, **{special: "<|im_end|>"})
    seeds = pair(tmp_path, first={"tokens": with_marks()}, second={"tokens": marks})
    messages = [{"role": "user", "content": "hi"}]
    for order in (seeds, seeds[::-1]):
        population, genomes = founders(order)
        assert (
            chat_prompt(population.express(genomes[0]).tokenizer, messages)
            == "<|user|>hi<|im_end|><|assistant|>"
        )


def test_templates_that_write_the_same_are_one(tmp_path):
    longer = tiny_llama.CHAT + "{# what a tool has added #}\n"
    seeds = pair(
        tmp_path,
        first={"tokens": with_marks(chat=longer)},
        second={"tokens": with_marks(chat=tiny_llama.CHAT)},
    )
    population, genomes = founders(seeds)
    assert chat_prompt(
        population.express(genomes[0]).tokenizer, [{"role": "user", "content": "hi"}]
    )


def test_chat_templates_that_differ_take_a_word_before_a_conversation_is_scored(tmp_path, caplog):
    other = tiny_llama.CHAT.replace("<|", "[").replace("|>", "]")
    seeds = pair(
        tmp_path,
        first={"tokens": with_marks(chat=other)},
        second={"tokens": with_marks(chat=tiny_llama.CHAT)},
    )
    messages = [{"role": "user", "content": "hi"}]
    population, genomes = founders(seeds)
    language = population.express(genomes[0])
    assert "the chat templates of" in caplog.text
    with pytest.raises(
        ValueError,
        match=r"the chat templates of .*a and .*b differ; say whose the members have "
        r"with like: .*a",
    ):
        chat_prompt(language.tokenizer, messages)
    assert Generator(max_new_tokens=3)(language, [language.tokenizer("1+1=")["input_ids"]]), (
        "plain questions are answered"
    )
    (tmp_path / "out").mkdir()
    population.save(genomes[0], tmp_path / "out")
    assert AutoTokenizer.from_pretrained(tmp_path / "out").chat_template == other
    for settings, template in (
        ({"like": seeds[1]}, tiny_llama.CHAT),
        ({"chat_template": other}, other),
        ({"like": 0}, other),
    ):
        decided, genomes = founders(seeds, **settings)
        tokenizer = decided.express(genomes[0]).tokenizer
        assert tokenizer.chat_template == template
        assert "hi" in chat_prompt(tokenizer, messages)


def test_generation_configs_that_differ_are_named(tmp_path, caplog):
    seeds = pair(
        tmp_path,
        first={"generation": {"repetition_penalty": 1.2}},
        second={"generation": {"temperature": 0.5, "do_sample": True}},
    )
    population, genomes = founders(seeds)
    assert population.express(genomes[0]).model.generation_config.repetition_penalty == 1.2
    assert "their generation configs differ" in caplog.text
    assert "repetition_penalty is 1.2 in" in caplog.text
    caplog.clear()
    second, genomes = founders(seeds, like=1)
    assert second.express(genomes[0]).model.generation_config.temperature == 0.5
    assert "generation configs" not in caplog.text


@pytest.mark.parametrize(
    ("entries", "left_out"),
    [
        ({"temperature": 0.9, "top_p": 0.6}, {"temperature", "top_p"}),
        ({"num_return_sequences": 2, "max_length": 100}, {"num_return_sequences"}),
        ({"cache_implementation": "no such cache"}, {"cache_implementation"}),
        ({"max_new_tokens": 0}, {"max_new_tokens"}),
        ({"early_stopping": "often", "top_k": 20}, {"early_stopping", "top_k"}),
        ({"length_penalty": 0.5}, {"length_penalty"}),
        ({"output_scores": True}, {"output_scores"}),
        ({"streamer": "text"}, {"streamer"}),
        ({"temperature": "hot", "do_sample": True}, set()),
        ({"repetition_penalty": 1.1, "do_sample": True, "top_k": 3}, set()),
    ],
)
def test_an_invalid_entry_of_a_generation_config_costs_itself_alone(
    tmp_path, caplog, entries, left_out
):
    with caplog.at_level(logging.WARNING):
        settled = valid_generation_config(
            {"eos_token_id": [1, 5], **entries}, "a/generation_config.json"
        )
    settled.save_pretrained(tmp_path)
    back = GenerationConfig.from_pretrained(tmp_path)
    assert back.eos_token_id == [1, 5]
    for name, value in entries.items():
        assert (getattr(back, name, None) == value) == (name not in left_out)
        assert (f"{name} ({value!r})" in caplog.text) == (name in left_out)


def test_a_generation_config_with_an_invalid_entry_is_repaired_on_the_way(tmp_path, caplog):
    seeds = pair(
        tmp_path,
        first={
            "generation": {"eos_token_id": [2, 7], "num_return_sequences": 3, "temperature": 0.2}
        },
    )
    population, genomes = founders(seeds)
    (tmp_path / "out").mkdir()
    population.save(genomes[0], tmp_path / "out")
    assert "num_return_sequences (3)" in caplog.text
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text())[
        "eos_token_id"
    ] == [2, 7]


@pytest.mark.parametrize("content", ["{", "[1, 2]", "null", b"\xff\xfe"])
def test_a_generation_config_that_cannot_be_read_is_refused_with_its_place(tmp_path, content):
    seeds = pair(tmp_path)
    path = Path(seeds[1]) / "generation_config.json"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"seeds: .*b/generation_config.json: "):
        LanguageModels(seeds).axis  # noqa: B018


def test_settings_of_a_class_that_nobody_knows_are_compared():
    """A class that comes with a seed's own code says there what it takes, not in its fields."""
    from transformers import PreTrainedConfig

    class Own(PreTrainedConfig):
        model_type = "own"

        def __init__(self, my_scale=1.0, **rest):
            super().__init__(**rest)
            self.my_scale = my_scale

    [difference] = differences(
        ["a", "b"], [config_settings(Own(my_scale=1.0)), config_settings(Own(my_scale=0.1))]
    )
    assert str(difference) == "my_scale is 1.0 in a, 0.1 in b"


def test_differences_are_grouped_by_what_seeds_have():
    [one] = differences(["a", "b", "c"], [{"x": 1, "y": 0}, {"x": 2, "y": 0}, {"x": 1, "y": 0}])
    assert str(one) == "x is 1 in a and c, 2 in b"
