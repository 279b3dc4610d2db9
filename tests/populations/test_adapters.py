"""LoRA adapters as seeds: PEFT is the judge of what they add up to."""

import json
import shlex
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import peft
import pytest
import tiny_llama
import torch
from safetensors.torch import load_file, save_file
from tiny_adapters import ATTENTION, adapter
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
)

from populations.llm import LanguageModels
from populations.methods import Method
from populations.seeds.language_seeds import find

WORDS = torch.tensor([[5, 17, 30, 8]])


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


@pytest.mark.whole
def test_models_and_adapters_breed(base, tmp_path):
    folder, merged = adapter(tmp_path / "adapter", base)
    population = LanguageModels([base, folder])
    first, second = population.founders(np.random.default_rng(0))
    assert torch.allclose(
        population.express(second).model(WORDS).logits, merged(WORDS).logits, atol=1e-4
    )
    assert torch.equal(
        population.express(first).model(WORDS).logits,
        AutoModelForCausalLM.from_pretrained(base)(WORDS).logits,
    )
    (tmp_path / "out").mkdir()
    population.save(second, tmp_path / "out")
    assert [seed["name"] for seed in population.sources()] == [base, f"{base}+{folder}"]
    (Path(base) / "README.md").write_text("---\nlicense: mit\n---\n")
    facts = LanguageModels([folder, folder]).card()
    assert [seed["name"] for seed in facts["seeds"]] == ["adapter", "adapter"]
    assert facts["others"] == [{"name": Path(base).name, "license": ["mit"]}], (
        "its weights are in the adapter's, too"
    )
    assert base in (tmp_path / "adapter" / "README.md").read_text()
    assert base not in json.dumps(facts), (
        "PEFT's card has the path of its base; that is nobody's business"
    )
    assert population.card()["others"] == [], "here it is a seed"
    first = (tmp_path / "out" / "mergekit.yaml").read_text().partition("\n")[0]
    program, *arguments = shlex.split(first.removeprefix("# "))
    command = [Path(sys.executable).with_name(program), *arguments]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path / "out")
    built = AutoModelForCausalLM.from_pretrained(tmp_path / "out" / "OUT")
    assert torch.allclose(built(WORDS).logits, merged(WORDS).logits, atol=1e-4)


def test_an_adapter_with_a_config_of_its_own_is_still_an_adapter(base, tmp_path):
    folder, merged = adapter(tmp_path, base)
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((Path(base) / name).read_bytes())
    population = LanguageModels([folder, base])
    first = population.founders(np.random.default_rng(0))[0]
    assert torch.allclose(
        population.express(first).model(WORDS).logits, merged(WORDS).logits, atol=1e-4
    )


def test_the_base_is_the_one_that_is_named(base, tmp_path):
    folder, _ = adapter(tmp_path / "adapter", base)
    other = str(tmp_path / "other")
    tiny_llama.save(Path(other), seed=5)
    name = "model.embed_tokens.weight"
    assert torch.equal(source(folder, other).tensor(name), source(other).tensor(name))
    assert not torch.equal(source(folder, other).tensor(name), source(folder).tensor(name))
    population = LanguageModels([folder, other], adapter_base=other)
    assert [seed["name"] for seed in population.sources()] == [f"{other}+{folder}", other]
    with pytest.raises(
        ValueError, match="adapter_base: expected a LoRA adapter among the seeds, there is none"
    ):
        LanguageModels([other, base], adapter_base=base).axis  # noqa: B018


@pytest.mark.parametrize(
    "method", [Method("task_arithmetic"), Method("ties", {"density": 0.5}), None]
)
def test_the_base_of_a_method_is_not_that_of_an_adapter(base, tmp_path, caplog, method):
    folder, merged = adapter(tmp_path / "adapter", base)
    before = str(tmp_path / "pretrained")
    tiny_llama.save(Path(before), seed=7)
    population = LanguageModels([folder, base], base=before, method=method)
    first = population.founders(np.random.default_rng(0))[0]
    names = [seed["name"] for seed in population.sources()]
    assert names == [f"{base}+{folder}", base] + ([before] if method else [])
    if method is None:
        assert torch.allclose(
            population.express(first).model(WORDS).logits, merged(WORDS).logits, atol=1e-5
        )
        assert (
            "without a method nothing takes it; what adapters stand on is adapter_base"
            in caplog.text
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


def pickled(folder):
    torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
    (folder / "adapter_model.safetensors").unlink()


def nested(folder):
    (folder / "other").mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).rename(folder / "other" / name)


