"""Components that are not bred.

Links, parts that are missing or do not fit, parts that differ, and files that are no pipeline.
"""

import json
import os
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tiny_pipelines
import torch
from diffusers import AutoencoderKL, DiffusionPipeline
from safetensors.torch import load_file, save_file
from tiny_pipelines import drawn, founder

from populations.diffusion import DiffusionModels
from populations.seeds.pipeline_folders import files_in
from populations.seeds.single_files import kind_of

WEIGHTS = "diffusion_pytorch_model.safetensors"
SIZE = {"height": 16, "width": 16}


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """Two that have everything but the U-Net in common."""
    first, second = tiny_pipelines.saved(tmp_path_factory.mktemp("seeds"), 2)
    for name in ("vae", "text_encoder"):
        shutil.rmtree(Path(second) / name)
        shutil.copytree(Path(first) / name, Path(second) / name)
    return [first, second]


@pytest.fixture
def other(seeds, tmp_path):
    shutil.copytree(seeds[1], tmp_path / "other")
    return tmp_path / "other"


def refused(message, seeds, **settings):
    with pytest.raises((ValueError, FileNotFoundError), match=message) as raised:
        DiffusionModels(seeds, device="cpu", **settings).axis  # noqa: B018
    assert "\n" not in str(raised.value)


def edited(path, **settings):
    content = json.loads(path.read_text()) | settings
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not ...}))


def tuned(folder, name, file=WEIGHTS):
    state = load_file(folder / name / file)
    save_file(
        {
            key: tensor + 0.01 if tensor.is_floating_point() else tensor
            for key, tensor in state.items()
        },
        folder / name / file,
    )


def linked_folders(folder, store):
    for name in ("unet", "vae", "text_encoder", "tokenizer", "scheduler"):
        shutil.move(folder / name, store / name)
        (folder / name).symlink_to(store / name)


def linked_files(folder, store):
    for number, path in enumerate([*folder.rglob("*")]):
        if path.is_file():
            shutil.move(path, store / str(number))
            path.symlink_to(store / str(number))


def relative_links(folder, store):
    for name in ("vae", "text_encoder"):
        shutil.move(folder / name, store / name)
        (folder / name).symlink_to(os.path.relpath(store / name, folder), target_is_directory=True)


def links_to_links(folder, store):
    shutil.move(folder / "vae", store / "vae")
    (store / "again").symlink_to(store / "vae")
    (folder / "vae").symlink_to(store / "again")
    (folder / "vae" / "up").symlink_to(store)
    (folder / "dangling").symlink_to(folder / "nothing")


@pytest.mark.parametrize("how", [linked_folders, linked_files, relative_links, links_to_links])
def test_links_are_what_they_lead_to(seeds, other, tmp_path, how):
    digests = {
        part["part"]: part["sha256"] for part in DiffusionModels([other, seeds[0]]).sources()[2:]
    }
    (tmp_path / "store").mkdir()
    how(other, tmp_path / "store")
    ours, plain = founder(0, [other, seeds[0]]), founder(0, [seeds[1], seeds[0]])
    assert torch.equal(drawn(ours, **SIZE), drawn(plain, **SIZE))
    if how is not links_to_links:
        assert {
            part["part"]: part["sha256"]
            for part in DiffusionModels([other, seeds[0]]).sources()[2:]
        } == digests


def test_a_seed_that_is_a_link_itself(seeds, tmp_path):
    (tmp_path / "link").symlink_to(seeds[1])
    assert len(list(files_in(tmp_path / "link"))) == len(list(files_in(Path(seeds[1]))))
    assert DiffusionModels([seeds[0], tmp_path / "link"]).axis.size > 0


