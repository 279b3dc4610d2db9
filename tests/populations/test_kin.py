"""Are the seeds of one kind?

What is wrong with them is said, and all but their numbers before a weight is read.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import peft
import pytest
import tiny_llama
import torch
from safetensors.torch import load_file, save_file
from tiny_llama import rewritten, tuned
from transformers import (
    AutoModelForCausalLM,
    BartConfig,
    BartForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
)

from populations.llm import LanguageModels
from populations.methods import Method
from populations.seeds.checkpoints import Checkpoint
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
    state["model.layers.1.mlp.up_proj.weight"] = state["model.layers.1.mlp.up_proj.weight"][
        :-1
    ].clone()


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
        (
            rewritten(nan),
            {},
            ValueError,
            r"seeds: .*b: 'model.norm.weight' has numbers that are not finite",
        ),
        (
            rewritten(drop),
            {},
            ValueError,
            r"seeds: .*b: expected a tensor 'model.layers.1.mlp.up_proj.weight' of shape "
            r"\(48, 32\)",
        ),
        (
            rewritten(short),
            {},
            ValueError,
            r"seeds: .*b: expected 'model.layers.1.mlp.up_proj.weight' of shape .*, got \(47, 32\)",
        ),
        (
            rewritten(whole_numbers),
            {},
            ValueError,
            r"b: expected floating-point weights, 'model.norm.weight' is torch.int8",
        ),
        (
            truncated,
            {},
            ValueError,
            r"seeds: .*model.safetensors: not a whole safetensors file, expected \d+ "
            r"bytes, got \d+",
        ),
        (
            pickled,
            {},
            ValueError,
            r"seeds: .*b: expected safetensors, got pickled weights \(pytorch_model.bin\)",
        ),
        (
            one_shard_missing,
            {},
            FileNotFoundError,
            r"seeds: .*b: model.safetensors.index.json names \d files, 1 are missing",
        ),
        (other_tokens, {}, ValueError, r"seeds: expected one tokenizer; .*b has \d+ tokens"),
        (no_tokenizer, {}, ValueError, r"seeds: .*b: its tokenizer cannot be read"),
        (
            config(model_type="mistral", architectures=["MistralForCausalLM"]),
            {},
            ValueError,
            r"expected one architecture; .* llama",
        ),
        (config(model_type="no-such"), {}, ValueError, r"seeds: .*b: its config cannot be read"),
        (
            config(vocab_size=101),
            {},
            ValueError,
            r"expected one size of vocabulary, got .*a \d+, .*b 101 \(vocabulary: trailing",
        ),
        (
            None,
            {"seeds": ["nowhere/at/all", "b"]},
            FileNotFoundError,
            r"seeds: expected a folder, or owner/name of the hub",
        ),
        (None, {"seeds": ["a"]}, ValueError, r"seeds: expected at least 2 models"),
        (None, {"seeds": "a"}, ValueError, r"seeds: expected at least 2 models"),
        (None, {"order": "units"}, ValueError, r"order: expected 'flat' or 'unit', got 'units'"),
        (
            None,
            {"order": "unit", "cut": "row"},
            ValueError,
            r"order: cut and chromosomes are settings of the flat axis",
        ),
        (
            None,
            {"chromosomes": {"attention": "attn("}},
            ValueError,
            r"chromosomes.attention: 'attn\(' is not a regular expression",
        ),
        (
            None,
            {"chromosomes": {"attention": "heads"}},
            ValueError,
            r"chromosomes.attention: no tensor's name matches",
        ),
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
        (
            None,
            {"vocabulary": "trail"},
            ValueError,
            r"vocabulary: expected 'strict' or 'trailing', got 'trail'",
        ),
        (None, {"seed_device": "gpu"}, ValueError, r"seed_device: expected 'auto' or 'device'"),
        (
            None,
            {"seed_device": "pinned"},
            ValueError,
            r"seed_device: 'pinned' is the host's memory beside a GPU",
        ),
        (None, {"dtype": "float8"}, ValueError, r"dtype: expected 'auto' or"),
        (None, {"device": "cuda:0"}, ValueError, r"device: 'cuda:0' cannot be used"),
        (None, {"attention": "nonsense"}, ValueError, r"attention: .*nonsense"),
        (
            None,
            {"chat_template": "no/such.jinja"},
            ValueError,
            r"chat_template: expected a template, or a file with one",
        ),
        (
            None,
            {"base": "gone", "method": Method("task_arithmetic")},
            FileNotFoundError,
            r"base: expected a folder, or owner/name",
        ),
        (
            config(num_attention_heads=8, num_key_value_heads=4, head_dim=4),
            {},
            ValueError,
            r"head_dim is 8 in .*, 4 in",
        ),
        (config(hidden_act="gelu"), {}, ValueError, r"hidden_act is silu in .*, gelu in"),
        (
            config(tie_word_embeddings=True),
            {},
            ValueError,
            r"tie_word_embeddings is False in .*, True in",
        ),
        (None, {"device": "gpu"}, ValueError, r"device: expected one that torch knows"),
        (
            None,
            {"device": "cpu", "device_map": "auto"},
            ValueError,
            r"device: expected 'auto' beside a device_map",
        ),
        (
            None,
            {"method": Method("tie")},
            ValueError,
            r"method: name: mergekit has no merge method 'tie'; did you mean 'ties'",
        ),
        (
            None,
            {"method": Method("ties", {"density": 0.5})},
            ValueError,
            r"method: name: ties merges differences from a base",
        ),
        (
            None,
            {"method": Method("linear"), "cut": "row"},
            ValueError,
            r"method: linear merges whole tensors",
        ),
    ],
)
def test_what_is_wrong_with_seeds_is_said(tmp_path, change, settings, error, message):
    first, second = tuned(tmp_path, "ab")
    if change is not None:
        change(Path(second))
    seeds = settings.get("seeds", [first, second])
    with pytest.raises(error, match=message):
        LanguageModels(**{"seeds": seeds} | settings).founders(np.random.default_rng(0))


def extra(**tensors):
    """What adds tensors of these shapes to a checkpoint; `__` in a name is a dot."""
    return rewritten(
        lambda state: state.update(
            {n.replace("__", "."): torch.ones(shape) for n, shape in tensors.items()}
        )
    )


@pytest.mark.parametrize(
    ("tensors", "named"),
    [
        (
            {"model__layers__0__self_attn__q_proj__bias": (32,)},
            "1 of its tensors .*'model.layers.0.self_attn.q_proj.bias'",
        ),
        (
            {
                "model__layers__2__mlp__up_proj__weight": (48, 32),
                "model__layers__2__mlp__down_proj__weight": (32, 48),
            },
            "2 of its",
        ),
        ({"score__weight": (2, 32)}, r"'score.weight' \(2, 32\)"),
        (
            {"v_head__summary__weight": (1, 32), "v_head__summary__bias": (1,)},
            "'v_head.summary.bias'.*'v_head.summary.weight'",
        ),
        ({"mtp__layers__0__input_proj__weight": (32, 64)}, "'mtp.layers.0.input_proj.weight'"),
        ({f"stray__{k}": (1,) for k in range(9)}, "9 of its tensors .*and 3 more"),
        (
            {"model__layers__0__self_attn__attention__bias": (32,)},
            "'model.layers.0.self_attn.attention.bias'",
        ),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_seed_is_bred_whole(tmp_path, tensors, named, place):
    """In any order of the seeds."""
    seeds = tuned(tmp_path, "abc")
    extra(**tensors)(Path(seeds[place]))
    with pytest.raises(ValueError, match=f"seeds: {seeds[place]}: .*{named}"):
        LanguageModels(seeds).axis  # noqa: B018
    rest = [seed for seed in seeds if seed != seeds[place]]
    with pytest.raises(ValueError, match=f"base: {seeds[place]}: .*{named}"):
        LanguageModels(rest, base=seeds[place], method=Method("task_arithmetic")).axis  # noqa: B018


@pytest.mark.parametrize(
    "tensors",
    [
        {
            "model__layers__0__self_attn__rotary_emb__inv_freq": (4,),
            "model__rotary_emb__inv_freq": (4,),
        },
        {"model__layers__1__attn__bias": (1, 1, 8, 8), "model__layers__1__attn__masked_bias": ()},
        {"model__embeddings__position_ids": (1, 8)},
        {"model__layers__0__self_attn__rotary_emb__cos_cached": (1, 1, 8, 8)},
    ],
)
def test_what_old_versions_wrote_beside_the_weights_is_left_out(tmp_path, tensors):
    seeds = tuned(tmp_path, "ab")
    for seed in seeds:
        extra(**tensors)(Path(seed))
    assert LanguageModels(seeds).axis.size == LanguageModels([str(tmp_path / "base")] * 2).axis.size


def test_what_a_class_says_that_it_leaves_out_is_left_out(tmp_path, caplog):
    """Transformers has a list for each class; of Llama's it would be an error."""
    caplog.set_level("INFO")
    heads = {"decoder_attention_heads": 2, "decoder_ffn_dim": 16, "decoder_layers": 1}
    for name in "ab":
        settings = BartConfig(
            vocab_size=len(tiny_llama.CHARACTERS) + 4,
            d_model=16,
            max_position_embeddings=32,
            **heads,
        )
        BartForCausalLM(settings).save_pretrained(tmp_path / name)
        tiny_llama.tokenizer().save_pretrained(tmp_path / name)
    seeds = [str(tmp_path / name) for name in "ab"]
    before = LanguageModels(seeds).axis.size
    extra(model__decoder__version=(1,))(tmp_path / "b")
    assert LanguageModels(seeds).axis.size == before
    assert "b: left out, as its class says: 'model.decoder.version'" in caplog.text
    extra(model__decoder__something=(8, 8))(tmp_path / "b")
    with pytest.raises(ValueError, match=r"b: 1 of its tensors .*'model.decoder.something'"):
        LanguageModels(seeds).axis  # noqa: B018
    llamas = tuned(tmp_path / "llamas", "ab")
    extra(model__decoder__version=(1,))(Path(llamas[0]))
    with pytest.raises(ValueError, match=r"a: 1 of its tensors .*'model.decoder.version'"):
        LanguageModels(llamas).axis  # noqa: B018


