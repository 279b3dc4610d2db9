"""Greedy answers in batches: what transformers' generate says of each prompt alone."""

import logging
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny_families import family
from tiny_llama import TinyLlama, tiny_llama
from transformers import GenerationConfig

from fitness.batching import ran_out
from fitness.families import companies, positions_of, reads_padding
from fitness.generation import Generator, chat_prompt

PROMPTS = [
    "1 + 2 =",
    "a",
    "find the red cup",
    "9 * 9 - 4 =",
    "zz",
    "what is 7 plus 5?",
    "go",
    "b" * 40,
]


@pytest.fixture(scope="module")
def llama():
    return tiny_llama()


def answers(language, prompts=PROMPTS, **settings):
    generator = Generator(**{"max_new_tokens": 12} | settings)
    return generator(language, generator.encode(language, prompts, str, special=True))


def alone(language, prompt, new=12):
    """A loop of forward passes without a cache, one prompt at a time; all is computed anew."""
    tokens = language.tokenizer(prompt, return_tensors="pt")["input_ids"]
    width = tokens.shape[1]
    for _ in range(new):
        best = (
            language.model(input_ids=tokens, use_cache=False)
            .logits[:, -1]
            .argmax(dim=-1, keepdim=True)
        )
        if best.item() == language.tokenizer.eos_token_id:
            break
        tokens = torch.cat([tokens, best], dim=1)
    return language.tokenizer.decode(tokens[0, width:], skip_special_tokens=True)


def cached(language, prompts, new=12):
    """A loop of forward passes with a cache, all prompts in one batch, padded on the left."""
    tokens = [language.tokenizer(prompt)["input_ids"] for prompt in prompts]
    width = max(map(len, tokens))
    step = torch.tensor([[3] * (width - len(row)) + row for row in tokens])
    mask = torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in tokens])
    places, past, rows = (mask.cumsum(1) - 1).clamp(min=0), None, []
    for _ in range(new):
        out = language.model(
            input_ids=step,
            attention_mask=mask,
            position_ids=places,
            past_key_values=past,
            use_cache=True,
        )
        past, step = out.past_key_values, out.logits[:, -1].argmax(dim=-1, keepdim=True)
        rows.append(step)
        mask, places = torch.cat([mask, torch.ones_like(step)], dim=1), places[:, -1:] + 1
    ends = language.tokenizer.eos_token_id
    rows = [
        row[: row.index(ends)] if ends in row else row for row in torch.cat(rows, dim=1).tolist()
    ]
    return [language.tokenizer.decode(row, skip_special_tokens=True) for row in rows]


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("seed", [0, 1])
def test_answers_are_the_greedy_ones_of_plain_loops(seed, batch):
    language = tiny_llama(seed)
    found = answers(language, batch=batch)
    assert found == [alone(language, prompt) for prompt in PROMPTS] == cached(language, PROMPTS)
    assert len(set(found)) > 4, "the answers differ, or this test would show little"


def test_a_checkpoints_own_generation_settings_change_nothing(llama):
    wild = tiny_llama()
    theirs = GenerationConfig(
        do_sample=True,
        temperature=5.0,
        top_k=3,
        repetition_penalty=9.0,
        no_repeat_ngram_size=1,
        min_new_tokens=12,
        max_length=9,
    )
    wild.model.generation_config = theirs
    assert answers(wild) == answers(llama)
    assert wild.model.generation_config is theirs, "and they are kept, for the export"


def test_the_checkpoints_end_tokens_count_beside_the_tokenizers():
    language = tiny_llama()
    free = answers(language, ["go"])[0]
    assert len(free) > 3
    third = language.tokenizer.convert_tokens_to_ids(free[2])
    language.model.generation_config.eos_token_id = [2, third]
    assert answers(language, ["go"])[0] == free[: free.index(free[2])]


def test_answers_end_before_the_first_stop(llama):
    free = answers(llama)
    pair = free[0][4:6]
    stopped = answers(llama, stop=["never said", pair])
    assert stopped == [text.partition(pair)[0] for text in free]
    assert stopped[0] == free[0][: free[0].index(pair)]
    assert answers(llama, stop=free[0][4]) == [text.partition(free[0][4])[0] for text in free]


def test_a_special_token_may_be_a_stop():
    language = tiny_llama()
    language.model.lm_head.weight[4:] = 0  # of all tokens only <unk>, <s> and <pad> can be ahead
    language.model.lm_head.weight[2] = 0
    calls = count(language)
    assert answers(language, stop=["<pad>", "<unk>", "<s>"]) == [""] * len(PROMPTS)
    assert calls == [1]