def test_pipelines_that_differ_in_nothing_else_are_silent(seeds, caplog):
    founder(0, seeds)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def resaved(folder):
    """In fewer bits, in other files."""
    vae = AutoencoderKL.from_pretrained(folder / "vae").half()
    shutil.rmtree(folder / "vae")
    vae.save_pretrained(folder / "vae", max_shard_size="20KB")
    edited(
        folder / "tokenizer" / "tokenizer_config.json",
        name_or_path="elsewhere",
        processor_class="Other",
    )
    edited(
        folder / "scheduler" / "scheduler_config.json",
        _diffusers_version="0.11.0",
        skip_prk_steps=True,
    )


def test_parts_that_are_saved_otherwise_do_not_differ(seeds, other, caplog):
    resaved(other)
    assert len(list((other / "vae").glob("*.safetensors"))) > 1
    founder(0, [seeds[0], other])
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def more_words(folder):
    from transformers import CLIPTokenizer

    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    tokenizer.add_tokens(["<style>"])
    tokenizer.save_pretrained(folder / "tokenizer")


APART = {
    "a text encoder that was tuned": (
        lambda f: tuned(f, "text_encoder", "model.safetensors"),
        "text_encoder",
        "other weights",
    ),
    "a VAE that was tuned": (lambda f: tuned(f, "vae"), "vae", "other weights"),
    "another sampler": (
        lambda f: edited(
            f / "scheduler" / "scheduler_config.json", _class_name="EulerDiscreteScheduler"
        ),
        "scheduler",
        "class EulerDiscreteScheduler instead of DDIMScheduler",
    ),
    "another spacing": (
        lambda f: edited(f / "scheduler" / "scheduler_config.json", timestep_spacing="trailing"),
        "scheduler",
        "timestep_spacing trailing instead of leading",
    ),
    "a layer less": (
        lambda f: edited(
            f / "text_encoder" / "config.json", hidden_act="gelu", layer_norm_eps=1e-3
        ),
        "text_encoder",
        r"hidden_act gelu instead of quick_gelu \(and 1 more\)",
    ),
    "words of its own": (more_words, "tokenizer", "75 tokens instead of 74"),
    "shorter prompts": (
        lambda f: edited(f / "tokenizer" / "tokenizer_config.json", model_max_length=8),
        "tokenizer",
        "model_max_length 8 instead of 16",
    ),
}


@pytest.mark.parametrize("what", APART)
def test_parts_that_differ_are_named_with_whose_is_used(seeds, other, caplog, what):
    spoil, name, why = APART[what]
    spoil(other)
    population = DiffusionModels([seeds[0], other], device="cpu")
    for _ in range(2):
        population.founders(np.random.default_rng(0))
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    import re

    assert re.fullmatch(
        rf"{name}: all members use that of .*seed0; .*other has {why} \(components: "
        rf"\{{{name}: 0\}} or \{{{name}: 1\}} says whose\)",
        warnings[0],
    )
    caplog.clear()
    DiffusionModels([seeds[0], other], device="cpu", components={name: 0}).founders(
        np.random.default_rng(0)
    )
    assert not [record for record in caplog.records if record.levelname == "WARNING"]


def test_whose_it_is_said_to_be_it_is(seeds, other):
    edited(other / "scheduler" / "scheduler_config.json", _class_name="EulerDiscreteScheduler")
    tuned(other, "text_encoder", "model.safetensors")
    ours = founder(1, [seeds[0], other], components={"text_encoder": 1, "scheduler": 1})
    alone = DiffusionPipeline.from_pretrained(other, safety_checker=None)
    assert torch.equal(drawn(ours, **SIZE), drawn(alone, **SIZE))


