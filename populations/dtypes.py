"""The number type of a resident model, and whether its device computes in it.

A processor without arithmetic for bfloat16 or float16 emulates it, several times slower than it
computes in float32. Nothing fails; the run just takes a day instead of three hours.
"""

from __future__ import annotations

import logging
import platform
from typing import Literal

import torch

log = logging.getLogger(__name__)

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Half = Literal["bfloat16", "float16"]

FEATURES = {
    torch.bfloat16: ("avx512_bw", "avx_ne_convert", "bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "avx_ne_convert", "fp16_arith"),
}
"""What a processor has, by torch's names, that computes in a type: any one of these is enough.

With AVX-512 and no instruction for bfloat16, oneDNN converts blocks of it on the way, which takes
little beside the multiplication.
"""

X86 = ("x86_64", "amd64")
"""What Python calls the machines on which AVX can be missing."""


def native(dtype: Half = "bfloat16") -> Dtype:
    """A type of 16 bits where the processor computes in it, and float32 where it would emulate it.

    It is decided once, when a config is read, and the run's config.yaml has what it came to: every
    worker has that type, and so has a run that goes on elsewhere. On a GPU it is the type.

        dtype: {_target_: populations.dtypes.native}

    Args:
        dtype: the type.
    """
    if torch.cuda.is_available() or computes_in(getattr(torch, dtype)):
        return dtype
    log.info("dtype: float32, since this processor has no arithmetic for %s", dtype)
    return "float32"


def computes_in(dtype: torch.dtype) -> bool:
    """Whether this processor has arithmetic for a number type, as far as torch tells.

    Args:
        dtype: the type.
    """
    if dtype not in FEATURES:
        return True
    if hasattr(torch.cpu, "get_capabilities"):
        there = torch.cpu.get_capabilities()
        return any(there.get(feature, False) for feature in FEATURES[dtype])
    # Older versions of torch tell the widest vectors alone.
    if platform.machine().lower() not in X86:
        return True
    return dtype == torch.bfloat16 and torch.backends.cpu.get_cpu_capability() == "AVX512"


def warn_if_emulated(dtype: torch.dtype, device: str) -> None:
    """Logs a warning where a model would be asked in a type that its processor emulates.

    Args:
        dtype: the model's type.
        device: where it runs, as torch names it.
    """
    if torch.device(device).type != "cpu" or computes_in(dtype):
        return
    log.warning(
        "dtype: this processor has no arithmetic for %s, and emulates it several times slower than "
        "it computes in float32; dtype=float32 does that",
        str(dtype).removeprefix("torch."),
    )
