"""LoRA adapters with random factors, saved by PEFT, and the models that PEFT makes of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import peft
import torch
from transformers import AutoModelForCausalLM

ATTENTION = ["q_proj", "v_proj", "o_proj"]


def adapter(folder: Path, base: str | Path, seed: int = 1, **settings: Any) -> tuple[str, Any]:
    """Saves an adapter with random factors.

    Gives its folder, and the model into which PEFT has folded it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = peft.LoraConfig(
            **{"r": 4, "lora_alpha": 6, "target_modules": ATTENTION} | settings
        )
        model = peft.get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
        for name, parameter in model.named_parameters():
            if "lora" in name or "modules_to_save" in name:
                parameter.data = torch.randn_like(parameter) * 0.2
    model.save_pretrained(folder)
    return str(folder), model.merge_and_unload()