def test_what_stands_for_an_empty_prompt_and_a_part_less_are_named(tmp_path, caplog):
    words = tiny_pipelines.tokenizer()
    for seed in range(2):
        tiny_pipelines.sdxl(seed, words).save_pretrained(tmp_path / str(seed))
    edited(tmp_path / "1" / "model_index.json", force_zeros_for_empty_prompt=False)
    founder(
        0,
        [tmp_path / "0", tmp_path / "1"],
        components=dict.fromkeys(("vae", "text_encoder", "text_encoder_2"), 0),
    )
    assert "force_zeros_for_empty_prompt: all members use that of" in caplog.text
    edited(tmp_path / "1" / "model_index.json", tokenizer=[None, None])
    caplog.clear()
    founder(0, [tmp_path / "0", tmp_path / "1"])
    assert "tokenizer: all members use that of" in caplog.text
    assert "has none (components" in caplog.text


def test_a_denoiser_alone_says_not_what_it_predicts(seeds, tmp_path, caplog):
    shutil.copytree(Path(seeds[1]) / "unet", tmp_path / "alone" / "unet")
    founder(0, [seeds[0], tmp_path / "alone"])
    assert (
        f"alone: without a scheduler of its own, taken to predict epsilon, as {seeds[0]} does"
        in caplog.text
    )


def inpainting(**channels):
    def apply(folder):
        shutil.rmtree(folder / "unet")
        tiny_pipelines.unet(**channels).save_pretrained(folder / "unet")

    return apply


def with_vae(channels=4, **settings):
    def apply(folder):
        shutil.rmtree(folder / "vae")
        tiny_pipelines.vae(channels).save_pretrained(folder / "vae")
        edited(folder / "vae" / "config.json", **settings)

    return apply


def with_text_encoder(**settings):
    def apply(folder):
        from transformers import CLIPTextConfig, CLIPTextModel

        config = tiny_pipelines.text_config(tiny_pipelines.tokenizer()) | settings
        shutil.rmtree(folder / "text_encoder")
        CLIPTextModel(CLIPTextConfig(**config)).save_pretrained(folder / "text_encoder")

    return apply


def index(**entries):
    return lambda folder: edited(folder / "model_index.json", **entries)


def without(*names):
    def apply(folder):
        for name in names:
            shutil.rmtree(folder / name) if (folder / name).is_dir() else (folder / name).unlink()

    return apply