def test_tied_tensors_that_a_file_stores_as_different_ones_are_refused(tmp_path):
    """Transformers would untie them, and the seed would not be what the config says."""
    seeds = tuned(tmp_path, "ab", tie_word_embeddings=True)

    def untie(state):
        state["lm_head.weight"] = state["model.embed_tokens.weight"] + 1

    rewritten(untie)(Path(seeds[1]))
    with pytest.raises(
        ValueError, match=r"b: its config ties .*'lm_head.weight'.*stores them as different tensors"
    ):
        LanguageModels(seeds).founders(np.random.default_rng(0))
    rewritten(untie)(Path(seeds[0]))
    with pytest.raises(ValueError, match=r"tied"):
        LanguageModels(seeds).founders(np.random.default_rng(0))


def test_the_type_is_that_of_most_numbers(tmp_path):
    seeds = tuned(tmp_path, "ab")
    for seed in (
        seeds
    ):  # norms in float32, as many checkpoints keep them; the first tensor of the file is one
        rewritten(
            lambda state: state.update(
                {n: t.bfloat16() for n, t in state.items() if "norm" not in n}
            )
        )(Path(seed))
    population = LanguageModels(seeds)
    assert (
        population.express(population.founders(np.random.default_rng(0))[0]).model.dtype
        == torch.bfloat16
    )


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
    """Transformers fuses the experts when it loads them.

    What a file calls them is not what the model does.
    """
    settings = {
        "vocab_size": len(tiny_llama.CHARACTERS) + 4,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
    }
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2, "num_local_experts": 2}
    for name in "ab":
        MixtralForCausalLM(MixtralConfig(**settings, **heads)).save_pretrained(tmp_path / name)
        tiny_llama.tokenizer().save_pretrained(tmp_path / name)
    with pytest.raises(
        ValueError,
        match=r"a: expected a tensor .*experts.*stores under other names than it runs under",
    ):
        LanguageModels([str(tmp_path / name) for name in "ab"]).axis  # noqa: B018


