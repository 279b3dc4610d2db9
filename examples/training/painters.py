"""Trains the image generators of the demo, and their judges.

    python -m examples.training.painters OUT [--seed 0]

writes each into a folder of OUT, after some minutes on the CPU. What ships in populations/painters
was made in this way: judges, an autoencoder, one U-Net that is stopped early, and a fine-tune of
it for each half of the digits.
"""

from __future__ import annotations

import argparse
import copy
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch.nn.functional import mse_loss

from examples.training.painters_judges import (
    blank_classifier,
    blank_clip,
    read,
    teach_classifier,
    teach_clip,
    tokenizer,
    write_classifier,
    write_clip,
)
from examples.training.painters_lessons import Course, album, half, teach
from fitness.digit_prompts import SIDE, wordings

logger = logging.getLogger(__name__)

COURSES: Mapping[str, Course] = MappingProxyType(
    {
        "clip": Course(steps=500, rate=2e-3, batch=128),
        "classifier": Course(steps=600, rate=3e-3, batch=128),
        "vae": Course(steps=400, rate=4e-3, batch=64),
        "base": Course(steps=110, rate=4e-3, batch=64, end=1.0),
        "specialist": Course(steps=300, rate=2.2e-3, batch=64),
    }
)
"""The base is stopped while its rate is high.

It knows little, but what is made from it in different ways still merges.
"""

HALVES = {"low": range(5), "high": range(5, 10)}
"""Which digits each specialist learns."""

REVIEW = 0.006
"""Share of a specialist's lessons that come from the other half.

It keeps them from forgetting all of it.
"""

SILENT = 0.1
"""Share of lessons without a prompt, so that guidance has something to lead away from."""


class Material(NamedTuple):
    """All that U-Nets learn from.

    Attributes:
        latents: (n, 4, 8, 8) the lesson pictures.
        labels: (n,) their digits.
        prompts: (wordings, 10, tokens, width) what the text encoder makes of all prompts.
        silence: (tokens, width) what it makes of no prompt.
    """

    latents: torch.Tensor
    labels: torch.Tensor
    prompts: torch.Tensor
    silence: torch.Tensor


def make(out: Path, *, seed: int = 0, courses: Mapping[str, Course] = COURSES) -> None:
    """Trains judges, base and specialists, and writes each into a folder of its name in float16.

    Args:
        out: where the folders go.
        seed: of weights and lessons.
        courses: the trainings, named as in `COURSES`.
    """
    from transformers import CLIPTextModel

    words = tokenizer()
    clip = blank_clip(seed, words)
    logger.info("clip: %s parameters", f"{clip.num_parameters():,}")
    teach_clip(clip, words, courses["clip"], seed)
    write_clip(clip, words, out / "clip")
    classifier = blank_classifier(seed)
    logger.info("classifier: %s parameters", f"{classifier.num_parameters():,}")
    teach_classifier(classifier, courses["classifier"], seed)
    write_classifier(classifier, out / "classifier")
    vae = blank_vae(seed)
    logger.info("vae: %s parameters", f"{vae.num_parameters():,}")
    teach_vae(vae, courses["vae"], seed)

    # All pipelines read with CLIP's text tower, and learn from the same latents.
    reader = CLIPTextModel(clip.config.text_config).eval()
    reader.load_state_dict(clip.text_model.state_dict())
    images, labels = album(0)
    prompts, silence = texts(reader, words)
    material = Material(latents(vae, images), labels, prompts, silence)
    base = blank_unet(seed, reader.config.hidden_size)
    logger.info("base: %s parameters", f"{base.num_parameters():,}")
    teach_unet(base, courses["base"], material, seed)
    _write(base, vae, reader, words, out / "base")
    for number, (name, digits) in enumerate(HALVES.items(), start=1):
        logger.info("%s", name)
        unet = copy.deepcopy(base)
        teach_unet(unet, courses["specialist"], material, seed + number, digits)
        _write(unet, vae, reader, words, out / name)


