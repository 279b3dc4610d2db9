"""Demo seeds: a tiny Llama that knows a little of three skills, and a specialist of each.

Four ordinary checkpoints (config, safetensors, tokenizer, generation config) ship with the package:

    base          some arithmetic, some sorting, some shopping
    arithmetic    fine-tuned on sums and differences     (`fitness.skills.Arithmetic`)
    sorting       fine-tuned on letters to put in order  (`fitness.skills.Sorting`)
    shopping      fine-tuned on an expert's purchases    (`fitness.shop.Shop`)

A specialist is made from the base. It is good at its own skill and has forgotten some of the
others, which a merge can bring back. `python -m examples.training.skills OUT` trains them all
anew, on the CPU in minutes.
"""

from __future__ import annotations

from pathlib import Path

SKILLS = ("arithmetic", "sorting", "shopping")


def folder(name: str) -> Path:
    """Where a checkpoint that ships with the package lies.

    Args:
        name: "base" or one of `SKILLS`.

    Raises:
        ValueError: if there is no such checkpoint.
    """
    if name not in ("base", *SKILLS):
        raise ValueError(f"name: expected base, {', '.join(SKILLS)}, got {name!r}")
    return Path(__file__).parent / name