PLACES = {
    "config.json, no JSON": (
        "config.json",
        b"{broken",
        r"config.json: expected JSON, it cannot be read \(Expecting property",
    ),
    "config.json, empty": (
        "config.json",
        b"",
        r"config.json: expected JSON, it cannot be read \(it is empty\)",
    ),
    "config.json, a list": (
        "config.json",
        b"[]",
        r"config.json: .*expected an object in braces, got list",
    ),
    "config.json, Latin-1": (
        "config.json",
        '{"a": "\xe4"}'.encode("latin-1"),
        r"config.json: .*it is not UTF-8, at byte 7",
    ),
    "config.json, a folder": ("config.json", None, r"config.json: .*it is a folder"),
    "config.json, nested": (
        "config.json",
        b"[" * 200_000,
        r"config.json: .*nested too deep|config.json: .*cannot be read",
    ),
    "generation_config.json": (
        "generation_config.json",
        b"nothing",
        r"generation_config.json: expected JSON",
    ),
    "tokenizer_config.json": (
        "tokenizer_config.json",
        b"{,}",
        r"tokenizer_config.json: expected JSON",
    ),
    "special_tokens_map.json": (
        "special_tokens_map.json",
        b"\xff",
        r"special_tokens_map.json: .*not UTF-8, at byte 0",
    ),
    "tokenizer.json, no JSON": (
        "tokenizer.json",
        b"{",
        r"tokenizer cannot be read: .*tokenizer.json: expected JSON",
    ),
    "tokenizer.json, empty": ("tokenizer.json", b" ", r"tokenizer.json: .*it is empty"),
    "tokenizer.json of another version": (
        "tokenizer.json",
        b'{"version": "1.0", "model": {"type": "Of2031", "vocab": {}}, "added_tokens": []}',
        r"tokenizer.json: tokenizers [\d.]+ cannot read it; a newer version may have written it",
    ),
    "tokenizer.json without a model": (
        "tokenizer.json",
        b"{}",
        r"tokenizer.json: tokenizers [\d.]+ cannot read it",
    ),
    "weights, a folder": (
        "model.safetensors",
        None,
        r"model.safetensors: expected a file, it is a folder",
    ),
    "weights, empty": (
        "model.safetensors",
        b"",
        r"model.safetensors: not a whole safetensors file",
    ),
}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("fault", PLACES)
def test_an_error_names_the_seed_the_file_and_the_reason_in_one_line(tmp_path, fault, place):
    file, content, message = PLACES[fault]
    seeds = tuned(tmp_path, "ab")
    path = Path(seeds[place]) / file
    path.unlink(missing_ok=True)
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ValueError, match=f"^seeds: {seeds[place]}.*{message}") as caught:
        LanguageModels(seeds).axis  # noqa: B018
    assert "\n" not in str(caught.value)


