"""Tasks of lm-eval over local data, asked of a real model: SmolLM2 gets lm-eval's own samples."""

import json
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from lm_eval_samples import logged

from fitness.harness import Harness

pytestmark = pytest.mark.whole

pytest.importorskip("lm_eval", reason="lm-eval is not installed: pip install 'evomerge[lm-eval]'")

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Spain": "Madrid",
    "Bhutan": "Lima",  # wrong, so that no model can be right about all of them
    "Egypt": "Cairo",
}
CITIES = sorted(CAPITALS.values())
TASKS = {
    "choices": {
        "output_type": "multiple_choice",
        "num_fewshot": 1,
        "fewshot_split": "train",
        "doc_to_text": "Question: What is the capital of {{country}}?\nAnswer:",
        "doc_to_choice": CITIES,
        "doc_to_target": "city",
        "metric_list": [{"metric": name} for name in ("acc", "acc_norm")],
    },
    "texts": {
        "output_type": "generate_until",
        "doc_to_text": "The capital of {{country}} is",
        "doc_to_target": "city",
        "generation_kwargs": {"until": ["\n"], "max_gen_toks": 12, "do_sample": False},
        "metric_list": [{"metric": "exact_match"}],
        "filter_list": [
            {
                "name": "city",
                "filter": [
                    {"function": "regex", "regex_pattern": f"({'|'.join(CITIES)})"},
                    {"function": "take_first"},
                ],
            }
        ],
    },
}


@pytest.fixture(scope="module")
def language():
    """SmolLM2-135M-Instruct, from $EVOMERGE_SMOLLM or as `populations.smollm` makes it."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = os.environ.get("EVOMERGE_SMOLLM")
    if not folder:
        try:
            from populations.smollm import base

            folder = base()
        except ImportError as error:
            pytest.skip(f"no SmolLM2 ({error}); EVOMERGE_SMOLLM names a folder with it")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return SimpleNamespace(model=model, tokenizer=AutoTokenizer.from_pretrained(folder))


@pytest.fixture(scope="module")
def include_path(tmp_path_factory):
    """The tasks and their data: a document to learn from, and six to answer."""
    folder = tmp_path_factory.mktemp("tasks")
    parts = {"train": {"Peru": "Lima"}, "test": CAPITALS}
    files = {}
    for part, capitals in parts.items():
        lines = []
        for country, city in capitals.items():
            lines.append(json.dumps({"country": country, "city": city}))
        files[part] = str(folder / f"{part}.json")
        (folder / f"{part}.json").write_text("\n".join(lines))
    data = {
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": files, "cache_dir": str(folder / "cache")},
        "training_split": "train",
        "test_split": "test",
    }
    for name, task in TASKS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"task": name} | data | task))
    return folder


def samples(language, include_path, task, **settings):
    """What lm-eval itself logs of each document, in their order."""
    found = logged(language, include_path, task, batch=3, **settings)
    return sorted(found, key=lambda sample: sample["doc_id"])


def harness(include_path, task, metric=None, **settings):
    return Harness(task, metric, include_path=include_path, train="training", batch=3, **settings)


def raw(fitness, language):
    """(the prompt, the model's answer to it as lm-eval has it) of all requests of the test split."""
    answered = fitness._answered(language, np.arange(len(CAPITALS)), "test")
    return [(request.args[0], request.resps[0]) for requests in answered for request in requests]


def test_likelihoods_are_lm_evals_own(language, include_path):
    theirs = samples(language, include_path, "choices")
    for metric in ("acc", "acc_norm"):
        ours = harness(include_path, "choices", metric)(language, np.arange(6), "test")
        assert ours.tolist() == [sample[metric] for sample in theirs]
    assert set(ours.tolist()) == {0, 1}
    expected = []
    for sample in theirs:
        for arguments, (response,) in zip(sample["arguments"], sample["resps"], strict=True):
            expected.append((arguments[0], response))
    assert raw(harness(include_path, "choices"), language) == expected
    assert len(expected) == 36
    assert "Peru?\nAnswer: Lima" in expected[0][0], "the example stands before each question"


@pytest.mark.parametrize("chat", [False, True])
def test_texts_are_lm_evals_own(language, include_path, chat):
    theirs = samples(language, include_path, "texts", apply_chat_template=chat)
    fitness = harness(include_path, "texts", apply_chat_template=chat)
    ours = fitness(language, np.arange(6), "test")
    assert ours.tolist() == [sample["exact_match"] for sample in theirs]
    assert set(ours.tolist()) == {0, 1}
    expected = [(sample["arguments"][0][0], sample["resps"][0][0]) for sample in theirs]
    assert raw(fitness, language) == expected
    assert expected[0][0].startswith("<|im_start|>") == chat
