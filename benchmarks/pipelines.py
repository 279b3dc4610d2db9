"""Expressing a child of large pipelines: beside a plain copy of the same bytes, and how much memory it takes.

    python benchmarks/pipelines.py [--width 320] [--threads 2] [--rounds 7] [--device cpu]

Stable Diffusion pipelines with random weights, in the layout of Stable Diffusion 1.5 at the width that is given (320 is the real one: 860
million parameters in the U-Net, 3.4 GB in float32), K = 2 and 3 of them, are written into a temporary folder, in float32 and bfloat16, and a
child of twenty nested crossovers is expressed into the resident pipeline. Memory is the peak of a process of its own that loads the seeds and
expresses the child, less its peak when it had done the same with pipelines of some megabytes, beside the size of the denoisers and one pipeline.
"""

from __future__ import annotations

import argparse
import logging
import tempfile
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from express import against_copy, bred, peak
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from populations.diffusion import DiffusionModels


def write_seeds(folder: Path, count: int, dtype: torch.dtype, width: int) -> list[Path]:
    """Pipelines that differ in their U-Nets alone."""
    torch.manual_seed(0)
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [
        *letters,
        *(letter + "</w>" for letter in letters),
        "<|startoftext|>",
        "<|endoftext|>",
    ]
    words = CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=77
    )
    text = CLIPTextConfig(
        vocab_size=len(tokens),
        hidden_size=768,
        num_hidden_layers=4,
        num_attention_heads=12,
        eos_token_id=53,
    )
    vae = AutoencoderKL(
        block_out_channels=(64, 128),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
    )
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            sample_size=64,
            cross_attention_dim=768,
            attention_head_dim=8,
            block_out_channels=(width, 2 * width, 4 * width, 4 * width),
        )
    unet = unet.to(dtype).to_empty(device="cpu")
    for parameter in unet.parameters():
        parameter.data.normal_(0, 0.02)
    pipeline = StableDiffusionPipeline(
        unet=unet, vae=vae.to(dtype), text_encoder=CLIPTextModel(text).to(dtype), tokenizer=words, safety_checker=None,
        scheduler=DDIMScheduler(clip_sample=False, steps_offset=1), feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip
    pipeline.save_pretrained(folder / "seed0")
    for k in range(1, count):  # the others are U-Nets alone, as many fine-tunes are
        for parameter in unet.parameters():
            parameter.data.add_(1e-3)
        unet.save_pretrained(folder / f"seed{k}" / "unet")
    return [folder / f"seed{k}" for k in range(count)]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--width", type=int, default=320)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(options.threads)
    print(
        f"torch {torch.__version__}, {options.device}, {options.threads} thread(s), {options.rounds} rounds: medians"
    )
    print(
        f"{'':9}{'K':>3}{'GB':>7}{'express ms':>12}{'copy ms':>9}{'ratio':>7}{'peak GB':>10}{'floor':>8}{'ratio':>7}"
    )
    for dtype, count in ((torch.float32, 2), (torch.float32, 3), (torch.bfloat16, 3)):
        with tempfile.TemporaryDirectory() as folder:
            small = write_seeds(Path(folder) / "small", count, dtype, 32)
            seeds = write_seeds(Path(folder) / "large", count, dtype, options.width)
            population = DiffusionModels(seeds, device=options.device)
            child = bred(population)
            ours, plain, ratio = against_copy(population, child, options.rounds)
            size = (
                sum(slot.numel() * slot.element_size() for slot in population._slots.values()) / 1e9
            )
            others = (
                sum(
                    path.stat().st_size
                    for part in ("vae", "text_encoder")
                    for path in (seeds[0] / part).glob("*.safetensors")
                )
                / 1e9
            )
            del population
            memory, floor = (
                peak(DiffusionModels, small, seeds, options.device),
                (count + 1) * size + others,
            )
            print(
                f"{str(dtype).removeprefix('torch.'):9}{count:3}{size:7.2f}{1e3 * ours:12.1f}{1e3 * plain:9.1f}{ratio:7.2f}"
                f"{memory:10.2f}{floor:8.2f}{memory / floor:7.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
