"""The demo pipelines and their judges: ordinary folders, known halves, a training that runs."""

import json
import logging

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")

from diffusers import DDIMScheduler, StableDiffusionPipeline
from transformers import (
    AutoImageProcessor,
    AutoModelForImageClassification,
    AutoTokenizer,
    CLIPModel,
    CLIPProcessor,
)

from examples.training.painters import COURSES, make
from examples.training.painters_judges import CONTEXT, tokenizer
from examples.training.painters_lessons import Course, album
from fitness.digit_prompts import SPLITS, WORDS, DigitPrompts, pictures, wordings
from populations.painters import JUDGES, PIPELINES, folder

STEPS = 8


def load(name):
    pipe = StableDiffusionPipeline.from_pretrained(folder(name))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def draw(pipe, prompts, first_seed=0):
    noise = [torch.Generator().manual_seed(first_seed + place) for place in range(len(prompts))]
    return pipe(
        prompts, num_inference_steps=STEPS, guidance_scale=1.0, generator=noise, output_type="pt"
    ).images


def held_out():
    """Real digits that no model has seen."""
    parts = [pictures(split) for split in SPLITS]
    return np.concatenate([images for images, _ in parts]), np.concatenate(
        [labels for _, labels in parts]
    )


def colour(images):
    """As files of pictures are: (n, 16, 16, 3) uint8."""
    return list(np.repeat(np.asarray(images)[..., None], 3, axis=-1))


@pytest.fixture(scope="module")
def classify():
    """Probabilities (n, 10) of pictures (n, 3, 16, 16) in [0, 1]."""
    model = AutoModelForImageClassification.from_pretrained(
        folder("classifier"), dtype=torch.float32
    )
    return lambda images: model(pixel_values=images * 2 - 1).logits.softmax(dim=-1).detach()


@pytest.mark.parametrize("name", PIPELINES)
def test_a_pipeline_loads_as_any_and_draws(name):
    pipe = load(name)
    assert {module.dtype for module in (pipe.unet, pipe.vae, pipe.text_encoder)} == {torch.float32}
    assert isinstance(pipe.scheduler, DDIMScheduler)
    assert (
        pipe.tokenizer.model_max_length
        == CONTEXT
        == pipe.text_encoder.config.max_position_embeddings
    )
    images = draw(pipe, ["a small 3", "the digit four"])
    assert images.shape == (2, 3, 16, 16)
    assert bool(images.isfinite().all())
    assert images.std() > 0.1
    picture = pipe("a small 3", num_inference_steps=2, guidance_scale=2.0).images[0]
    assert picture.size == (16, 16)


def test_all_together_are_small():
    files = [
        file for name in (*PIPELINES, *JUDGES) for file in folder(name).rglob("*") if file.is_file()
    ]
    assert sum(file.stat().st_size for file in files) < 8_000_000
    assert {file.suffix for file in files} == {".json", ".safetensors"}


def test_pipelines_differ_in_their_unets_alone():
    def files(name):
        return {
            str(file.relative_to(folder(name))): file.read_bytes()
            for file in folder(name).rglob("*")
            if file.is_file()
        }

    base = files("base")
    for name in ("low", "high"):
        other = files(name)
        assert other.keys() == base.keys()
        assert {file for file in base if base[file] != other[file]} == {
            "unet/diffusion_pytorch_model.safetensors"
        }


def test_a_folder_that_does_not_ship():
    with pytest.raises(
        ValueError, match="expected base, low, high, clip, classifier, got 'middle'"
    ):
        folder("middle")


@pytest.mark.parametrize("place", ["clip", "base/tokenizer"])
def test_the_stored_tokenizer_reads_each_word_as_one_token(place):
    words, stored = (
        tokenizer(),
        AutoTokenizer.from_pretrained(folder(place.split("/")[0]) / place.partition("/")[2]),
    )
    prompts = [prompt for ten in wordings("lessons") for prompt in ten]
    assert stored.get_vocab() == words.get_vocab(), (
        "the shipped models were trained on this vocabulary"
    )
    assert stored(prompts)["input_ids"] == words(prompts)["input_ids"]
    for prompt, tokens in zip(prompts, stored(prompts)["input_ids"], strict=True):
        assert len(tokens) == len(prompt.split()) + 2 <= CONTEXT
        assert stored.decode(tokens, skip_special_tokens=True) == prompt
    assert stored.unk_token_id not in stored("zebra 42")["input_ids"][1:-1]


