"""LoRA adapters as seeds: PEFT is the judge of what they add up to."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import peft
import pytest
import tiny_llama
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from populations.hub import find
from populations.llm import LanguageModels

WORDS = torch.tensor([[5, 17, 30, 8]])
ATTENTION = ["q_proj", "v_proj", "o_proj"]


def adapter(folder, base, seed=1, **settings):
    """Saves an adapter with random factors; gives its folder and the model into which PEFT has folded it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": ATTENTION} | settings)
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for name, parameter in model.named_parameters():
            if "lora" in name or "modules_to_save" in name:
                parameter.data = torch.randn_like(parameter) * 0.2
    model.save_pretrained(folder)
    return str(folder), model.merge_and_unload()


def source(seed, base=None):
    return find(seed, base).source


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    tiny_llama.save(folder)
    return str(folder)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"use_rslora": True},
        {"rank_pattern": {"layers.1.self_attn.q_proj": 2}, "alpha_pattern": {"v_proj": 16}},
        {"modules_to_save": ["lm_head"]},
        {"target_modules": ["embed_tokens", "q_proj"]},
        {"target_modules": ["down_proj", "gate_proj"], "r": 1},
    ],
)
def test_an_adapter_is_what_peft_folds_in(base, tmp_path, settings):
    folder, merged = adapter(tmp_path, base, **settings)
    seed, plain = source(folder), source(base)
    changed = 0
    for name, tensor in merged.state_dict().items():
        assert torch.allclose(seed.tensor(name), tensor, atol=1e-6), name
        changed += not torch.equal(seed.tensor(name), plain.tensor(name))
    assert changed >= 2


def test_models_and_adapters_breed(base, tmp_path):
    folder, merged = adapter(tmp_path / "adapter", base)
    population = LanguageModels([base, folder])
    first, second = population.founders(np.random.default_rng(0))
    assert torch.allclose(population.express(second).model(WORDS).logits, merged(WORDS).logits, atol=1e-4)
    assert torch.equal(population.express(first).model(WORDS).logits, AutoModelForCausalLM.from_pretrained(base)(WORDS).logits)
    (tmp_path / "out").mkdir()
    population.save(second, tmp_path / "out")
    assert [seed["name"] for seed in population.sources()] == [base, f"{base}+{folder}"]
    (Path(base) / "README.md").write_text("---\nlicense: mit\n---\n")
    facts = LanguageModels([folder, folder]).card()
    assert [seed["name"] for seed in facts["seeds"]] == ["adapter", "adapter"]
    assert facts["others"] == [{"name": Path(base).name, "license": ["mit"]}], "its weights are in the adapter's, too"
    assert base in (tmp_path / "adapter" / "README.md").read_text()
    assert base not in json.dumps(facts), "PEFT's card has the path of its base; that is nobody's business"
    assert population.card()["others"] == [], "here it is a seed"
    command = [Path(sys.executable).with_name("mergekit-yaml"), tmp_path / "out" / "mergekit.yaml", tmp_path / "mergekit"]
    subprocess.run([*command, "--lora-merge-cache", tmp_path / "cache"], check=True, capture_output=True)
    built = AutoModelForCausalLM.from_pretrained(tmp_path / "mergekit")
    assert torch.allclose(built(WORDS).logits, merged(WORDS).logits, atol=1e-4)


def test_an_adapter_with_a_config_of_its_own_is_still_an_adapter(base, tmp_path):
    folder, merged = adapter(tmp_path, base)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(base) / name).read_bytes())
    population = LanguageModels([folder, base])
    first = population.founders(np.random.default_rng(0))[0]
    assert torch.allclose(population.express(first).model(WORDS).logits, merged(WORDS).logits, atol=1e-4)


def test_the_base_is_the_one_that_is_named(base, tmp_path):
    folder, _ = adapter(tmp_path / "adapter", base)
    other = str(tmp_path / "other")
    tiny_llama.save(Path(other), seed=5)
    name = "model.norm.weight"
    assert torch.equal(source(folder, other).tensor(name), source(other).tensor(name))
    assert not torch.equal(
        source(folder, other).tensor("model.embed_tokens.weight"), source(folder).tensor("model.embed_tokens.weight")
    )


def settings(**changes):
    def apply(folder):
        path = folder / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return apply


def factors(change):
    def apply(folder):
        path = folder / "adapter_model.safetensors"
        state = load_file(path)
        change(state)
        save_file(state, path)

    return apply


def lose_one(state):
    state.pop(next(name for name in state if "lora_B" in name))


def narrow(state):
    name = next(name for name in state if "lora_A" in name)
    state[name] = state[name][:, :-2].clone()


def elsewhere(state):
    for name in [name for name in state if "layers.1" in name]:
        state[name.replace("layers.1", "layers.7")] = state.pop(name)


def stray(state):
    state["base_model.model.something"] = torch.ones(2)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (settings(peft_type="IA3"), ValueError, "expected a LoRA adapter, got IA3"),
        (settings(use_dora=True), ValueError, "use_dora is not a sum of base and B @ A; merge it into its base first"),
        (settings(base_model_name_or_path=None), ValueError, "an adapter that does not say what its base is"),
        (settings(base_model_name_or_path="gone"), FileNotFoundError, "expected a folder, or owner/name of the hub"),
        (lambda folder: (folder / "adapter_config.json").write_text("{"), ValueError, "expected JSON with a peft_type"),
        (lambda folder: (folder / "adapter_model.safetensors").unlink(), FileNotFoundError, "expected adapter_model.safetensors"),
        (factors(lose_one), ValueError, "expected two factors for"),
        (factors(narrow), ValueError, r"make \(32, 30\); the base's 'model.layers"),
        (factors(elsewhere), ValueError, "it adapts 'model.layers.7.self_attn"),
        (factors(stray), ValueError, "'base_model.model.something' is neither a LoRA factor nor a tensor of the base"),
    ],
)
def test_what_is_wrong_with_an_adapter_is_said(base, tmp_path, change, error, message):
    folder, _ = adapter(tmp_path, base)
    change(Path(folder))
    with pytest.raises(error, match=message):
        LanguageModels([base, folder]).axis  # noqa: B018


def test_an_adapter_of_an_adapter_is_refused(base, tmp_path):
    folder, _ = adapter(tmp_path / "one", base)
    again, _ = adapter(tmp_path / "two", base)
    with pytest.raises(ValueError, match="expected a base that is a whole model"):
        source(again, folder)
