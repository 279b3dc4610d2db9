"""Tasks of lm-eval as a fitness: the scores are lm-eval's own, sample by sample."""

import json
import logging
import pickle
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from lm_eval_samples import logged
from tiny_families import family

from fitness.harness import Harness
from fitness.lm_eval_library import wrap

ROOT = Path(__file__).resolve().parents[2]
ROWS = {"train": 9, "validation": 8, "test": 14}
SPLITS = {
    f"{part}_split": name
    for part, name in (("training", "train"), ("validation", "validation"), ("test", "test"))
}
TEXTS = {
    "output_type": "generate_until",
    "doc_to_text": "{{text}}\nA:",
    "doc_to_target": "answer",
    "generation_kwargs": {"until": ["\n"], "max_gen_toks": 6, "do_sample": False},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
    "filter_list": [
        {
            "name": "letter",
            "filter": [
                {"function": "regex", "regex_pattern": "([a-m])"},
                {"function": "take_first"},
            ],
        },
        {"name": "whole", "filter": [{"function": "take_first"}]},
    ],
}
TASKS = {
    "colours": {
        "output_type": "multiple_choice",
        "num_fewshot": 2,
        "doc_to_text": "{{text}}\nA:",
        "doc_to_choice": "choices",
        "doc_to_target": "label",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True},
            {"metric": "mcc", "aggregation": "matthews_corrcoef", "higher_is_better": True},
        ],
    },
    "letters": TEXTS,
    "sampled": TEXTS
    | {
        "generation_kwargs": {
            "until": ["\n"],
            "max_gen_toks": 6,
            "do_sample": True,
            "temperature": 1.0,
        }
    },
    "wordy": TEXTS | {"metric_list": [{"metric": "bleu"}]},
    "coded": TEXTS | {"unsafe_code": True},
    "unshot": TEXTS | {"num_fewshot": 0},
    "untested": TEXTS | {"test_split": None, "training_split": None},
    "twins": TEXTS | {"validation_split": "test"},
    "lost": TEXTS | {"dataset_kwargs": {"data_files": {"test": "nowhere.json"}}},
    "unlabelled": {
        "output_type": "multiple_choice",
        "doc_to_text": "text",
        "doc_to_choice": "choices",
        "doc_to_target": "{{0 - 1}}",
    },
    "beyond": {
        "output_type": "multiple_choice",
        "doc_to_text": "text",
        "doc_to_choice": "choices",
        "doc_to_target": "{{label + 3 * (text|length > 10)}}",
    },
    "misnamed": {
        "output_type": "multiple_choice",
        "doc_to_text": "text",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
    },
    "named": {
        "output_type": "multiple_choice",
        "doc_to_text": "text",
        "doc_to_choice": "choices",
        "doc_to_target": "{{choices[label]}}",
    },
    "halved": TEXTS | {"doc_to_text": "{{text}}{{'\\ud83d'}}"},
    "rolling": {"output_type": "loglikelihood_rolling", "doc_to_text": "", "doc_to_target": "text"},
}


@pytest.fixture(scope="module")
def language():
    """A tiny Llama of random numbers that reads and writes characters."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    vocab = {
        token: i
        for i, token in enumerate(
            ["<unk>", "<end>", *"abcdefghijklmnopqrstuvwxyz 0123456789:?=+\nAQ"]
        )
    }
    characters = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    characters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    characters.decoder = decoders.Fuse()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=characters, unk_token="<unk>", eos_token="<end>"
    )
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
        initializer_range=0.7,
        eos_token_id=1,
        bos_token_id=None,
    )
    return SimpleNamespace(model=LlamaForCausalLM(config).eval(), tokenizer=tokenizer)


def write(folder, answers=None):
    """Every task as YAML with its data as JSON lines.

    `answers` are what the letters' even test documents expect.
    """
    rng = np.random.default_rng(0)
    files = {}
    for split, rows in ROWS.items():
        texts = [f"Q: {rng.integers(100)}+{rng.integers(10 ** (i % 4 + 1))}=?" for i in range(rows)]
        expected = ["z" if answers is None or i % 2 else answers[split][i] for i in range(rows)]
        labels = rng.integers(3, size=rows).tolist()
        choices = [
            ["".join(rng.choice([*"abcdefgh"], length)) for length in (3, 3, 4)]
            for _ in range(rows)
        ]
        columns = {"text": texts, "answer": expected, "label": labels, "choices": choices}
        docs = [
            dict(zip(columns, values, strict=True))
            for values in zip(*columns.values(), strict=True)
        ]
        files[split] = str(folder / f"{split}.json")
        (folder / f"{split}.json").write_text("\n".join(map(json.dumps, docs)))
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache")},
    }
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | data | SPLITS | task))
    (folder / "group.yaml").write_text(
        yaml.safe_dump({"group": "both", "task": ["colours", "letters"]})
    )
    return folder


@pytest.fixture(scope="module")
def include_path(tmp_path_factory, language):
    """The tasks, with the model's own greedy letters expected of every other document."""
    pytest.importorskip(
        "lm_eval", reason="lm-eval is not installed: pip install 'evomerge[lm-eval]'"
    )
    blank = Harness(
        "letters",
        include_path=write(tmp_path_factory.mktemp("blank")),
        train="training",
        validation="validation",
    )
    answers = {
        s: [e["answer"] for e in blank.explain(language, np.arange(n), s)] for s, n in ROWS.items()
    }
    return write(tmp_path_factory.mktemp("tasks"), answers)


