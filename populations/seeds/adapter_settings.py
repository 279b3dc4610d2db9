"""The settings of a LoRA adapter, as PEFT writes them: which ones leave it a plain sum of matrices.

Only an adapter with which PEFT itself merges W + scale * B @ A is taken. Each setting below was
held against PEFT's own merge.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from populations.seeds.checkpoints import ADAPTER_CONFIG
from populations.seeds.json_files import read_json

DEFAULTS = {
    "r": 8,
    "lora_alpha": 8,
    "rank_pattern": {},
    "alpha_pattern": {},
    "use_rslora": False,
    "fan_in_fan_out": False,
}
"""Settings that count here, as PEFT has them where a file does not."""

PROVENANCE = (
    "peft_type",
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
)
"""Settings that say where an adapter is from."""

TRAINING = (
    "lora_dropout",
    "bias",
    "modules_to_save",
    "ensure_weight_tying",
    "runtime_config",
    "megatron_core",
)
"""Settings of its training: the base and the factors stay what they are."""

TARGETS = ("target_modules", "exclude_modules", "layers_to_transform", "layers_pattern")
"""Settings that say which matrices are adapted; the names of the file's tensors say it as well."""

INITIALISATION = (
    "init_lora_weights",
    "eva_config",
    "loftq_config",
    "corda_config",
    "lora_ga_config",
    "qalora_group_size",
)
"""Settings that have an effect only through init_lora_weights, or through use_qalora."""

KNOWN = frozenset([*DEFAULTS, *PROVENANCE, *TRAINING, *TARGETS, *INITIALISATION])
"""Settings with which PEFT merges a plain sum, W + scale * B @ A. No other is let in."""

INITS = (None, True, False, "gaussian", "eva", "orthogonal", "mica")
"""Beginnings of training that leave the base as it is.

The others (pissa, olora, corda, ...) subtract something from it.
"""

WAY_OUT = (
    "merge it into its base first (merge_and_unload), if PEFT can, save that "
    "and take it as the seed"
)

LONGEST = 60
"""Characters of a setting's value that a message shows."""


def read_settings(folder: Path) -> dict[str, Any]:
    """Reads an adapter's settings, each of them known to leave it a plain sum.

    Returns:
        The settings of the file that are not null, and PEFT's defaults for the rest.

    Raises:
        ValueError: if they cannot be read, or are not known to describe a sum of matrices.
    """
    path = folder / ADAPTER_CONFIG
    content = read_json(path, "JSON with a peft_type")
    # PEFT writes null for a setting that has no value.
    settings = {key: value for key, value in content.items() if value is not None}
    # Other libraries give their files the same name, and mean other things by the keys.
    if "peft_type" not in settings:
        raise ValueError(
            f"{path}: expected JSON with a peft_type, it has none "
            "(an adapter of another library than PEFT?)"
        )
    kind = settings["peft_type"]
    # Other kinds, such as IA3 and prompts, are no sum of matrices.
    if kind != "LORA":
        raise ValueError(
            f"{folder}: expected a LoRA adapter, got {kind} (peft_type in {ADAPTER_CONFIG}); "
            f"{WAY_OUT}"
        )
    for key, value in settings.items():
        # A setting that is off changes nothing, whatever a newer PEFT may call it.
        if key not in KNOWN and value:
            raise ValueError(
                f"{path}: {key}: {_shortened(value)}: as far as is known here {key} is not a sum "
                f"of base and B @ A; {WAY_OUT}"
            )
    # PiSSA and its like take the adapter's first value out of the base, and the base as it was
    # published is all that we have.
    beginning = settings.get("init_lora_weights")
    if beginning not in INITS:
        raise ValueError(
            f"{path}: init_lora_weights is {beginning!r}: training began by changing the base, so "
            f"base + B @ A is another model; {WAY_OUT}, or save the adapter with "
            "path_initial_model_for_weight_conversion, which makes it a plain one"
        )
    return DEFAULTS | settings


def base_of(folder: Path) -> str | None:
    """The base that an adapter's folder names.

    Returns:
        A folder or a repository, with its revision if the adapter names one; None if there is no
        name.

    Raises:
        ValueError: as `read_settings`.
    """
    settings = read_settings(folder)
    base = settings.get("base_model_name_or_path")
    revision = settings.get("revision")
    if not base:
        return None
    # A folder has no revisions, whatever the settings say of one.
    if revision and not Path(base).expanduser().exists():
        return f"{base}@{revision}"
    return str(base)


def rank_and_alpha(settings: Mapping[str, Any], folder: Path, module: str) -> tuple[int, float]:
    """The rank of a module's factors, and the alpha that their product is scaled by.

    Args:
        settings: of the adapter.
        folder: the adapter's, for the message.
        module: the adapted module's name.

    Raises:
        ValueError: if a pattern is no pattern, or a number no number.
    """
    try:
        # The patterns are regular expressions and numbers of a file, which nobody has checked yet.
        rank = int(_matching(settings["rank_pattern"], module, settings["r"]))
        alpha = float(_matching(settings["alpha_pattern"], module, settings["lora_alpha"]))
    except (re.error, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"{folder / ADAPTER_CONFIG}: rank and alpha of {module!r} cannot be read ({error})"
        ) from None
    return rank, alpha


def _matching(patterns: Mapping[str, Any], module: str, default: Any) -> Any:
    """The value of the first pattern that a module's name ends in, as PEFT decides it."""
    # The order of the file decides, as it does in PEFT.
    for key, value in patterns.items():
        if re.match(rf"(.*\.)?({key})$", module):
            return value
    return default


def _shortened(value: Any) -> str:
    """A value as text, cut where it is too long for a message."""
    text = str(value)
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 3]}..."
