"""Are the seeds of one kind? What is wrong with them is said, and all but their numbers before a weight is read."""

import json
from pathlib import Path

import numpy as np
import pytest
import tiny_llama
import torch
from safetensors.torch import load_file
from tiny_llama import rewritten, tuned
from transformers import AutoModelForCausalLM, MixtralConfig, MixtralForCausalLM

from populations.checkpoints import Checkpoint
from populations.llm import LanguageModels
from populations.methods import Method
from populations.units import Units


def config(**changes):
    def apply(folder):
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | changes))

    return apply


def nan(state):
    state["model.norm.weight"][3] = torch.nan


def drop(state):
    del state["model.layers.1.mlp.up_proj.weight"]


def short(state):
    state["model.layers.1.mlp.up_proj.weight"] = state["model.layers.1.mlp.up_proj.weight"][:-1].clone()


def whole_numbers(state):
    state["model.norm.weight"] = state["model.norm.weight"].to(torch.int8)


def truncated(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def pickled(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()


def other_tokens(folder):
    tiny_llama.tokenizer(tiny_llama.CHARACTERS[::-1]).save_pretrained(folder)


def no_tokenizer(folder):
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).unlink()


def one_shard_missing(folder):
    model = AutoModelForCausalLM.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    sorted(folder.glob("model-*.safetensors"))[1].unlink()


@pytest.mark.parametrize(
    ("change", "settings", "error", "message"),
    [
        (rewritten(nan), {}, ValueError, r"seeds: .*b: 'model.norm.weight' has numbers that are not finite"),
        (
            rewritten(drop),
            {},
            ValueError,
            r"seeds: .*b: expected a tensor 'model.layers.1.mlp.up_proj.weight' of shape \(48, 32\)",
        ),
        (
            rewritten(short),
            {},
            ValueError,
            r"seeds: .*b: expected 'model.layers.1.mlp.up_proj.weight' of shape .*, got \(47, 32\)",
        ),
        (rewritten(whole_numbers), {}, ValueError, r"b: expected floating-point weights, 'model.norm.weight' is torch.int8"),
        (truncated, {}, ValueError, r"seeds: .*model.safetensors: not a whole safetensors file, expected \d+ bytes, got \d+"),
        (pickled, {}, ValueError, r"seeds: .*b: expected safetensors, got pickled weights \(pytorch_model.bin\)"),
        (one_shard_missing, {}, FileNotFoundError, r"seeds: .*b: model.safetensors.index.json names \d files, 1 are missing"),
        (other_tokens, {}, ValueError, r"seeds: expected one tokenizer; .*b has \d+ tokens"),
        (no_tokenizer, {}, ValueError, r"seeds: .*b: its tokenizer cannot be read"),
        (
            config(model_type="mistral", architectures=["MistralForCausalLM"]),
            {},
            ValueError,
            r"expected one architecture; .* llama",
        ),
        (config(model_type="no-such"), {}, ValueError, r"seeds: .*b: its config cannot be read"),
        (config(vocab_size=101), {}, ValueError, r"expected one size of vocabulary, got .*a \d+, .*b 101 \(vocabulary: trailing"),
        (None, {"seeds": ["nowhere/at/all", "b"]}, FileNotFoundError, r"seeds: expected a folder, or owner/name of the hub"),
        (None, {"seeds": ["a"]}, ValueError, r"seeds: expected at least 2 models"),
        (None, {"seeds": "a"}, ValueError, r"seeds: expected at least 2 models"),
        (None, {"order": "units"}, ValueError, r"order: expected 'flat' or 'unit', got 'units'"),
        (None, {"order": "unit", "cut": "row"}, ValueError, r"order: cut and chromosomes are settings of the flat axis"),
        (
            None,
            {"chromosomes": {"attention": "attn("}},
            ValueError,
            r"chromosomes.attention: 'attn\(' is not a regular expression",
        ),
        (None, {"chromosomes": {"attention": "heads"}}, ValueError, r"chromosomes.attention: no tensor's name matches"),
        (
            None,
            {"order": "unit", "units": [Units("q_proj", "o_proj", "heads")]},
            ValueError,
            r"units: the model has no number 'heads' for model.layers.0.self_attn.q_proj.weight",
        ),
        (
            None,
            {"order": "unit", "units": [Units("c_attn", "c_proj")]},
            ValueError,
            r"units: no tensor of a layer matches 'c_attn'",
        ),
        (
            None,
            {"order": "unit", "units": [Units("q_proj", "o_proj", 5)]},
            ValueError,
            r"layers: the tensors of one layer must agree",
        ),
        (
            None,
            {"order": "unit", "units": [Units("no_such", "o_proj")]},
            ValueError,
            r"units: no tensor of model.layers.0 matches 'no_such'",
        ),
        (None, {"vocabulary": "trail"}, ValueError, r"vocabulary: expected 'strict' or 'trailing', got 'trail'"),
        (None, {"seed_device": "gpu"}, ValueError, r"seed_device: expected 'auto' or 'device'"),
        (None, {"seed_device": "pinned"}, ValueError, r"seed_device: 'pinned' is the host's memory beside a GPU"),
        (None, {"dtype": "float8"}, ValueError, r"dtype: expected 'auto' or"),
        (None, {"device": "cuda:0"}, ValueError, r"device: 'cuda:0' cannot be used"),
        (None, {"attention": "nonsense"}, ValueError, r"attention: .*nonsense"),
        (None, {"chat_template": "no/such.jinja"}, ValueError, r"chat_template: expected a template, or a file with one"),
        (
            None,
            {"base": "gone", "method": Method("task_arithmetic")},
            FileNotFoundError,
            r"base: expected a folder, or owner/name",
        ),
        (config(num_attention_heads=8, num_key_value_heads=4, head_dim=4), {}, ValueError, r"head_dim is 8 in .*, 4 in"),
        (config(hidden_act="gelu"), {}, ValueError, r"hidden_act is silu in .*, gelu in"),
        (config(tie_word_embeddings=True), {}, ValueError, r"tie_word_embeddings is False in .*, True in"),
        (None, {"device": "gpu"}, ValueError, r"device: expected one that torch knows"),
        (None, {"device": "cpu", "device_map": "auto"}, ValueError, r"device: expected 'auto' beside a device_map"),
        (None, {"method": Method("tie")}, ValueError, r"method: name: mergekit has no merge method 'tie'; did you mean 'ties'"),
        (None, {"method": Method("ties", {"density": 0.5})}, ValueError, r"method: name: ties merges differences from a base"),
        (None, {"method": Method("linear"), "cut": "row"}, ValueError, r"method: linear merges whole tensors"),
    ],
)
def test_what_is_wrong_with_seeds_is_said(tmp_path, change, settings, error, message):
    first, second = tuned(tmp_path, "ab")
    if change is not None:
        change(Path(second))
    seeds = settings.get("seeds", [first, second])
    with pytest.raises(error, match=message):
        LanguageModels(**{"seeds": seeds} | settings).founders(np.random.default_rng(0))


def test_tied_tensors_that_a_file_stores_as_different_ones_are_refused(tmp_path):
    """Transformers would untie them, and the seed would not be what the config says."""
    seeds = tuned(tmp_path, "ab", tie_word_embeddings=True)

    def untie(state):
        state["lm_head.weight"] = state["model.embed_tokens.weight"] + 1

    rewritten(untie)(Path(seeds[1]))
    with pytest.raises(ValueError, match=r"b: its config ties .*'lm_head.weight'.*stores them as different tensors"):
        LanguageModels(seeds).founders(np.random.default_rng(0))
    rewritten(untie)(Path(seeds[0]))
    with pytest.raises(ValueError, match=r"tied"):
        LanguageModels(seeds).founders(np.random.default_rng(0))


def test_the_type_is_that_of_most_numbers(tmp_path):
    seeds = tuned(tmp_path, "ab")
    for seed in seeds:  # norms in float32, as many checkpoints keep them; the first tensor of the file is one
        rewritten(lambda state: state.update({n: t.bfloat16() for n, t in state.items() if "norm" not in n}))(Path(seed))
    population = LanguageModels(seeds)
    assert population.express(population.founders(np.random.default_rng(0))[0]).model.dtype == torch.bfloat16


def test_all_but_the_numbers_is_known_before_a_weight_is_read(tmp_path, monkeypatch):
    """Every other mistake is found by `axis`, which opens no tensor."""

    def refuse(*_):
        raise AssertionError("a weight was read")

    monkeypatch.setattr(Checkpoint, "tensor", refuse)
    seeds = tuned(tmp_path, "ab")
    assert LanguageModels(seeds).axis.size > 0
    rewritten(short)(Path(seeds[1]))
    with pytest.raises(ValueError, match="of shape"):
        LanguageModels(seeds).axis  # noqa: B018


def test_an_architecture_that_is_stored_under_other_names_is_refused(tmp_path):
    """Transformers fuses the experts when it loads them; what a file calls them is not what the model does."""
    settings = {"vocab_size": len(tiny_llama.CHARACTERS) + 4, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2}
    for name in "ab":
        MixtralForCausalLM(MixtralConfig(**settings, **heads)).save_pretrained(tmp_path / name)
        tiny_llama.tokenizer().save_pretrained(tmp_path / name)
    with pytest.raises(ValueError, match=r"a: expected a tensor .*experts.*stores under other names than it runs under"):
        LanguageModels([str(tmp_path / name) for name in "ab"]).axis  # noqa: B018