def test_what_the_disk_does_not_give_has_a_place(tmp_path):
    """A file of the kernel's that is there and gives nothing: reading it fails whoever reads."""
    seeds = tuned(tmp_path, "ab")
    path = Path(seeds[1]) / "config.json"
    path.unlink()
    path.symlink_to("/proc/self/mem")
    with pytest.raises(ValueError, match=r"seeds: .*b/config.json: .*\(Input/output error\)"):
        LanguageModels(seeds).axis  # noqa: B018


def mlx(folder):
    """As mlx_lm.convert -q writes them: eight numbers of four bits in each uint32."""
    state = load_file(folder / "model.safetensors")
    for name in [name for name in state if "proj" in name]:
        rows, columns = state[name].shape
        state[name] = torch.zeros(rows, columns // 8, dtype=torch.uint32)
        for part in ("scales", "biases"):
            state[name.replace("weight", part)] = torch.zeros(
                rows, columns // 16, dtype=torch.float16
            )
    save_file(state, folder / "model.safetensors", metadata={"format": "mlx"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (mlx, r"b: expected floating-point weights, '.*' is torch.uint32: it is quantized"),
        (
            config(quantization={"group_size": 64, "bits": 4}),
            r"b/config.json: its weights are quantized \(quantization: 4 bits\)",
        ),
        (
            config(quantization_config={"quant_method": "gptq", "bits": 4}),
            r"\(quantization_config: gptq, 4 bits\)",
        ),
        (
            config(quantization_config={"quant_method": "awq", "bits": 4, "version": "gemm"}),
            r"awq, 4 bits",
        ),
        (
            config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True}),
            r"bitsandbytes, 8 bits",
        ),
        (config(quantization_config={"quant_method": "fp8"}), r"quantization_config: fp8"),
        (
            rewritten(lambda s: s.update({n: t.to(torch.float8_e4m3fn) for n, t in s.items()})),
            r"is torch.float8_e4m3fn: it is quan",
        ),
        (
            rewritten(lambda s: s.update({n: t.to(torch.complex64) for n, t in s.items()})),
            r"is torch.complex64",
        ),
        (
            rewritten(lambda s: s.update({n: t.to(torch.uint16) for n, t in s.items()})),
            r"is torch.uint16: it is quantized",
        ),
    ],
)
@pytest.mark.parametrize("place", [0, 1])
def test_quantized_weights_are_called_so(tmp_path, change, message, place):
    seeds = tuned(tmp_path, "ab" if place else "ba")
    change(tmp_path / "b")
    with pytest.raises(ValueError, match=f"seeds: .*{message}"):
        LanguageModels(seeds).axis  # noqa: B018