def count(language):
    """Counts the forward passes of each call of generate."""
    calls, forward, generate = [], language.model.forward, language.model.generate

    def counted(*args, **kwargs):
        calls[-1] += 1
        return forward(*args, **kwargs)

    def begun(*args, **kwargs):
        calls.append(0)
        return generate(*args, **kwargs)

    language.model.forward, language.model.generate = counted, begun
    return calls


def test_generation_ends_when_all_rows_have_stopped():
    language = tiny_llama()
    free = answers(language, ["1 + 2 =", "go"], max_new_tokens=40)
    calls = count(language)
    everything = sorted({character for text in free for character in text})
    answers(language, ["1 + 2 =", "go"], max_new_tokens=40, stop=everything)
    assert calls == [1]
    last = [text[3] for text in free]
    answers(language, ["1 + 2 =", "go"], max_new_tokens=40, stop=last)
    assert calls[1] == 1 + max(min(text.index(end) for end in last if end in text) for text in free)


def test_batches_are_cut_by_length_and_padded_little(llama):
    widths, generate = [], llama.model.generate

    def recorded(input_ids, **kwargs):
        widths.append(tuple(input_ids.shape))
        return generate(input_ids=input_ids, **kwargs)

    llama.model.generate = recorded
    try:
        answers(llama, batch=3)
    finally:
        del llama.model.generate
    assert widths == [(3, 2), (3, 16), (2, 40)]


def test_no_pad_token_is_needed(llama):
    assert answers(tiny_llama(pad=False)) == answers(llama)


def test_nothing_is_said_on_the_way(llama, caplog, capfd, recwarn):
    import transformers

    wild = tiny_llama(use_cache=False)
    wild.model.generation_config = GenerationConfig(temperature=0.5, top_p=0.5, max_length=3)
    caplog.clear()  # what was said of this config when it was made
    capfd.readouterr()
    verbosity = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_warning()
    transformers.logging.enable_propagation()
    try:
        with caplog.at_level(logging.WARNING):
            answers(tiny_llama(), stop="\n")
            answers(tiny_llama(pad=False))
            shy = tiny_llama()
            shy.tokenizer.model_max_length = 4
            answers(shy)
            answers(wild)
    finally:
        transformers.logging.disable_propagation()
        transformers.logging.set_verbosity(verbosity)
    assert not caplog.records
    assert not recwarn.list
    assert capfd.readouterr().err == ""


class Small:
    """A model whose memory holds so many prompts, and after that raises what `error` says."""

    def __init__(self, model, most, error):
        self._model, self._most, self._error = model, most, error
        self.tried = []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def generate(self, input_ids, **kwargs):
        self.tried.append(len(input_ids))
        if len(input_ids) > self._most:
            raise self._error
        return self._model.generate(input_ids=input_ids, **kwargs)


OOM = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def cpu_error():
    """What torch really raises on the CPU."""
    with pytest.raises(RuntimeError) as raised:
        torch.empty(10**15)
    return raised.value


@pytest.mark.parametrize("error", [OOM, cpu_error(), MemoryError()])
def test_a_batch_is_halved_when_memory_runs_out(llama, caplog, error):
    small = TinyLlama(Small(llama.model, 2, error), llama.tokenizer)
    generator = Generator(12, batch=8)
    tokens = generator.encode(small, PROMPTS, str, special=True)
    assert generator(small, tokens) == answers(llama)
    assert small.model.tried == [8, 4, 2, 2, 2, 2]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "8 prompts" in caplog.text
    assert "from here on 2" in caplog.text
    assert generator(small, tokens) == answers(llama)
    assert small.model.tried[6:] == [2, 2, 2, 2], "it stays small, and says no more"
    assert len(caplog.records) == 2


def test_one_prompt_without_memory_is_an_error(llama):
    with pytest.raises(
        MemoryError, match=r"one prompt of 7 tokens with up to 12 new ones: lower max_new_tokens"
    ):
        answers(TinyLlama(Small(llama.model, 0, OOM), llama.tokenizer), ["1 + 2 ="])