UNFIT = {
    # both seeds have it
    "inpainting": (
        inpainting(in_channels=9),
        "is an inpainting model: its unet takes 9 channels and gives 4",
    ),
    "pictures changed by instruction": (
        inpainting(in_channels=8),
        "is a model that is given a picture: its unet takes 8 channels",
    ),
    "depth": (
        inpainting(in_channels=5),
        "is a model that is given a picture: its unet takes 5 channels and gives 4",
    ),
    "a pipeline for inpainting": (
        index(_class_name="StableDiffusionInpaintPipeline"),
        "is a StableDiffusionInpaintPipeline, which fills in a part of a picture that it "
        "is given; if its denoiser",
    ),
    "a pipeline for pictures": (
        index(_class_name="StableDiffusionImg2ImgPipeline"),
        "which changes a picture that it is given",
    ),
    "a pipeline for larger pictures": (
        index(_class_name="StableDiffusionUpscalePipeline"),
        "which changes a picture that",
    ),
    "a pipeline that is not there": (
        index(_class_name="StableDiffusion9Pipeline"),
        "is a StableDiffusion9Pipeline, which diffusers 0",
    ),
    "a scheduler that is not there": (
        index(scheduler=["diffusers", "NewScheduler"]),
        "its scheduler is a NewScheduler, which diffusers 0.* does not have",
    ),
    "an encoder that is not there": (
        index(text_encoder=["transformers", "NewTextModel"]),
        "its text_encoder is a NewTextModel, which transformers 5.* does not have",
    ),
    "no VAE": (
        index(vae=[None, None]),
        "model_index.json has null for its vae, which a StableDiffusionPipeline needs",
    ),
    "null for a tokenizer": (index(tokenizer=None), "model_index.json has null for its tokenizer"),
    "a text encoder that is not listed": (
        index(text_encoder=...),
        "model_index.json lists no text_encoder, which a",
    ),
    "no folder": (
        without("text_encoder"),
        "its component 'text_encoder' is missing: there is no folder",
    ),
    "no config of an encoder": (
        without("text_encoder/config.json"),
        "its component 'text_encoder' is missing: there is no",
    ),
    "no settings of a scheduler": (without("scheduler/scheduler_config.json"), "scheduler"),
    "no tokenizer in its folder": (
        without("tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json"),
        "tokenizer",
    ),
    "other latents": (
        with_vae(8),
        r"vae of .*a gives 8 channels, for which a unet takes 8; the unet of .*a takes 4",
    ),
    "a VAE's weights of another width": (
        with_vae(4, block_out_channels=[16, 16]),
        r"vae: its config describes '.*' of shape .*, its weights have",
    ),
    "an encoder of another width": (
        with_text_encoder(hidden_size=32),
        "text encoders do not fit the unet of .*: cross_attention_dim is 16, "
        "text_encoder of .*a give 32",
    ),
    "a tokenizer with more words": (
        more_words,
        r"tokenizer of .*a has tokens up to number 74, text_encoder of .*a has 74, from 0 on",
    ),
    "a tokenizer with longer prompts": (
        lambda f: edited(f / "tokenizer" / "tokenizer_config.json", model_max_length=77),
        r"tokenizer of .*a gives 77 tokens a prompt \(model_max_length\), text_encoder "
        r"of .*a has 16 positions",
    ),
    "a tokenizer without an end": (
        lambda f: edited(f / "tokenizer" / "tokenizer_config.json", model_max_length=...),
        "gives any number of tokens a prompt",
    ),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_does_not_fit_is_refused_before_anything_is_loaded(seeds, tmp_path, monkeypatch, what):
    spoil, message = UNFIT[what]
    for name in "ab":
        shutil.copytree(seeds[0], tmp_path / name)
        spoil(tmp_path / name)
    monkeypatch.setattr(DiffusionPipeline, "from_pretrained", None)
    refused(message, [tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize(
    ("spoil", "name", "message"),
    [
        (with_text_encoder(hidden_size=32), "text_encoder", "text_encoder of .*other give 32"),
        (with_vae(8), "vae", "vae of .*other gives 8 channels"),
        (
            more_words,
            "tokenizer",
            r"tokenizer of .*other has tokens up to number 74, text_encoder of .*seed0 has 74",
        ),
        (
            with_text_encoder(vocab_size=70),
            "text_encoder",
            r"tokenizer of .*seed0 has .* 73, text_encoder of .*other has 70",
        ),
    ],
)
def test_what_is_chosen_has_to_fit_as_well(seeds, other, spoil, name, message):
    spoil(other)
    refused(message, [seeds[0], other], components={name: 1})
    assert DiffusionModels([seeds[0], other], components={name: 0}).axis.size > 0


@pytest.mark.parametrize(
    "spoil",
    [
        with_vae(8),
        with_vae(4, scaling_factor=0.13025),
        with_vae(4, shift_factor=0.0609),
        with_vae(4, latents_mean=[0, 0, 0, 1]),
    ],
)
def test_other_latents_are_refused_unless_one_says_whose(seeds, other, spoil):
    spoil(other)
    refused(
        r"seeds: expected denoisers of one kind of latents; vae: .* is .* in .*seed0 and "
        r".* in .*other; say whose",
        [seeds[0], other],
    )
    assert DiffusionModels([seeds[0], other], components={"vae": 0}).axis.size > 0


def test_the_layout_of_sdxl_and_3_has_to_fit(tmp_path):
    words = tiny_pipelines.tokenizer()
    for make, unfit in (
        (tiny_pipelines.sdxl, "projection_class_embeddings_input_dim"),
        (tiny_pipelines.sd3, "pooled_projection_dim"),
    ):
        for seed in range(2):
            folder = tmp_path / make.__name__ / str(seed)
            make(seed, words).save_pretrained(folder)
            weights = folder / "text_encoder_2" / "model.safetensors"
            state = load_file(weights)
            save_file(state | {"text_projection.weight": torch.zeros(8, 16)}, weights)
            edited(folder / "text_encoder_2" / "config.json", projection_dim=8)
        refused(
            f"text encoders do not fit the .*: {unfit} is",
            [tmp_path / make.__name__ / "0", tmp_path / make.__name__ / "1"],
        )


@pytest.mark.parametrize(
    "entries",
    [
        {"safety_checker": None},
        {"safety_checker": None, "feature_extractor": None, "image_encoder": None},
    ],
)
def test_a_component_that_is_null_is_left_out(seeds, tmp_path, entries):
    for name, seed in zip("ab", seeds, strict=True):
        shutil.copytree(seed, tmp_path / name)
        edited(tmp_path / name / "model_index.json", **entries)
    ours, plain = founder(1, [tmp_path / "a", tmp_path / "b"]), founder(1, seeds)
    assert torch.equal(drawn(ours, **SIZE), drawn(plain, **SIZE))


NAMES = {
    "a single-file checkpoint (Stable Diffusion 1 or 2)": [
        "cond_stage_model.transformer.x", "first_stage_model.decoder.x",
        "model.diffusion_model.input_blocks.0.0.weight",
    ],
    "a single-file checkpoint (Stable Diffusion XL)": [
        "conditioner.embedders.0.transformer.x", "first_stage_model.decoder.x",
        "model.diffusion_model.input_blocks.0.0.weight",
    ],
    "a single-file checkpoint (Stable Diffusion 3)": [
        "model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight",
    ],
    "a single-file checkpoint (Flux)": [
        "double_blocks.0.img_attn.qkv.weight", "single_blocks.0.linear1.weight",
    ],
    "a single-file checkpoint (a denoiser alone)": ["model.diffusion_model.out.0.weight"],
    "a LoRA adapter": [
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight",
        "lora_unet_down_blocks_0.alpha",
    ],
    "a ControlNet": ["control_model.input_blocks.0.0.weight"],
    "a VAE alone": ["first_stage_model.decoder.conv_in.weight"],
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("suffix", [".safetensors", ".ckpt"])
def test_a_single_file_is_called_what_it_is(seeds, tmp_path, kind, suffix):
    """By itself, and alone in a folder."""
    file, state = (
        tmp_path / "lone" / f"model{suffix}",
        {name: torch.zeros(1) for name in NAMES[kind]},
    )
    file.parent.mkdir()
    save_file(state, file) if suffix == ".safetensors" else torch.save(state, file)
    for seed in (file, file.parent):
        refused(
            rf"seeds: .*lone/model{suffix} is {kind}".replace("(", r"\(").replace(")", r"\)"),
            [seeds[0], seed],
        )


def test_files_of_other_kinds(seeds, tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    refused(
        "model.gguf is a GGUF file, whose weights are quantized",
        [seeds[0], tmp_path / "model.gguf"],
    )
    refused(
        "seeds: .*unet is one component by itself; expected a folder",
        [seeds[0], Path(seeds[1]) / "unet"],
    )
    refused("there is no folder none/model.safetensors", [seeds[0], "none/model.safetensors"])
    (tmp_path / "text.safetensors").write_text("no tensors")
    refused("not a whole safetensors file", [seeds[0], tmp_path / "text.safetensors"])
    torch.save(
        {"state_dict": {"model.diffusion_model.x": torch.zeros(1)}},
        tmp_path / "a.pt",
        _use_new_zipfile_serialization=False,
    )
    assert not zipfile.is_zipfile(tmp_path / "a.pt")
    refused(
        "a.pt is a single-file checkpoint .*, pickled: single-file checkpoints are not bred yet",
        [seeds[0], tmp_path / "a.pt"],
    )
    assert kind_of(["foo"])[0] == "a file of tensors of no kind that is known here (foo)"