def samples(language, include_path, task, **settings):
    """What lm-eval itself logs of each sample: {(document, filter): its metrics}."""
    found = logged(language, include_path, task, batch=4, **settings)
    return {(sample["doc_id"], sample["filter"]): sample for sample in found}


@pytest.mark.parametrize(
    ("task", "metric", "named"),
    [
        ("colours", None, ("acc", "none")),
        ("colours", "acc_norm", ("acc_norm", "none")),
        ("letters", "exact_match", ("exact_match", "letter")),
        ("letters", "exact_match,whole", ("exact_match", "whole")),
    ],
)
@pytest.mark.parametrize("shots", [None, 3])
def test_scores_are_lm_evals_own(language, include_path, task, metric, named, shots):
    theirs = samples(language, include_path, task, num_fewshot=shots)
    ours = Harness(task, metric, include_path=include_path, num_fewshot=shots, batch=4)(
        language, np.arange(14), "test"
    )
    assert ours.dtype == np.float32
    assert ours.tolist() == [theirs[doc, named[1]][named[0]] for doc in range(14)]
    if named[1] != "whole" and not (
        task == "letters" and shots
    ):  # else all may be wrong: the answers were taken without examples
        assert set(ours.tolist()) == {0, 1}


def test_prompts_are_lm_evals_own_whoever_is_asked(language, include_path):
    theirs = samples(language, include_path, "colours")
    asked = np.array([11, 2, 5])
    shown = Harness("colours", include_path=include_path).explain(language, asked, "test")
    assert [entry["prompt"] for entry in shown] == [
        theirs[doc, "none"]["arguments"][0][0] for doc in asked
    ]
    assert len({entry["prompt"].rpartition("Q:")[0] for entry in shown}) == 3, (
        "each has examples of its own"
    )
    for doc, entry in zip(asked.tolist(), shown, strict=True):
        choices = theirs[doc, "none"]["doc"]["choices"]
        likelihoods = [answer[0] for answer in theirs[doc, "none"]["filtered_resps"]]
        assert entry["answer"] == choices[int(np.argmax(likelihoods))]
        assert entry["expected"] == choices[theirs[doc, "none"]["target"]]
        assert (
            entry["score"] == (entry["answer"] == entry["expected"]) == theirs[doc, "none"]["acc"]
        )


@pytest.mark.parametrize("task", ["colours", "letters"])
def test_any_documents_in_any_order(language, include_path, task):
    fitness = Harness(task, include_path=include_path, batch=3)
    whole = fitness(language, np.arange(14), "test")
    for asked in (np.arange(14)[::-1], np.array([7]), np.array([12, 3, 9, 0]), np.arange(5)):
        assert fitness(language, asked, "test").tolist() == whole[asked].tolist()
    assert fitness(language, np.array([], dtype=np.int64), "test").shape == (0,)


def test_weights_that_change_in_place_change_the_scores(language, include_path):
    fitness = Harness("colours", include_path=include_path)
    before = fitness(language, np.arange(14), "test").tolist()
    kept = fitness._lm
    weight = language.model.lm_head.weight
    try:
        weight.data.neg_()
        after = fitness(language, np.arange(14), "test").tolist()
        assert after != before
        assert after == [
            sample["acc"] for sample in samples(language, include_path, "colours").values()
        ]
    finally:
        weight.data.neg_()
    assert fitness._lm is kept, "the model was wrapped once"
    assert fitness(language, np.arange(14), "test").tolist() == before
    assert language.tokenizer.pad_token is None, "the tokenizer is as it was"


