"""Answers of a resident model beside plain `generate` of transformers, and what frozen weights cost elsewhere.

    python benchmarks/generation.py [--batches 8 24 64] [--dtypes bfloat16 float32] [--new 12] [--rounds 5] [--threads 1]
        [--clock wall] [--small] [--model FOLDER]

A Llama of SmolLM2-135M's shape with random weights is bred from two copies of one checkpoint, and expressed. `Generator` answers a
batch of prompts of 12 to 28 tokens with it, in turn with the same checkpoint as `from_pretrained` loads it, which
answers the same prompts by `generate`; both give texts. With `--model` it is that model, and the prompts are sums of two-digit numbers. The ratio is the median over the rounds of one over the other. With `--clock cpu`
seconds are those that this process had, for a machine that has other work. Then, for models that draw and judge, milliseconds of a forward pass with parameters as `from_pretrained` gives them, with
frozen ones, and with ones that `populations.express.resident.ready` made ready to be asked.
"""

from __future__ import annotations

import argparse
import copy
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import smol_llama
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from fitness.generation import Generator
from fitness.skills import Sums
from populations.express.resident import ready
from populations.llm import LanguageModels

CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 24, 64])
    parser.add_argument("--dtypes", nargs="+", default=["bfloat16", "float32"])
    parser.add_argument("--new", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    parser.add_argument("--model", help="a folder of a model, in the place of random weights")
    smol_llama.add_shape(parser)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    disable_progress_bar()
    for library in ("transformers", "diffusers"):
        logging.getLogger(library).setLevel(logging.ERROR)
    print(
        "| dtype | batch | ours, tokens/s | plain generate, tokens/s | ratio |\n|---|---|---|---|---|"
    )
    for dtype in options.dtypes:
        with tempfile.TemporaryDirectory() as folder:
            seed = options.model
            if seed is None:
                [seed] = smol_llama.write(Path(folder), getattr(torch, dtype), small=options.small)
            for batch in options.batches:
                beside_plain(seed, dtype, batch, options)
    if options.model is not None:
        return
    print(
        "\n| forward pass of | dtype | as loaded, ms | frozen, ms | by `ready`, ms |\n|---|---|---|---|---|"
    )
    for name, model, call in others(small=options.small):
        for dtype in options.dtypes:
            forward(name, model.to(getattr(torch, dtype)), getattr(torch, dtype), call, options)


def beside_plain(seed: str, dtype: str, batch: int, options: argparse.Namespace) -> None:
    """Prints a line of the first table."""
    population = LanguageModels([seed, seed], dtype=dtype, device="cpu")
    language = population.express(population.founders(np.random.default_rng(0))[0])
    theirs = AutoModelForCausalLM.from_pretrained(seed, dtype=getattr(torch, dtype)).eval()
    tokenizer = AutoTokenizer.from_pretrained(seed, padding_side="left")
    if options.model is None:
        asked = smol_llama.prompts(batch, 12, 28, theirs.config.vocab_size)
    else:
        asked = [
            f"Question: {record['question']}\nAnswer:" for record in Sums(batch).split("train")
        ]
    generator = Generator(options.new, batch=batch)
    tokens = generator.encode(language, asked, str, special=True)
    padded = tokenizer(asked, return_tensors="pt", padding=True, return_token_type_ids=False)

    def ours() -> list[str]:
        return generator(language, tokens)

    def plain() -> list[str]:
        rows = theirs.generate(**padded, max_new_tokens=options.new, do_sample=False)
        return tokenizer.batch_decode(
            rows[:, padded["input_ids"].shape[1] :], skip_special_tokens=True
        )

    if ours() != plain():  # also what is done once
        print(f"(the answers of {dtype}, {batch}, differ in a last bit's choice)")
    times = rounds([ours, plain], options.rounds, CLOCKS[options.clock])
    ratio = statistics.median(other / mine for mine, other in zip(*times, strict=True))
    speeds = [batch * options.new / statistics.median(seconds) for seconds in times]
    print(f"| {dtype} | {batch} | {speeds[0]:.1f} | {speeds[1]:.1f} | {ratio:.3f} |", flush=True)


def rounds(
    calls: list[Callable[[], Any]], count: int, clock: Callable[[], float]
) -> list[list[float]]:
    """The seconds of each call, round by round; every other round begins at the other end, so that none is always first."""
    times: list[list[float]] = [[] for _ in calls]
    for turn in range(count):
        for place in range(len(calls))[:: 1 - 2 * (turn % 2)]:
            started = clock()
            calls[place]()
            times[place].append(clock() - started)
    return times


def forward(
    name: str,
    model: Any,
    dtype: torch.dtype,
    call: Callable[[Any, torch.dtype], Any],
    options: argparse.Namespace,
) -> None:
    """Prints a line of the second table."""
    models = [
        model.requires_grad_(True),
        copy.deepcopy(model).requires_grad_(False),
        ready(copy.deepcopy(model)),
    ]
    with torch.no_grad():
        for each in models:
            call(each, dtype)
        times = rounds(
            [lambda each=each: call(each, dtype) for each in models],
            options.rounds,
            CLOCKS[options.clock],
        )  # type: ignore[misc]
    shown = " | ".join(f"{1e3 * statistics.median(seconds):.1f}" for seconds in times)
    print(f"| {name} | {dtype} | {shown} |".replace("torch.", ""), flush=True)


def others(*, small: bool) -> Iterator[tuple[str, Any, Callable[[Any, torch.dtype], Any]]]:
    """Denoisers, encoders and judges with random weights, each with a call."""
    import transformers
    from diffusers import DiTTransformer2DModel, UNet2DConditionModel

    size = 64 if small else 224
    width = 64 if small else 384
    vision = {
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    pixels, texts = torch.randn(4, 3, size, size), torch.randint(1, 900, (8, 77))
    noise, steps = torch.randn(4, 4, 16, 16), torch.full((4,), 7)
    words = torch.randn(4, 77, width)

    def seen(model: Any, dtype: torch.dtype) -> Any:
        return model(pixel_values=pixels.to(dtype))

    unet = UNet2DConditionModel(
        sample_size=16, block_out_channels=(width, width), layers_per_block=1, cross_attention_dim=width, attention_head_dim=8,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        use_linear_projection=True,
    )  # fmt: skip
    yield (
        "a UNet with linear projections",
        unet.eval(),
        lambda model, dtype: model(noise.to(dtype), steps, words.to(dtype)),
    )
    transformer = DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=width // 4,
        num_layers=4,
        sample_size=16,
        out_channels=4,
    )
    yield (
        "a DiT", transformer.eval(),
        lambda model, dtype: model(noise.to(dtype), timestep=steps, class_labels=torch.arange(4)),
    )  # fmt: skip
    text = transformers.CLIPTextConfig(
        vocab_size=1000, bos_token_id=1, eos_token_id=2, projection_dim=width, **vision
    )
    yield (
        "CLIP's text encoder",
        transformers.CLIPTextModelWithProjection(text).eval(),
        lambda model, _: model(input_ids=texts),
    )
    clip = transformers.CLIPVisionConfig(
        image_size=size, patch_size=16, projection_dim=width, **vision
    )
    yield "CLIP's picture encoder", transformers.CLIPVisionModelWithProjection(clip).eval(), seen
    vit = transformers.ViTConfig(image_size=size, patch_size=16, num_labels=1000, **vision)
    yield "a ViT classifier", transformers.ViTForImageClassification(vit).eval(), seen
    siglip = transformers.SiglipVisionConfig(image_size=size, patch_size=16, **vision)
    yield "SigLIP's picture encoder", transformers.SiglipVisionModel(siglip).eval(), seen
    convnext = transformers.ConvNextConfig(depths=[1, 1, 2, 1], num_labels=1000)
    yield (
        "a ConvNeXt classifier",
        transformers.ConvNextForImageClassification(convnext).eval(),
        seen,
    )
    head = torch.nn.Linear(576, 512 if small else 49152, bias=False)
    hidden = torch.randn(16, 40, 576)
    yield (
        "a head, at the last of 40 tokens",
        head,
        lambda model, dtype: model(hidden.to(dtype)[:, -1:]),
    )


if __name__ == "__main__":
    main()
