"""Language models that cannot be bred, each told in one message."""

import json
import shutil

import peft
import pytest
import tiny_llama
import torch
from mistakes import check_mistake, file, row
from transformers import AutoModelForCausalLM

LM = "check lm.yaml "

LANGUAGE = """
population:
  _target_: populations.llm.LanguageModels
  seeds: [a, b]
  device: cpu
fitness:
  _target_: fitness.questions.QuestionAnswering
  data: {_target_: fitness.records.JsonLines, train: train.jsonl}
  max_new_tokens: 2
births: 2
"""


def language(change):
    """A config lm.yaml of language models over two tiny seeds, a and b, of which b is changed."""

    def write(folder):
        tiny_llama.tuned(folder, "ab")
        (folder / "lm.yaml").write_text(LANGUAGE)
        (folder / "train.jsonl").write_text('{"question": "1 + 1 = ", "answer": "2"}\n' * 4)
        change(folder / "b")

    return write


def adapted(**settings):
    """An adapter instead of a model, with these settings."""

    def write(seed):
        shutil.rmtree(seed)
        model = AutoModelForCausalLM.from_pretrained(seed.with_name("a"))
        peft.get_peft_model(model, peft.LoraConfig(target_modules=["q_proj"])).save_pretrained(seed)
        path = seed / "adapter_config.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": "a"} | settings)
        )

    return write


MODELS = [
    row(
        "a kind of adapter",
        LM,
        "seeds: b/adapter_config.json: use_dora: True: ",
        "merge it into its base first",
        given=language(adapted(use_dora=True)),
    ),
    row(
        "an adapter that changed its base",
        LM,
        "seeds: b/adapter_config.json: init_lora_weights is 'pissa'",
        given=language(adapted(init_lora_weights="pissa")),
    ),
    row(
        "an adapter of nothing",
        LM,
        "seeds: b: the adapter's base no/such cannot be had",
        "set adapter_base",
        given=language(adapted(base_model_name_or_path="no/such")),
    ),
    row(
        "adapter_base without an adapter",
        LM + "population.adapter_base=a",
        "adapter_base: expected a LoRA adapter",
        given=language(lambda _: None),
    ),
    row(
        "superfluous tensors",
        LM,
        "seeds: b: 1 of its tensors have no place",
        "'score.weight' (2, 32)",
        given=language(
            tiny_llama.rewritten(lambda state: state.update({"score.weight": torch.ones(2, 32)}))
        ),
    ),
    row(
        "a config that is no JSON",
        LM,
        "seeds: b/config.json: expected JSON",
        given=language(file("config.json", "{")),
    ),
    row(
        "a tokenizer of another version",
        LM,
        "seeds: b: its tokenizer cannot be read: b/tokenizer.json: tokenizers ",
        given=language(file("tokenizer.json", "{}")),
    ),
    row(
        "quantized weights",
        LM,
        "seeds: b: expected floating-point weights",
        "it is quantized",
        given=language(
            tiny_llama.rewritten(
                lambda state: state.update({n: t.to(torch.uint32) for n, t in state.items()})
            )
        ),
    ),
    row(
        "an index that leads elsewhere",
        LM,
        "seeds: b/model.safetensors.index.json: 'a': expected the name of a file beside it",
        given=language(
            lambda seed: (
                (seed / "model.safetensors").unlink(),
                file("model.safetensors.index.json", '{"weight_map": {"a": "../c"}}')(seed),
            )
        ),
    ),
]


@pytest.mark.parametrize(("command", "said", "given", "lines"), MODELS)
def test_a_mistake_is_told_and_nothing_is_written(place, capsys, command, said, given, lines):
    check_mistake(place, capsys, command, said, given, lines)