def test_the_classifier_knows_real_digits(classify):
    images, labels = held_out()
    processor = AutoImageProcessor.from_pretrained(folder("classifier"))
    pixels = processor(colour(images), return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(
        pixels, torch.tensor(images / 127.5 - 1, dtype=torch.float32)[:, None].expand(-1, 3, -1, -1)
    )
    chances = classify((pixels + 1) / 2)
    assert (chances.argmax(dim=-1).numpy() == labels).mean() >= 0.97
    assert chances[torch.arange(len(labels)), torch.tensor(labels)].mean() > 0.93
    config = json.loads((folder("classifier") / "config.json").read_text())
    assert config["id2label"] == {str(label): word for label, word in enumerate(WORDS)}


def test_clip_prefers_the_right_digit_in_words_and_in_pictures():
    model = CLIPModel.from_pretrained(folder("clip"), dtype=torch.float32)
    processor = CLIPProcessor.from_pretrained(folder("clip"))
    records = DigitPrompts(test=100).split("test")
    inputs = processor(
        text=list(wordings("test")[0]),
        images=colour([record["image"] for record in records]),
        padding="max_length",
        return_tensors="pt",
    )
    with torch.no_grad():
        outputs = model(**inputs)
    labels = torch.tensor([record["label"] for record in records])
    assert (outputs.logits_per_image.argmax(dim=-1) == labels).float().mean() >= 0.95
    near = outputs.image_embeds @ outputs.image_embeds.T
    same = labels[:, None] == labels
    assert near[same & ~torch.eye(100, dtype=torch.bool)].mean() > near[~same].mean() + 0.5


def test_specialists_are_good_at_their_half_and_worse_at_the_other(classify):
    records = DigitPrompts().split("train")[:60]
    labels = torch.tensor([record["label"] for record in records])
    means = {}
    for name in ("low", "high"):
        chances = classify(draw(load(name), [record["prompt"] for record in records]))[
            torch.arange(60), labels
        ]
        means[name] = chances[labels < 5].mean().item(), chances[labels > 4].mean().item()
    assert means["low"][0] > 0.85
    assert means["high"][1] > 0.85
    assert 0.1 < means["low"][1] < 0.6
    assert 0.1 < means["high"][0] < 0.6


def test_album_moves_pictures():
    images, labels = album(1)
    still, kinds = album(0)
    assert len(images) == len(labels) == 9 * len(still)
    torch.testing.assert_close(images[4 * len(still) : 5 * len(still)], still)
    torch.testing.assert_close(images[0, :, 1:, 1:], still[0, :, :-1, :-1])
    assert (images.min(), images.max(), kinds[0]) == (-1, 1, labels[len(kinds)])


def test_a_short_training_writes_folders_and_repeats_itself(tmp_path, caplog):
    courses = {name: Course(steps=2, rate=1e-3, batch=4) for name in COURSES}
    with caplog.at_level(logging.INFO):
        for out, seed in (("a", 0), ("b", 0), ("c", 1)):
            make(tmp_path / out, seed=seed, courses=courses)
    assert any("base: " in message for message in caplog.messages)
    for name in (*PIPELINES, *JUDGES):
        a, b, c = (
            {
                str(file.relative_to(tmp_path / out)): file.read_bytes()
                for file in (tmp_path / out / name).rglob("*.safetensors")
            }
            for out in "abc"
        )
        shipped = {
            str(file.relative_to(folder(name).parent))
            for file in folder(name).rglob("*.safetensors")
        }
        assert a == b
        assert a.keys() == c.keys() == shipped
        assert all(a[file] != c[file] for file in a)
    images = StableDiffusionPipeline.from_pretrained(tmp_path / "a" / "low")(
        "the digit 0", num_inference_steps=2
    ).images
    assert len(images) == 1
