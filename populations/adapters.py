"""LoRA adapters: a low-rank change of some matrices of a base, as a seed of its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from populations.checkpoints import Checkpoint, Entry, read_header

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."

FACTORS = re.compile(r"(.+)\.(lora_A|lora_B|lora_embedding_A|lora_embedding_B)(?:\.default)?(?:\.weight)?")


class Adapted:
    """A base with a LoRA adapter folded in: W + scale * B @ A for each matrix that it adapts."""

    def __init__(self, folder: Path, base: Checkpoint) -> None:
        """Reads the adapter's headers and settings, and no weight.

        Args:
            folder: of the adapter, as PEFT saves it.
            base: the model that it was trained on.

        Raises:
            FileNotFoundError: if the adapter's weights are missing.
            ValueError: if it is no LoRA adapter, is of a kind that is not a sum of matrices, or does not fit the base.
        """
        if not (folder / WEIGHTS).is_file():
            raise FileNotFoundError(f"{folder}: expected {WEIGHTS} beside {CONFIG}, there is none")
        self.folder, self.base, self.settings = folder, base, _settings(folder)
        self._adapter = Checkpoint(folder, read_header(folder / WEIGHTS))
        self._factors, self._replaced = self._sorted()
        self.entries: dict[str, Entry] = dict(base.entries)
        for name, (a, b) in self._factors.items():
            self._check(name, a, b)
        for name, own in self._replaced.items():
            self.entries[name] = self._adapter.entries[own]

    @property
    def name(self) -> str:
        """What messages call it, in mergekit's words: base+adapter."""
        return f"{self.base.name}+{self.folder}"

    @property
    def files(self) -> list[Path]:
        """The files that its weights come from."""
        return [*self.base.files, self.folder / CONFIG, self.folder / WEIGHTS]

    def tensor(self, name: str) -> torch.Tensor:
        """A tensor of the sum; the base's own, memory-mapped, where the adapter changes nothing."""
        own = self._replaced.get(name)
        tensor = self.base.tensor(name) if own is None else self._adapter.tensor(own)
        if name not in self._factors:
            return tensor
        a, b = (self._adapter.tensor(own).float() for own in self._factors[name])
        change = b @ a
        if "embedding" in self._factors[name][0] or self.settings["fan_in_fan_out"]:
            change = change.T
        return (tensor.float() + self._scale(name) * change).to(tensor.dtype)

    def _sorted(self) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """By the base's names: the two factors of each adapted matrix; the tensors that stand in for the base's."""
        found: dict[str, dict[str, str]] = {}
        replaced = {}
        for own in self._adapter.entries:
            plain = own.removeprefix(PREFIX)
            match = FACTORS.fullmatch(plain)
            if match is None:
                name = plain.replace(".modules_to_save.default.", ".").replace(".base_layer.", ".")
                if name not in self.base.entries:
                    raise ValueError(f"{self.folder}: {own!r} is neither a LoRA factor nor a tensor of the base {self.base.name}")
                replaced[name] = own
            else:
                found.setdefault(f"{match[1]}.weight", {})[match[2][-1]] = own
        for name, factors in found.items():
            if set(factors) != {"A", "B"}:
                raise ValueError(f"{self.folder}: expected two factors for {name!r}, got {', '.join(factors.values())} only")
        return {name: (factors["A"], factors["B"]) for name, factors in found.items()}, replaced

    def _check(self, name: str, a: str, b: str) -> None:
        entries = self._adapter.entries
        if name not in self.base.entries:
            raise ValueError(f"{self.folder}: it adapts {name!r}, which the base {self.base.name} does not have")
        shape, (rows, columns) = self.base.entries[name].shape, (entries[b].shape[0], entries[a].shape[-1])
        flipped = "embedding" in a or self.settings["fan_in_fan_out"]
        if shape != ((columns, rows) if flipped else (rows, columns)):
            raise ValueError(f"{self.folder}: {a!r} and {b!r} make {(rows, columns)}; the base's {name!r} is {shape}")

    def _scale(self, name: str) -> float:
        """What B @ A of one matrix is multiplied by: alpha / r, or alpha / sqrt(r)."""
        module = name.removesuffix(".weight")
        rank = self._adapter.entries[self._factors[name][0]].shape[0]
        alpha = float(_matching(self.settings["alpha_pattern"], module, self.settings["lora_alpha"]))
        return alpha / rank ** (0.5 if self.settings["use_rslora"] else 1.0)


def base_of(folder: Path) -> str | None:
    """The base that an adapter's folder names, None if it names none.

    Raises:
        ValueError: if its settings cannot be read.
    """
    return _settings(folder).get("base_model_name_or_path")


def _settings(folder: Path) -> dict[str, Any]:
    try:
        settings = json.loads((folder / CONFIG).read_text())
        kind = settings["peft_type"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG}: expected JSON with a peft_type, it cannot be read ({error!r})") from None
    if kind != "LORA":
        raise ValueError(f"{folder}: expected a LoRA adapter, got {kind}")
    for unlike in ("use_dora", "use_qalora"):
        if settings.get(unlike):
            raise ValueError(
                f"{folder}: {unlike} is not a sum of base and B @ A; merge it into its base first (merge_and_unload)"
            )
    defaults = {"lora_alpha": 8, "alpha_pattern": {}, "use_rslora": False, "fan_in_fan_out": False}
    return defaults | {name: value for name, value in settings.items() if value is not None}


def _matching(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first pattern that a module's name ends in, as PEFT decides it."""
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)
