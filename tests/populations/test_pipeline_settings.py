"""Settings of pipelines' components.

Those that change nothing refuse nobody, those that do are never passed over.
"""

import json
import shutil
from pathlib import Path

import pytest
import tiny_pipelines
import torch
from diffusers import DiffusionPipeline, UNet2DConditionModel
from diffusers.training_utils import EMAModel
from tiny_pipelines import drawn, founder

from populations.diffusion import DiffusionModels
from populations.seeds.pipeline_settings import component_settings, same


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return tiny_pipelines.saved(tmp_path_factory.mktemp("seeds"), 2)


@pytest.fixture(scope="module")
def sd3(tmp_path_factory):
    folder, words = tmp_path_factory.mktemp("sd3"), tiny_pipelines.tokenizer()
    for seed in range(2):
        tiny_pipelines.sd3(seed, words).save_pretrained(folder / str(seed))
    return [folder / "0", folder / "1"]


def changed(seed, folder, file, **settings):
    """A copy of a seed, with other settings in one of its files; None takes a setting away."""
    shutil.copytree(seed, folder)
    config = json.loads((folder / file).read_text()) | settings
    (folder / file).write_text(
        json.dumps({key: value for key, value in config.items() if value is not ...})
    )
    return folder


EMA = {
    "decay": 0.9999,
    "inv_gamma": 1.0,
    "min_decay": 0.0,
    "optimization_step": 1000,
    "power": 0.67,
    "update_after_step": 0,
}

NOTHING = {
    "EMAModel's": EMA | {"use_ema_warmup": False},
    "a path": {"_name_or_path": "somewhere/else", "_diffusers_version": "0.18.0"},
    "a type": {"upcast_attention": True},
    "of training": {"dropout": 0.1, "gradient_checkpointing": True},
    "of a class that came later": {"something_new": [1, 2]},
    "a default that is not written": {
        "flip_sin_to_cos": ...,
        "freq_shift": ...,
        "norm_eps": ...,
        "act_fn": ...,
    },
    "off": {"class_embed_type": None, "use_linear_projection": None, "addition_embed_type": ...},
    "for every level": {"attention_head_dim": [2, 4], "layers_per_block": [1, 1]},
}


@pytest.mark.parametrize("what", NOTHING)
def test_settings_that_change_nothing_refuse_nobody(seeds, tmp_path, what):
    other = changed(seeds[1], tmp_path / "other", "unet/config.json", **NOTHING[what])
    alone = DiffusionPipeline.from_pretrained(other, safety_checker=None)
    for pair, place in (([seeds[0], other], 1), ([other, seeds[0]], 0)):
        theirs = dict.fromkeys(("vae", "text_encoder", "tokenizer", "scheduler"), place)
        ours = founder(place, pair, components=theirs)
        assert torch.equal(drawn(ours, height=16, width=16), drawn(alone, height=16, width=16))


def test_a_seed_that_ema_saved_is_bred(seeds, tmp_path):
    """As EMAModel writes it, not as we think it does."""
    shutil.copytree(seeds[1], tmp_path / "ema")
    unet = UNet2DConditionModel.from_pretrained(Path(seeds[1]) / "unet")
    EMAModel(
        unet.parameters(), model_cls=UNet2DConditionModel, model_config=unet.config
    ).save_pretrained(tmp_path / "ema" / "unet")
    assert "optimization_step" in json.loads(
        (tmp_path / "ema" / "unet" / "config.json").read_text()
    )
    plain, ema = founder(1, seeds), founder(1, [seeds[0], tmp_path / "ema"])
    assert torch.equal(drawn(plain, height=16, width=16), drawn(ema, height=16, width=16))


COMPUTED = {
    "norm_eps": 1e-6,
    "act_fn": "gelu",
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "resnet_time_scale_shift": "scale_shift",
    "time_cond_proj_dim": 8,
    "center_input_sample": True,
    "time_embedding_act_fn": "silu",
    "only_cross_attention": [True, False],
    "attention_head_dim": [4, 4],
    "mid_block_scale_factor": 2,
}