def conv(state):
    name = next(name for name in state if "lora_A" in name)
    state[name] = state[name][..., None].clone()


def resized(state):
    state["base_model.model.lm_head.weight"] = torch.ones(len(tiny_llama.CHARACTERS) + 9, 32)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (settings(peft_type="IA3"), ValueError, "expected a LoRA adapter, got IA3"),
        (
            settings(use_dora=True),
            ValueError,
            "use_dora is not a sum of base and B @ A; merge it into its base first",
        ),
        (
            settings(base_model_name_or_path=None),
            ValueError,
            "an adapter that does not say what its base is",
        ),
        (
            settings(base_model_name_or_path="gone"),
            FileNotFoundError,
            "the adapter's base gone cannot be had: expected a folder, or owner/name of "
            "the hub.*; set adapter_base to a folder or",
        ),
        (
            settings(base_model_name_or_path="who/gone"),
            FileNotFoundError,
            "base who/gone cannot be had: .*; set adapter_base",
        ),
        (
            settings(base_model_name_or_path="a/b", revision="v7"),
            FileNotFoundError,
            "the adapter's base a/b@v7 cannot be had",
        ),
        (
            settings(r=5),
            ValueError,
            r"expected two matrices of rank 5 for 'model.layers.*, got .*lora_A.* of "
            r"shape \(4, 32\)",
        ),
        (
            settings(alpha_pattern={"(": 3}),
            ValueError,
            "rank and alpha of 'model.layers.* cannot be read",
        ),
        (
            settings(lora_alpha="much"),
            ValueError,
            "adapter_config.json: rank and alpha of .* cannot be read",
        ),
        (
            pickled,
            ValueError,
            r"expected adapter_model.safetensors, got pickled weights \(adapter_model.bin\)",
        ),
        (
            nested,
            FileNotFoundError,
            "found neither; there are models in folders below it: name one of other",
        ),
        (factors(conv), ValueError, r"expected two matrices of rank 4 for .*of shape \(4, 32, 1\)"),
        (
            factors(resized),
            ValueError,
            r"'base_model.model.lm_head.weight' of shape \(\d+, 32\), the base .* has it of shape",
        ),
        (
            lambda folder: (folder / "adapter_config.json").write_text("{"),
            ValueError,
            "expected JSON with a peft_type",
        ),
        (
            lambda folder: (folder / "adapter_model.safetensors").unlink(),
            FileNotFoundError,
            "expected adapter_model.safetensors",
        ),
        (factors(lose_one), ValueError, "expected two factors for"),
        (factors(narrow), ValueError, r"make \(32, 30\); the base's 'model.layers"),
        (factors(elsewhere), ValueError, "it adapts 'model.layers.7.self_attn"),
        (
            factors(stray),
            ValueError,
            "'base_model.model.something' is neither a LoRA factor nor a tensor of the base",
        ),
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


def llama(**config):
    return LlamaForCausalLM(LlamaConfig(**SMALL, **config))


def gpt2(**config):
    small = {
        "vocab_size": SMALL["vocab_size"],
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "initializer_range": 0.3,
    }
    return GPT2LMHeadModel(GPT2Config(**small, **config))


SMALL = {
    "vocab_size": len(tiny_llama.CHARACTERS) + 4,
    "hidden_size": 32,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "initializer_range": 0.3,
}
TIED = {"tie_word_embeddings": True}


