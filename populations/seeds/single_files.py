"""Files that hold a whole model, or an addition to one: what they are, and why they are no seed.

The names of the tensors tell what a file is.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from populations.seeds.checkpoints import PICKLES
from populations.seeds.safetensors_headers import read_header

SUFFIXES = (".safetensors", ".gguf", *(pattern[1:] for pattern in PICKLES))
"""How such files end."""

START = 1 << 24
"""Bytes of a pickled file that are looked at: its names come first."""

CONVERT = (
    "single-file checkpoints are not bred yet; write it as a folder with diffusers: "
    "StableDiffusionXLPipeline.from_single_file(FILE).save_pretrained(FOLDER), "
    "or the class of its own pipeline"
)
MERGE = (
    "additions to a model are not bred here; load it into its base's pipeline, fuse_lora(), "
    "and save_pretrained(FOLDER)"
)
BASE = "expected a whole pipeline, or a folder with the denoiser of one"

# The first pattern that fits counts, so additions come before what they add to.
KINDS = (
    (
        r"lora_(unet|te\d?|transformer)_|\.lora_(A|B|up|down|magnitude)|\.hada_w|\.lokr_w",
        "a LoRA adapter",
        MERGE,
    ),
    (r"control_model\.|controlnet_|input_hint_block", "a ControlNet", BASE),
    (r"image_proj\.|ip_adapter\.", "an IP-Adapter", BASE),
    (r"emb_params|string_to_param|clip_[lg]$", "a textual inversion, a word's embedding", BASE),
    (r"double_blocks\.", "a single-file checkpoint (Flux)", CONVERT),
    (r"joint_blocks\.", "a single-file checkpoint (Stable Diffusion 3)", CONVERT),
    (r"conditioner\.embedders\.", "a single-file checkpoint (Stable Diffusion XL)", CONVERT),
    (r"cond_stage_model\.", "a single-file checkpoint (Stable Diffusion 1 or 2)", CONVERT),
    (r"model\.diffusion_model\.", "a single-file checkpoint (a denoiser alone)", CONVERT),
    (r"(input|output)_blocks\.\d", "a single-file checkpoint (a U-Net alone)", CONVERT),
    (
        r"first_stage_model\.|(en|de)coder\.(down|up)\.\d|(en|de)coder\.(down|up)_blocks\.",
        "a VAE alone",
        BASE,
    ),
    (r"text_model\.encoder\.|encoder\.block\.\d", "a text encoder alone", BASE),
    (
        r"(down|up)_blocks\.\d|transformer_blocks\.\d",
        "the weights of a denoiser without a config",
        BASE,
    ),
)
"""Patterns of names in a file, what that is, and what to do with it."""


def lone_file(folder: Path) -> Path | None:
    """The file that a folder is there for, if the folder has no model in parts.

    A model in parts has an index, or a folder for a component.
    """
    if any(folder.glob("model_index.json")) or any(folder.glob("*/config.json")):
        return None
    # Small files beside the model may be additions to it.
    files = [path for path in folder.iterdir() if path.suffix in SUFFIXES and path.is_file()]
    return max(files, key=lambda path: path.stat().st_size, default=None)


def refusal(file: Path) -> str:
    """Why a file cannot be a seed: what it is, and what can be done.

    Raises:
        ValueError: if it is no whole safetensors file.
    """
    if file.suffix == ".gguf":
        return f"{file} is a GGUF file, whose weights are quantized; {BASE}"
    config = file.parent / "config.json"
    # The folder of a component, given in the place of its pipeline's.
    if config.is_file() and file.stem.startswith("diffusion_pytorch_model"):
        return (
            f"{file.parent} is one component by itself; "
            "expected a folder that has it in a folder of its name, as unet/"
        )
    kind, advice = kind_of(_names_in(file))
    pickled = "" if file.suffix == ".safetensors" else ", pickled"
    return f"{file} is {kind}{pickled}: {advice}"


def kind_of(names: Sequence[str]) -> tuple[str, str]:
    """What a file with tensors of these names is, and what to do with it."""
    for pattern, kind, advice in KINDS:
        if _matches_any(pattern, names):
            return kind, advice
    few = ", ".join(names[:3]) or "none"
    return f"a file of tensors of no kind that is known here ({few})", BASE


def _matches_any(pattern: str, names: Iterable[str]) -> bool:
    """Whether a pattern is in one of some names."""
    return any(re.search(pattern, name) for name in names)


def _names_in(file: Path) -> list[str]:
    """The names of a file's tensors; of a pickled file the words in it, since it is not loaded."""
    if file.suffix == ".safetensors":
        return list(read_header(file))
    content = b""
    if zipfile.is_zipfile(file):
        # torch writes an archive, with the names in one pickle and the numbers beside it.
        with zipfile.ZipFile(file) as archive:
            for name in archive.namelist():
                if name.endswith("data.pkl"):
                    content += archive.read(name)
    else:
        with file.open("rb") as stream:
            content = stream.read(START)
    return [word.decode() for word in re.findall(rb"[\w.]{6,}", content)]