@pytest.mark.parametrize("key", COMPUTED)
def test_settings_that_are_computed_by_are_refused(seeds, tmp_path, key):
    other = changed(seeds[1], tmp_path / "other", "unet/config.json", **{key: COMPUTED[key]})
    with pytest.raises(
        ValueError,
        match=f"seeds: expected one architecture; unet: {key} is .* in .*seed0 and .* in .*other",
    ):
        DiffusionModels([seeds[0], other]).axis  # noqa: B018


@pytest.mark.parametrize(
    ("key", "value"),
    [("sample_size", 16), ("pos_embed_max_size", 16), ("qk_norm", "rms_norm"), ("patch_size", 4)],
)
def test_what_tables_of_positions_hang_on_is_refused(sd3, tmp_path, key, value):
    other = changed(sd3[1], tmp_path / "other", "transformer/config.json", **{key: value})
    with pytest.raises(
        ValueError,
        match=f"expected one architecture; transformer: {key} is .* in .* and {value} in .*other",
    ):
        DiffusionModels([sd3[0], other]).axis  # noqa: B018


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("PixArtTransformer2DModel", {"sample_size": 64}),
        ("PixArtTransformer2DModel", {"interpolation_scale": 2}),
        ("Transformer2DModel", {"interpolation_scale": 2}),
        ("FluxTransformer2DModel", {"guidance_embeds": True}),
        ("FluxTransformer2DModel", {"axes_dims_rope": [8, 28, 28]}),
        ("SanaTransformer2DModel", {"sample_size": 16}),
        ("AutoencoderKL", {"scaling_factor": 0.13025}),
    ],
)
def test_settings_of_other_denoisers_count(kind, change):
    config = {"_class_name": kind, "_diffusers_version": "0.30.0", "norm_type": "ada_norm_single"}
    assert component_settings(config) != component_settings(config | change)
    assert component_settings(config) == component_settings(config | EMA)


def test_the_class_that_an_old_transformer_is_made_into_is_one_with_its_new_name():
    old = {
        "_class_name": "Transformer2DModel",
        "norm_type": "ada_norm_single",
        "sample_size": 64,
        "is_input_patches": True,
    }
    new = {"_class_name": "PixArtTransformer2DModel", "sample_size": 64}
    assert component_settings(old) == component_settings(new)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ([1, 1], 1, True), ([8, 8], [8, 8, 8], False), (None, False, True),
        ([], None, True), ([1, 2], 1, False),
        ((1, 2), [1, 2], True), (0, None, False), (1.0, 1, True), ("a", ["a", "a"], True),
        ([], 1, False),
    ],
)  # fmt: skip
def test_one_setting_in_two_spellings(one, other, equal):
    assert same(one, other) is same(other, one) is equal


def test_text_encoders_that_are_bred_are_compared_likewise(seeds, tmp_path):
    file = "text_encoder/config.json"
    ids = tiny_pipelines.tokenizer().eos_token_id
    harmless = {
        "use_cache": False,
        "transformers_version": "4.20.0",
        "torch_dtype": "float16",
        "attention_dropout": 0.1,
    }
    other = changed(
        seeds[1],
        tmp_path / "a",
        file,
        **harmless,
        projection_dim=512,
        initializer_factor=2.0,
        eos_token_id=2,
    )
    assert json.loads((Path(seeds[0]) / file).read_text())["eos_token_id"] == ids
    bred = ["unet", "text_encoder"]
    assert DiffusionModels([seeds[0], other], bred=bred).axis.size > 0
    for key, value in (
        ("hidden_act", "gelu"),
        ("layer_norm_eps", 1e-3),
        ("num_attention_heads", 4),
        ("eos_token_id", 5),
    ):
        other = changed(seeds[1], tmp_path / key, file, **{key: value})
        with pytest.raises(ValueError, match="expected one architecture; text_encoder: "):
            DiffusionModels([seeds[0], other], bred=bred).axis  # noqa: B018


def test_another_default_size_is_named(seeds, tmp_path, caplog):
    other = changed(seeds[1], tmp_path / "other", "unet/config.json", sample_size=16)
    plain, ours = founder(1, seeds), founder(1, [seeds[0], other])
    assert torch.equal(drawn(plain, height=16, width=16), drawn(ours, height=16, width=16))
    assert (
        f"unet: sample_size is 8 in {seeds[0]} and 16 in {other}; without a height and "
        f"width of the fitness's" in caplog.text
    )