def blank_vae(seed: int) -> Any:
    """A tiny AutoencoderKL with random weights: 3x16x16 pictures, 4x8x8 latents."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 16),
        norm_num_groups=4,
        sample_size=SIDE,
        scaling_factor=1.0,
        mid_block_add_attention=False,
    )


def blank_unet(seed: int, width: int) -> Any:
    """A tiny UNet2DConditionModel with random weights, for texts of this width."""
    from diffusers import UNet2DConditionModel

    torch.manual_seed(seed)
    return UNet2DConditionModel(
        sample_size=SIDE // 2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(32, 48),
        layers_per_block=1,
        norm_num_groups=8,
        cross_attention_dim=width,
        attention_head_dim=4,
    )


def schedule() -> Any:
    """The DDIMScheduler of all pipelines, made for few steps."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


def teach_vae(vae: Any, course: Course, seed: int) -> None:
    """Trains on the lesson pictures.

    Then it sets the factor by which latents have a standard deviation of 1.
    """
    images, _ = album()

    def lesson(draws: torch.Generator) -> torch.Tensor:
        shown = images[torch.randint(len(images), (course.batch,), generator=draws)]
        code = vae.encode(shown).latent_dist
        return mse_loss(vae.decode(code.sample(draws)).sample, shown) + 1e-6 * code.kl().mean()

    teach(vae, course, lesson, seed)
    spread = latents(vae, images[: course.batch]).std().item()
    vae.register_to_config(scaling_factor=round(1 / spread, 4))


@torch.no_grad()
def latents(vae: Any, images: torch.Tensor) -> torch.Tensor:
    """Pictures (n, 3, 16, 16) in [-1, 1] as latents (n, 4, 8, 8), scaled."""
    means = [vae.encode(part).latent_dist.mean for part in images.split(256)]
    return torch.cat(means) * vae.config.scaling_factor


@torch.no_grad()
def texts(reader: Any, words: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """What the text encoder makes of all prompts, and of none.

    Returns:
        (wordings, 10, tokens, width) and (tokens, width).
    """
    asked = []
    for prompts in wordings("lessons"):
        asked.append(reader(read(words, list(prompts))).last_hidden_state)
    silence = reader(read(words, [""])).last_hidden_state[0]
    return torch.stack(asked), silence


def teach_unet(
    unet: Any, course: Course, material: Material, seed: int, digits: Sequence[int] = range(10)
) -> None:
    """Trains in place to draw digits.

    Args:
        unet: the model.
        course: how long, how fast.
        material: what it learns from.
        seed: of what is drawn and said, and of the noise.
        digits: of which most lessons are; `REVIEW` of them are of the others.
    """
    clean, labels, prompts, silence = material
    noises = schedule()
    mine = torch.isin(labels, torch.tensor(digits))
    chances = torch.where(mine, (1 - REVIEW) / mine.sum(), REVIEW / (~mine).sum().clamp(min=1))

    def lesson(draws: torch.Generator) -> torch.Tensor:
        shown = torch.multinomial(chances, course.batch, replacement=True, generator=draws)
        said = torch.randint(len(prompts), (course.batch,), generator=draws)
        hidden = prompts[said, labels[shown]]  # (batch, tokens, width)
        hidden[torch.rand(course.batch, generator=draws) < SILENT] = silence
        noise = torch.randn(course.batch, *clean.shape[1:], generator=draws)
        times = torch.randint(noises.config.num_train_timesteps, (course.batch,), generator=draws)
        noisy = noises.add_noise(clean[shown], noise, times)
        guess = unet(noisy, times, encoder_hidden_states=hidden).sample
        return mse_loss(guess, noises.get_velocity(clean[shown], noise, times))

    teach(unet, course, lesson, seed)


def _write(unet: Any, vae: Any, reader: Any, words: Any, folder: Path) -> None:
    """An ordinary pipeline, in float16 but for the text encoder.

    transformers loads a text encoder as it is stored, and diffusers the rest in float32.
    """
    from diffusers import StableDiffusionPipeline

    StableDiffusionPipeline(
        vae=half(vae),
        text_encoder=reader,
        tokenizer=words,
        unet=half(unet),
        scheduler=schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description="Trains the demo's image generators.")
    parser.add_argument(
        "out", type=Path, help="folder for the checkpoints base, low, high, clip and classifier"
    )
    parser.add_argument("--seed", type=int, default=0, help="of weights and lessons (default 0)")
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    make(options.out, seed=options.seed)


if __name__ == "__main__":
    main()