def test_splits_are_parts_of_the_tasks(language, include_path):
    fitness = Harness(
        "colours",
        include_path=include_path,
        train="test[3:9]",
        test="test[9:]",
        validation="validation[:4]",
    )
    assert [fitness.size(split) for split in ("train", "test", "validation")] == [6, 5, 4]
    whole = Harness("colours", include_path=include_path)(language, np.arange(14), "test").tolist()
    assert fitness(language, np.arange(6), "train").tolist() == whole[3:9]
    assert fitness(language, np.arange(5), "test").tolist() == whole[9:]
    assert Harness("colours", include_path=include_path, test=None).size("test") == 0


def test_no_document_is_among_its_own_examples(language, include_path):
    """The examples come from the training documents, of which 8 of 9 are drawn."""
    fitness = Harness("colours", include_path=include_path, train="training", num_fewshot=8)
    for entry in fitness.explain(language, np.arange(9), "train"):
        *examples, question = entry["prompt"].split("Q: ")[1:]
        assert len(examples) == 8
        assert question.removesuffix("\nA:") not in [
            example.partition("\n")[0] for example in examples
        ]


def test_sampled_answers_come_from_the_seed(language, include_path):
    def answers(seed, asked, split="test"):
        shown = Harness(
            "sampled", "exact_match,whole", include_path=include_path, seed=seed
        ).explain(language, asked, split)
        return [entry["answer"] for entry in shown]

    asked = np.arange(14)
    first, state = answers(0, asked), torch.get_rng_state()
    torch.rand(3)
    assert answers(0, asked) == first
    assert answers(1, asked) != first
    torch.set_rng_state(state)
    answers(0, asked)
    assert torch.equal(torch.get_rng_state(), state), "the global generator is as it was"


def test_shorter_answers_and_conversations_on_request(language, include_path):
    tokenizer = deepcopy(language.tokenizer)
    tokenizer.chat_template = (
        "{% for m in messages %}{{ m.role[0] }}:{{ m.content }}\n{% endfor %}a:"
    )
    chat = SimpleNamespace(model=language.model, tokenizer=tokenizer)
    fitness = Harness(
        "letters", "exact_match,whole", include_path=include_path, gen_kwargs={"max_gen_toks": 2},
        apply_chat_template=True, system_instruction="be brief",
    )  # fmt: skip
    (entry,) = fitness.explain(chat, np.array([0]), "test")
    assert entry["prompt"].startswith("s:be brief\nu:Q: ")
    assert entry["prompt"].endswith("=?\nA:\na:")
    assert len(entry["answer"]) <= 2


@pytest.mark.parametrize("task", ["colours", "letters"])
@pytest.mark.parametrize(
    "error",
    [torch.cuda.OutOfMemoryError("CUDA out of memory"), RuntimeError("not enough memory: 8 GB")],
)
@pytest.mark.parametrize("room", [2, 0])
def test_the_batch_shrinks_where_memory_runs_out(language, include_path, task, room, error, caplog):
    def limit(module, args, kwargs):
        if len(args[0] if args else kwargs["input_ids"]) > room:
            raise error

    expected = Harness(task, include_path=include_path)(language, np.arange(14), "test").tolist()
    fitness = Harness(task, include_path=include_path, batch=8)
    hook = language.model.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        if room:
            assert fitness(language, np.arange(14), "test").tolist() == expected
            assert [
                record.args for record in caplog.records if record.levelno == logging.WARNING
            ] == [(4, task), (2, task)]
        else:
            with pytest.raises(
                MemoryError, match=f"batch: there is no memory for one prompt of the task '{task}'"
            ):
                fitness(language, np.arange(14), "test")
    finally:
        hook.remove()


def test_nothing_is_said_and_nobody_is_called(
    language, include_path, tmp_path, capfd, caplog, monkeypatch
):
    def refuse(*address):
        raise AssertionError(f"called {address}")

    monkeypatch.setattr("socket.socket.connect", refuse)
    for task in ("colours", "letters"):
        Harness(task, include_path=write(tmp_path))(language, np.arange(3), "test")
    assert capfd.readouterr() == ("", "")
    assert caplog.text == ""


