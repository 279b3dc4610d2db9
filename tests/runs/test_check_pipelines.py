"""evomerge check on two fine-tunes of SDXL, and on pairs that cannot be bred."""

import json
import shutil

import pytest
import tiny_pipelines
import torch
from diffusers import UNet2DConditionModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

from evomerge.cli import main


@pytest.fixture
def ground(tmp_path, monkeypatch):
    """Two pipelines with everything but the U-Net in common, prompts, a judge, and a config."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    words = tiny_pipelines.tokenizer()
    for number, name in enumerate(("dream", "anime")):
        pipeline = tiny_pipelines.sdxl(0, words)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(number)
            tiny_pipelines.noisy(pipeline.unet)
        pipeline.save_pretrained(tmp_path / name)
    (tmp_path / "prompts.jsonl").write_text(
        '{"prompt": "a b"}\n{"prompt": "a b c d e f g h i j k l m n o p"}\n'
    )
    (tmp_path / "bright.py").write_text(
        "def bright(prompt, picture):\n    return picture.getpixel((0, 0))[0] / 255\n"
    )
    population = {
        "_target_": "populations.diffusion.DiffusionModels",
        "seeds": ["dream", "anime"],
        "device": "cpu",
    }
    data = {"_target_": "fitness.records.JsonLines", "train": "prompts.jsonl"}
    fitness = {
        "_target_": "fitness.text_to_image.TextToImage",
        "data": data,
        "score": "bright.bright",
    }
    size = {"steps": 1, "height": 16, "width": 16}
    (tmp_path / "my.yaml").write_text(
        json.dumps({"population": population, "fitness": fitness | size, "births": 2})
    )
    return tmp_path


def test_a_pair_of_which_one_was_saved_by_ema(ground, capsys):
    unet = UNet2DConditionModel.from_pretrained(ground / "anime" / "unet")
    ema = EMAModel(
        unet.parameters(),
        use_ema_warmup=True,
        model_cls=UNet2DConditionModel,
        model_config=unet.config,
    )
    ema.save_pretrained(ground / "anime" / "unet")
    weights = ground / "anime" / "text_encoder_2" / "model.safetensors"
    save_file(
        {name: tensor * 1.05 for name, tensor in load_file(weights).items()},
        weights,
        metadata={"format": "pt"},
    )
    assert main(["check", "my.yaml"]) == 0
    captured = capsys.readouterr()
    assert "yes, this can run" in captured.out
    lines = [line.partition(" ")[2] for line in captured.err.splitlines()]
    assert lines.count(
        "text_encoder_2: all members use that of dream; anime has other weights "
        "(components: {text_encoder_2: 0} or {text_encoder_2: 1} says whose)"
    ) == 1  # fmt: skip
    assert (
        sum("1 of 2 different prompts of train are cut at the 16 tokens" in line for line in lines)
        == 1
    )
    assert not [line for line in lines if "ignored" in line or "indexing errors" in line]


def as_inpainting(folder):
    shutil.rmtree(folder / "unet")
    tiny_pipelines.unet(in_channels=9).save_pretrained(folder / "unet")


def as_single_file(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    save_file({"conditioner.embedders.0.x": torch.zeros(1)}, folder / "anime.safetensors")


def as_prediction(folder):
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"prediction_type": "v_prediction"}))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            as_inpainting,
            "seeds: expected text-to-image pipelines; anime is an inpainting model: "
            "its unet takes 9 channels and gives 4",
        ),
        (
            as_single_file,
            "seeds: anime/anime.safetensors is a single-file checkpoint (Stable Diffusion XL): "
            "single-file checkpoints are",
        ),
        (
            as_prediction,
            "seeds: expected denoisers that predict the same, "
            "their schedulers say epsilon (dream) and v_prediction (anime)",
        ),
    ],
)
def test_a_pair_that_cannot_be_bred(ground, capsys, spoil, message):
    spoil(ground / "anime")
    assert main(["check", "my.yaml"]) == 2
    error = capsys.readouterr().err
    assert f"evomerge: population: {message}" in error
    assert "Traceback" not in error
