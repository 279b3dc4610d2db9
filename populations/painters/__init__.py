"""Demo seeds: a tiny Stable Diffusion that draws digits, two specialists, and two judges.

Five ordinary folders (config, safetensors, tokenizer, preprocessor) ship with the package:

    base        a StableDiffusionPipeline of diffusers that draws all ten digits badly
    low         fine-tuned from it on 0 to 4
    high        fine-tuned from it on 5 to 9
    clip        a CLIPModel of transformers for digits and prompts, as
                `fitness.digit_prompts.DigitPrompts` has them
    classifier  an image classifier of transformers: which digit is it?

The pipelines differ in their U-Nets alone. A specialist is good at its own half and has forgotten
much of the other, which a merge can bring back. `python -m examples.training.painters OUT` trains
them all anew, on the CPU in minutes.
"""

from __future__ import annotations

from pathlib import Path

PIPELINES = ("base", "low", "high")
JUDGES = ("clip", "classifier")


def folder(name: str) -> Path:
    """Where a checkpoint that ships with the package lies.

    Args:
        name: one of `PIPELINES` or `JUDGES`.

    Raises:
        ValueError: if there is no such checkpoint.
    """
    if name not in (*PIPELINES, *JUDGES):
        raise ValueError(f"name: expected {', '.join((*PIPELINES, *JUDGES))}, got {name!r}")
    return Path(__file__).parent / name