def test_tables_of_positions_that_are_stored_differ(sd3, tmp_path):
    """A table that was stretched for larger pictures, under the same config."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(sd3[1], tmp_path / "other")
    path = tmp_path / "other" / "transformer" / "diffusion_pytorch_model.safetensors"
    state = load_file(path)
    for scale, message in (
        (1.0, None),
        (1.5, "'transformer.pos_embed.pos_embed' is a constant, which is not bred, and differs"),
    ):
        table = {"pos_embed.pos_embed": (state["pos_embed.pos_embed"] * scale).half()}
        save_file(state | table, path)
        if message is None:
            founder(0, [sd3[0], tmp_path / "other"])  # the same, in fewer bits
            continue
        with pytest.raises(ValueError, match=message):
            founder(0, [sd3[0], tmp_path / "other"])
    save_file(
        state | {"pos_embed.pos_embed": state["pos_embed.pos_embed"][:, :32].contiguous()}, path
    )
    with pytest.raises(
        ValueError, match=r"expected the constant 'transformer.pos_embed.pos_embed' of shape"
    ):
        DiffusionModels([sd3[0], tmp_path / "other"]).axis  # noqa: B018


SCHEDULERS = {
    "another prediction": (
        {"prediction_type": "sample"},
        "predict the same, their schedulers say epsilon .* and sample",
    ),
    "a prediction that is not said": (
        {"prediction_type": ..., "_class_name": "SCMScheduler"},
        "epsilon .* and trigflow",
    ),
    "null": ({"prediction_type": None}, "epsilon .* and None"),
    "a flow": (
        {"_class_name": "FlowMatchEulerDiscreteScheduler", "prediction_type": ...},
        "epsilon .* and a flow",
    ),
    "a flow by a setting": (
        {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True},
        "epsilon .* and a flow",
    ),
    "another course of noise": (
        {"beta_schedule": "scaled_linear"},
        "of one noise; scheduler: beta_schedule is linear in",
    ),
    "another end": ({"beta_end": 0.012}, "of one noise; scheduler: beta_end is 0.02 in"),
    "no signal at the end": (
        {"rescale_betas_zero_snr": True},
        "of one noise; scheduler: rescale_betas_zero_snr",
    ),
    "another number of steps": (
        {"num_train_timesteps": 4000},
        "of one noise; scheduler: num_train_timesteps",
    ),
}


@pytest.mark.parametrize("what", SCHEDULERS)
def test_denoisers_of_another_prediction_or_noise_are_refused(seeds, tmp_path, what):
    change, message = SCHEDULERS[what]
    other = changed(seeds[1], tmp_path / "other", "scheduler/scheduler_config.json", **change)
    for pair in ([seeds[0], other], [other, seeds[0]]):
        with pytest.raises(ValueError, match="seeds: expected denoisers"):
            DiffusionModels(pair).axis  # noqa: B018
    with pytest.raises(ValueError, match=message):
        DiffusionModels([seeds[0], other]).axis  # noqa: B018


def test_noise_may_be_said(seeds, tmp_path):
    other = changed(seeds[1], tmp_path / "other", "scheduler/scheduler_config.json", beta_end=0.012)
    for place, end in ((0, 0.02), (1, 0.012)):
        pipeline = founder(0, [seeds[0], other], components={"scheduler": place})
        assert pipeline.scheduler.config.beta_end == end
    named = founder(
        0, [seeds[0], other], components={"scheduler": 1}, scheduler="EulerDiscreteScheduler"
    )
    assert (type(named.scheduler).__name__, named.scheduler.config.beta_end) == (
        "EulerDiscreteScheduler",
        0.012,
    )


def test_a_prediction_that_is_the_class_s_default_is_the_same(seeds, tmp_path):
    other = changed(
        seeds[1],
        tmp_path / "other",
        "scheduler/scheduler_config.json",
        prediction_type=...,
        trained_betas=[],
    )
    assert DiffusionModels([seeds[0], other]).axis.size > 0