def test_other_errors_are_not_taken_for_a_want_of_memory(llama):
    assert not ran_out(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    broken = TinyLlama(
        Small(llama.model, 0, RuntimeError("mat1 and mat2 shapes cannot be multiplied")),
        llama.tokenizer,
    )
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        answers(broken)


def test_prompts_may_fill_the_positions_to_the_last(llama):
    assert answers(llama, ["a" * 244])
    with pytest.raises(
        ValueError,
        match=r"^1: its prompt has 245 tokens and its answer up to 12 .*, the model has 256",
    ):
        answers(llama, ["a", "a" * 245])


def test_no_prompts_have_no_answers(llama):
    assert answers(llama, []) == []


def test_a_conversation_is_written_by_the_template():
    language = tiny_llama(
        chat="{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}>{% endif %}"
    )
    said = chat_prompt(
        language.tokenizer,
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
    )
    assert said == "<system>Be brief.<user>Hi>"


def test_transformers_is_imported_when_it_is_needed():
    modules = "fitness.agents, fitness.questions, fitness.http_environment"
    code = f"import sys, {modules}; print('transformers' in sys.modules)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=1800,
    )
    assert done.stdout.strip() == "False"


READ = [
    "bart",
    "blenderbot",
    "marian",
    "recurrent_gemma",
    "reformer",
    "roformer",
    "rwkv",
    "whisper",
    "xlnet",
]
MASKED = [
    "bert",
    "bloom",
    "falcon",
    "gemma3_text",
    "gpt2",
    "gptj",
    "gpt_neox",
    "mamba",
    "mpt",
    "opt",
    "roberta",
]