def test_the_base_of_an_adapter_that_is_quantized_has_a_way_out(tmp_path):
    plain, packed = tuned(tmp_path, "ab")
    peft.get_peft_model(
        AutoModelForCausalLM.from_pretrained(packed), peft.LoraConfig(target_modules=["q_proj"])
    ).save_pretrained(tmp_path / "adapter")
    config(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})(Path(packed))
    with pytest.raises(
        ValueError, match=r"adapter: the adapter's base .*bitsandbytes, 4 bits.*set adapter_base to"
    ):
        LanguageModels([plain, str(tmp_path / "adapter")]).axis  # noqa: B018
    assert LanguageModels([plain, str(tmp_path / "adapter")], adapter_base=plain).axis.size > 0


def test_code_that_comes_with_a_seed_is_named_with_its_setting(tmp_path):
    seeds = tuned(tmp_path, "ab")
    config(
        model_type="mine",
        auto_map={"AutoConfig": "mine.Mine", "AutoModelForCausalLM": "mine.MineLM"},
    )(Path(seeds[1]))
    with pytest.raises(
        ValueError,
        match=r"seeds: .*b: its config cannot be read: .*; trust_remote_code: true lets "
        r"its code run",
    ):
        LanguageModels(seeds).axis  # noqa: B018


def test_code_that_comes_with_a_seed_and_fails_has_a_place(tmp_path):
    seeds = tuned(tmp_path, "ab")
    config(model_type="mine", auto_map={"AutoConfig": "mine.Mine"})(Path(seeds[1]))
    (Path(seeds[1]) / "mine.py").write_text("raise RuntimeError('made for another machine')\n")
    with pytest.raises(
        ValueError, match=r"seeds: .*b: its config cannot be read: made for another machine"
    ):
        LanguageModels(seeds, trust_remote_code=True).axis  # noqa: B018


@pytest.mark.whole
def test_a_package_that_a_tokenizer_needs_is_named(tmp_path):
    """In a process without sentencepiece: transformers looks for it once."""
    seeds = tuned(tmp_path, "ab")
    (Path(seeds[1]) / "tokenizer.json").unlink()
    (Path(seeds[1]) / "tokenizer.model").write_bytes(b"\x0a\x0d")
    text = (
        "import sys; sys.modules['sentencepiece'] = sys.modules['tiktoken'] = None\n"
        "from populations.llm import LanguageModels\n"
        f"try: LanguageModels({seeds!r}).axis\nexcept ValueError as error: print(error)"
    )
    ended = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert re.search(
        r"^seeds: .*b: its tokenizer cannot be read: .*b/tokenizer.model: it needs the "
        r"package sentencepiece",
        ended.stdout,
    )