def against_peft(tmp_path, model, **settings):
    """Logits of a founder that is an adapter, and PEFT's own of its file."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model().save_pretrained(tmp_path / "base")
        tiny_llama.tokenizer().save_pretrained(tmp_path / "base")
        config = peft.LoraConfig(
            **{"r": 4, "lora_alpha": 6, "target_modules": ["q_proj", "v_proj"]} | settings
        )
        tuned = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(tmp_path / "base"), config)
        for parameter in tuned.parameters():
            if parameter.requires_grad:
                parameter.data += torch.randn_like(parameter) * 0.1
    tuned.save_pretrained(tmp_path / "adapter")
    if config.init_lora_weights == "eva":  # without data PEFT begins it with zeros
        assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["eva_config"]
    loaded = peft.PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(tmp_path / "base"), tmp_path / "adapter"
    ).eval()
    with torch.inference_mode():
        expected = loaded(input_ids=WORDS).logits
        population = LanguageModels([str(tmp_path / "adapter"), str(tmp_path / "base")])
        first, second = population.founders(np.random.default_rng(0))
        plain = population.express(second).model(WORDS).logits.clone()
        return population.express(first).model(WORDS).logits, expected, plain


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        *(
            (llama, {"init_lora_weights": begin})
            for begin in (True, False, "gaussian", "orthogonal", "mica", "eva")
        ),
        (partial(llama, attention_bias=True), {"bias": "lora_only"}),
        (partial(llama, attention_bias=True, mlp_bias=True), {"bias": "all"}),
        (llama, {"layers_to_transform": [1]}),
        (
            llama,
            {"target_modules": "all-linear", "exclude_modules": ["o_proj"], "fan_in_fan_out": True},
        ),
        (llama, {"modules_to_save": ["norm", "lm_head", "mlp"]}),
        (
            llama,
            {
                "rank_pattern": {"q_proj": 2},
                "alpha_pattern": {"^model.layers.1.self_attn.v_proj": 32},
                "use_rslora": True,
            },
        ),
        (
            partial(llama, **TIED),
            {"modules_to_save": ["embed_tokens"], "ensure_weight_tying": True},
        ),
        (partial(llama, **TIED), {"ensure_weight_tying": True}),
        (gpt2, {"target_modules": ["c_attn"]}),
        (gpt2, {"target_modules": ["c_attn", "c_proj", "c_fc"], "fan_in_fan_out": True}),
        (gpt2, {"target_modules": ["attn.c_proj"]}),
        (
            partial(gpt2, n_inner=32),
            {"target_modules": ["c_fc", "mlp.c_proj", "wpe"], "bias": "all"},
        ),
        (
            partial(gpt2, tie_word_embeddings=False),
            {"target_modules": ["c_proj", "lm_head", "wte"], "fan_in_fan_out": True},
        ),
    ],
)
def test_what_is_let_in_answers_as_in_peft(tmp_path, model, settings):
    ours, theirs, plain = against_peft(tmp_path, model, **settings)
    assert (ours - theirs).abs().max() <= 1e-5 * max(1, theirs.abs().max())
    assert (ours - plain).abs().max() > 1e-2, "the adapter changes something"


@pytest.mark.parametrize("square", [True, False])
def test_the_layer_of_a_square_matrix_says_how_it_lies_whatever_the_adapter_says(tmp_path, square):
    """GPT-2's layers are stored as (in, out), Llama's as (out, in).

    PEFT goes by the layer, and corrects the setting when it loads.
    """
    for place, model, targets in (
        ("llama", llama, ["q_proj", "up_proj"]),
        ("gpt2", gpt2, ["c_proj", "c_attn"]),
    ):
        ours, theirs, _ = against_peft(tmp_path / place, model, target_modules=targets)
        path = tmp_path / place / "adapter" / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"fan_in_fan_out": square}))
        population = LanguageModels(
            [str(tmp_path / place / "adapter"), str(tmp_path / place / "base")]
        )
        again = (
            population.express(population.founders(np.random.default_rng(0))[0]).model(WORDS).logits
        )
        assert torch.equal(again, ours)
        assert torch.allclose(ours, theirs, atol=1e-4)


lora = peft.tuners.lora.config


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        *(
            (
                {"init_lora_weights": begin},
                f"init_lora_weights is '{begin}': training began by changing the base",
            )
            for begin in ("pissa", "pissa_niter_2", "olora")
        ),
        ({"use_dora": True}, "use_dora: True"),
        ({"alora_invocation_tokens": [30, 31]}, r"alora_invocation_tokens: \[30, 31\]"),
        ({"lora_bias": True}, "lora_bias: True"),
        ({"trainable_token_indices": [3, 4]}, r"trainable_token_indices: \[3, 4\]"),
        ({"layer_replication": [[0, 2], [1, 2]]}, "layer_replication"),
        ({"target_parameters": ["q_proj.weight"], "target_modules": []}, "target_parameters"),
        ({"kasa_config": lora.KasaConfig()}, "kasa_config"),
        ({"velora_config": lora.VeloraConfig(num_groups=4)}, "velora_config"),
        (
            {"use_bdlora": lora.BdLoraConfig(target_modules_bd_b=["q_proj", "v_proj"], nblocks=2)},
            "use_bdlora",
        ),
        ({"monteclora_config": lora.MontecloraConfig()}, "monteclora_config"),
    ],
)
def test_other_kinds_are_refused_by_the_name_of_their_setting(tmp_path, settings, message):
    with pytest.raises(
        ValueError, match=f"seeds: .*adapter_config.json: {message}.*merge it into its base first"
    ):
        against_peft(tmp_path, partial(llama, attention_bias=True), **settings)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"init_lora_weights": "corda"}, "init_lora_weights is 'corda'"),
        ({"init_lora_weights": "lora_ga"}, "init_lora_weights is 'lora_ga'"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights is 'loftq'"),
        ({"use_qalora": True}, "use_qalora: True"),
        ({"arrow_config": {"top_k": 3}}, "arrow_config"),
        ({"megatron_config": {"a": 1}}, "megatron_config"),
        ({"use_something_of_2031": "yes"}, "use_something_of_2031: yes"),
        ({"peft_type": "ADALORA"}, "expected a LoRA adapter, got ADALORA"),
        ({"peft_type": "TRAINABLE_TOKENS"}, "got TRAINABLE_TOKENS"),
        ({"peft_type": None}, "expected JSON with a peft_type"),
    ],
)
def test_settings_that_nobody_here_knows_are_refused(base, tmp_path, change, message):
    folder, _ = adapter(tmp_path, base)
    settings(**change)(tmp_path)
    with pytest.raises(ValueError, match=message):
        LanguageModels([folder, base]).axis  # noqa: B018


@pytest.mark.parametrize("off", [None, False, "", [], {}, 0])
def test_settings_that_are_off_refuse_nobody(base, tmp_path, off):
    folder, _ = adapter(tmp_path, base)
    settings(
        use_something_of_2031=off, use_dora=off, loftq_config={}, corda_config={"verbose": True}
    )(tmp_path)
    assert LanguageModels([folder, base]).axis.size > 0


def test_a_pissa_adapter_that_was_converted_on_saving_is_plain(base, tmp_path):
    """PEFT takes its beginning off the base again when it saves, and says so in the settings."""
    model = peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        peft.LoraConfig(r=4, target_modules=ATTENTION, init_lora_weights="pissa"),
    )
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "begin")
    model.peft_config["default"].init_lora_weights = "pissa"
    for name, parameter in model.named_parameters():
        if "lora" in name:
            parameter.data += torch.randn_like(parameter) * 0.1
    model.save_pretrained(
        tmp_path / "done", path_initial_model_for_weight_conversion=str(tmp_path / "begin")
    )
    population = LanguageModels([str(tmp_path / "done"), base])
    ours = population.express(population.founders(np.random.default_rng(0))[0]).model(WORDS).logits
    assert torch.allclose(ours, model(input_ids=WORDS).logits, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "settings", "changed"),
    [
        (
            partial(llama, **TIED),
            {"target_modules": ["embed_tokens", "q_proj"]},
            "'model.embed_tokens.weight'",
        ),
        (partial(llama, **TIED), {"target_modules": ["lm_head"]}, "'lm_head.weight'"),
        (partial(llama, **TIED), {"modules_to_save": ["lm_head"]}, "'lm_head.weight'"),
        (
            partial(llama, **TIED),
            {"modules_to_save": ["embed_tokens"]},
            "'model.embed_tokens.weight'",
        ),
        (
            partial(llama, **TIED),
            {"modules_to_save": ["embed_tokens", "lm_head"]},
            "'model.embed_tokens.weight' and 'lm_head.w",
        ),
        (gpt2, {"target_modules": ["wte"]}, "'transformer.wte.weight'"),
        (gpt2, {"target_modules": ["c_attn", "lm_head"]}, "'lm_head.weight'"),
    ],
)
def test_an_adapter_on_a_tied_embedding_is_refused_in_these_words(
    tmp_path, model, settings, changed
):
    with pytest.raises(
        ValueError, match=f"an adapter on an embedding that the config ties: it changes {changed}"
    ):
        against_peft(tmp_path, model, **settings)


def test_a_tied_embedding_that_is_saved_twice_alike_is_one(tmp_path):
    against_peft(tmp_path, partial(llama, **TIED))
    new = torch.randn(SMALL["vocab_size"], 32)
    both = {f"base_model.model.{name}.weight": new for name in ("model.embed_tokens", "lm_head")}
    factors(lambda state: state.update({name: tensor.clone() for name, tensor in both.items()}))(
        tmp_path / "adapter"
    )
    population = LanguageModels([str(tmp_path / "adapter"), str(tmp_path / "base")])
    first = population.founders(np.random.default_rng(0))[0]
    assert torch.equal(population.express(first).model.lm_head.weight, new)