def test_settings_travel(language, include_path):
    fitness = Harness("letters", include_path=include_path)
    scores = fitness(language, np.arange(4), "test").tolist()
    copy = pickle.loads(pickle.dumps(fitness))
    assert not [name for name in vars(copy) if name.startswith("_")]
    assert copy(language, np.arange(4), "test").tolist() == scores


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"task": "colors"}, "no task 'colors'.*'colours'"),
        ({"task": "both"}, "'both' is a group of tasks.*Combined"),
        ({"include_path": "nowhere"}, "include_path: there is no folder nowhere"),
        ({"task": "lost"}, "cannot load 'lost': FileNotFoundError: .*nowhere.json"),
        ({"task": "rolling"}, "'rolling' measures the likelihood of whole texts"),
        ({"task": "coded"}, "'coded' runs code"),
        (
            {"metric": "accuracy"},
            r"metric: .*'accuracy'.* has acc, acc_norm, mcc \(taken over all.*filter none",
        ),
        (
            {"metric": "mcc"},
            r"metric: expected a score in \[0, 1\] of each sample, got 'mcc'.* has acc, acc_norm",
        ),
        (
            {"task": "wordy"},
            r"metric: none gives each sample a score.* bleu \(taken over all samples together\)",
        ),
        (
            {"task": "letters", "metric": "exact_match,strict"},
            "got 'exact_match,strict'; .*letter or whole",
        ),
        (
            {"task": "untested"},
            r"test: the task 'untested' has no test documents, only validation;"
            r".*validation\[:100\]",
        ),
        (
            {"train": "test[:9]"},
            r"train and test: both take documents 0 to 8 of the task's split 'test'",
        ),
        (
            {"task": "twins"},
            "train and test: both take documents 0 to 13 of the task's split 'test'",
        ),
        (
            {"train": "test[20:]"},
            r"train: test\[20:\] is empty, the task 'colours' has 14 test documents",
        ),
        ({"train": "dev"}, r"train: expected training, validation, test, or a range.*got 'dev'"),
        ({"task": "unshot", "num_fewshot": 2}, "num_fewshot: 'unshot' sets it to 0 itself"),
        ({"num_fewshot": -1}, "num_fewshot: expected 0 or more"),
        ({"gen_kwargs": {"max_gen_toks": 2}}, "gen_kwargs: 'colours' generates nothing"),
        ({"batch": 0}, "batch: expected at least 1"),
        (
            {"task": "unlabelled"},
            "document 0 of the validation documents of 'unlabelled': expected its right .* "
            "its 3 choices, got '-1'$",
        ),
        (
            {"task": "beyond"},
            "document [1-9] of the validation documents of 'beyond': expected its right .* "
            "its 3 choices, got [345]$",
        ),
        (
            {"task": "misnamed", "train": "test[3:]", "test": None},
            "document 3 of the test documents of 'misnamed': .*, got 'z'$",
        ),
    ],
)
def test_bad_input(include_path, settings, said):
    with pytest.raises(ValueError, match=said):
        Harness(**({"task": "colours", "include_path": include_path} | settings)).size("train")


def test_a_right_answer_may_be_named(include_path):
    assert Harness("named", include_path=include_path).size("train") == ROWS["validation"]


def test_half_a_character_in_a_prompt_has_a_place(language, include_path):
    fitness = Harness("halved", include_path=include_path)
    with pytest.raises(
        ValueError,
        match=r"document 0 of the validation documents of 'halved': half a character, '\\ud83d'",
    ):
        fitness(language, np.arange(2), "train")


def test_a_split_that_is_missing_is_named(language, include_path):
    with pytest.raises(
        ValueError,
        match="validation: the task 'colours' has no such split here; it has train, test",
    ):
        Harness("colours", include_path=include_path)(language, np.array([0]), "validation")


def test_without_lm_eval(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(
        ImportError, match=r"need the package lm-eval: pip install 'evomerge\[lm-eval\]'"
    ):
        Harness("arc_easy").size("train")


def test_it_is_light_to_import():
    heavy = ("lm_eval", "transformers", "datasets")
    code = f"import sys, fitness.harness; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=1800,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["rwkv", "whisper", "xlnet"])
def test_a_model_that_reads_padding_answers_as_with_each_prompt_alone(include_path, name):
    reader = family(name)
    scores, alone = (
        Harness("letters", "exact_match,whole", include_path=include_path, batch=batch)
        for batch in (8, 1)
    )
    told = scores.explain(reader, np.arange(14), "test")
    assert len({len(entry["prompt"]) for entry in told}) > 2, (
        "of several lengths, or this would show little"
    )
    assert told == alone.explain(reader, np.arange(14), "test")
    assert len({entry["answer"] for entry in told}) > 2


def test_a_prompt_loses_nothing_where_rope_scaling_or_no_limit_lets_it_in(include_path):
    """lm-eval itself reads the config's number alone, and takes -1 for one."""
    for name, settings, longest in (
        ("llama", {"rope_scaling": {"type": "linear", "factor": 4.0}}, 256),
        ("gpt_neox", {}, 64),
        ("roberta", {}, 60),
        ("xlnet", {}, 2**30),
        ("mamba", {}, 2**30),
    ):
        language = family(name, **settings)
        assert wrap(language.model, language.tokenizer, 2).max_length == longest