def one_by_one(language, prompts, new=8):
    """What transformers' generate says to each prompt, never padded, and its first logits."""
    texts, first = [], []
    for prompt in prompts:
        tokens = language.tokenizer(prompt, return_tensors="pt", return_token_type_ids=False)
        language.model.generation_config = GenerationConfig(
            pad_token_id=3, eos_token_id=2
        )  # BART's forces a last token
        out = language.model.generate(
            **tokens,
            max_new_tokens=new,
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        texts.append(
            language.tokenizer.decode(
                out.sequences[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True
            )
        )
        first.append(out.logits[0][0])
    return texts, torch.stack(first)


def first_logits(language, prompts):
    """The logits of the first new token, all prompts in one batch, padded on the left."""
    tokens = [language.tokenizer(prompt)["input_ids"] for prompt in prompts]
    width = max(map(len, tokens))
    out = language.model.generate(
        input_ids=torch.tensor([[3] * (width - len(row)) + row for row in tokens]),
        attention_mask=torch.tensor([[0] * (width - len(row)) + [1] * len(row) for row in tokens]),
        max_new_tokens=1,
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
        pad_token_id=3,
    )
    return out.logits[0]


@pytest.mark.parametrize("name", [*READ, *MASKED])
def test_answers_are_those_of_each_prompt_alone_whatever_the_family(name):
    language = family(name)
    prompts = ["go", "1 + 2 =", "zz", "what is 7?", "find the red cup", "aa"]
    assert answers(language, prompts, max_new_tokens=8) == one_by_one(language, prompts)[0]


@pytest.mark.parametrize("name", [*READ, *MASKED])
def test_a_model_that_reads_padding_is_known_by_its_architecture(name):
    language, prompts = family(name), ["go", "1 + 2 =", "find the red cup"]
    alone, padded = one_by_one(language, prompts)[1], first_logits(language, prompts)
    differ = bool((alone - padded).abs().max() > 1e-4 * alone.abs().max())
    assert differ == reads_padding(language.model) == (name in READ)


def test_what_reads_padding_is_answered_in_batches_of_one_length_and_it_is_said_once(caplog):
    language, widths = family("blenderbot"), []
    generate = language.model.generate

    def recorded(input_ids, **kwargs):
        widths.append(tuple(input_ids.shape))
        return generate(input_ids=input_ids, **kwargs)

    language.model.generate = recorded
    generator = Generator(4, batch=2)
    with caplog.at_level(logging.INFO, logger="fitness"):
        for _ in range(2):
            generator(
                language,
                generator.encode(
                    language, ["go", "abc", "no", "a", "so", "def"], str, special=True
                ),
            )
    assert widths == [(1, 1), (2, 2), (1, 2), (2, 3)] * 2, "the same prompts, the same company"
    assert [record.message for record in caplog.records] == [
        "BlenderbotForCausalLM reads padding, so only prompts of equal length are answered "
        "side by side"
    ]


def test_who_is_answered_beside_whom_depends_on_lengths_alone():
    lengths = [3, 1, 3, 2, 1]
    assert companies(family("gpt2").model, lengths) == [[1, 4, 3, 0, 2]]
    assert companies(family("marian").model, lengths) == [[1, 4], [3], [0, 2]]
    assert companies(family("rwkv").model, lengths) == [[1], [4], [3], [0], [2]]
    assert companies(family("marian").model, []) == []


def test_an_unknown_model_that_takes_no_positions_is_not_padded():
    class Odd(type(tiny_llama().model)):
        def forward(self, input_ids=None, attention_mask=None, **others):
            return super().forward(input_ids=input_ids, attention_mask=attention_mask, **others)

    odd = tiny_llama()
    odd.model.__class__ = Odd
    assert reads_padding(odd.model)
    assert not reads_padding(tiny_llama().model)


LONG = {"short_factor": [1.0] * 4, "long_factor": [2.0] * 4}
YARN = {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e4}
LOW = {"low_freq_factor": 1.0, "high_freq_factor": 4.0}
ROPES = {
    "linear": ({"rope_type": "linear", "factor": 3.0, "rope_theta": 1e4}, 192),
    "linear, as it was written": ({"type": "linear", "factor": 2.5}, 160),
    "dynamic": ({"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}, 128),
    "yarn, before the scaling": (YARN | {"original_max_position_embeddings": 64}, 256),
    "yarn, after the scaling": (YARN | {"original_max_position_embeddings": 16}, 64),
    "yarn, which does not say": (YARN, 256),
    "llama3": (
        {
            "rope_type": "llama3",
            "factor": 8.0,
            "original_max_position_embeddings": 16,
            "rope_theta": 1e4,
        }
        | LOW,
        64,
    ),
    "longrope": (
        {"rope_type": "longrope", "original_max_position_embeddings": 16, "rope_theta": 1e4} | LONG,
        64,
    ),
    "longrope with a factor": (
        {"rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 64} | LONG,
        256,
    ),
    "default": ({"rope_type": "default", "rope_theta": 1e6}, 64),
}


@pytest.mark.parametrize("kind", ROPES)
def test_rope_scaling_counts(kind):
    rope, positions = ROPES[kind]
    language = family("llama", **{"rope_scaling" if "type" in rope else "rope_parameters": rope})
    assert positions_of(language.model) == positions
    assert answers(language, ["a" * (positions - 12)])
    with pytest.raises(
        ValueError,
        match=rf"its prompt has {positions - 11} tokens .* the model has {positions} positions$",
    ):
        answers(language, ["a" * (positions - 11)])


def test_of_ropes_for_each_type_of_layer_the_widest_counts():
    ropes = {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
        "sliding_attention": {"rope_type": "default", "rope_theta": 1e4},
    }
    language = family(
        "gemma3_text", layer_types=["sliding_attention", "full_attention"], rope_parameters=ropes
    )
    assert positions_of(language.model) == 512


@pytest.mark.parametrize(
    ("name", "positions"),
    [
        ("gpt2", 64),
        ("gptj", 64),
        ("opt", 64),
        ("bart", 64),
        ("bert", 64),
        ("roberta", 60),
        ("mpt", 64),
        ("whisper", 64),
    ],
)
def test_tables_of_positions_end_where_they_end(name, positions):
    language = family(name)
    assert positions_of(language.model) == positions
    language.model(input_ids=torch.full((1, positions), 5))
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        language.model(input_ids=torch.full((1, positions + 1), 5))


@pytest.mark.filterwarnings("ignore:.rope_scaling. is deprecated")
@pytest.mark.parametrize("name", ["gpt2", "opt", "bert"])
def test_rope_scaling_in_the_config_stretches_no_table(name):
    language = family(name)
    language.model.config.rope_scaling = {"type": "linear", "factor": 4.0}
    assert positions_of(language.model) == 64


@pytest.mark.parametrize("name", ["bloom", "falcon", "mamba", "recurrent_gemma", "rwkv", "xlnet"])
def test_a_config_without_a_limit_has_none(name):
    language = family(name)
    assert positions_of(language.model) is None
    assert answers(language, ["a" * 100], max_new_tokens=2)


@pytest.mark.parametrize("number", [-1, 0, None, float("inf")])
def test_a_number_that_is_no_limit_is_none(number):
    language = tiny_llama()
    language.model.config.__dict__["max_position_embeddings"] = number
    assert positions_of(language.model) is None
    assert answers(language, ["a" * 300], max_new_tokens=2)
