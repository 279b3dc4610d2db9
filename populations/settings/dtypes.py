"""The number type of a resident model, and whether its device computes in it.

A processor without arithmetic for bfloat16 or float16 emulates it, several times slower than it
computes in float32. Nothing fails; the run just takes a day instead of three hours.
"""

from __future__ import annotations

import logging
from typing import Literal

import torch

log = logging.getLogger(__name__)

Dtype = Literal["auto", "native", "float32", "bfloat16", "float16"]

FEATURES = {
    torch.bfloat16: ("avx512_bw", "avx_ne_convert", "bf16"),
    torch.float16: ("avx512_fp16", "amx_fp16", "avx_ne_convert", "fp16_arith"),
}
"""What a processor has, by torch's names, that computes in a type: any one of these is enough.

With AVX-512 and no instruction for bfloat16, oneDNN converts blocks of it on the way, which takes
little beside the multiplication.
"""


def resident_dtype(dtype: Dtype, seeds: torch.dtype, device: str) -> torch.dtype:
    """The type that a resident model has.

    Args:
        dtype: the setting. "auto" is the seeds' type. "native" is that too, and float32 where the
            device would emulate it.
        seeds: the first seed's type.
        device: where the model runs.
    """
    own = seeds if dtype in ("auto", "native") else getattr(torch, dtype)
    if computes_in(own, device):
        return own
    name = str(own).removeprefix("torch.")
    if dtype == "native":
        log.info("dtype: float32, since this processor has no arithmetic for %s", name)
        return torch.float32
    log.warning(
        "dtype: this processor has no arithmetic for %s, and emulates it several times slower than "
        "float32; `dtype: native` takes float32 here, and %s where there is arithmetic for it",
        name,
        name,
    )
    return own


def computes_in(dtype: torch.dtype, device: str) -> bool:
    """Whether a device has arithmetic for a number type, as far as torch tells.

    Args:
        dtype: the type.
        device: as torch names it.
    """
    if dtype not in FEATURES:
        return True
    kind = torch.device(device).type
    if kind == "cuda" and dtype == torch.bfloat16:
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older versions of torch do not tell, so nothing is said against their processor.
    if kind != "cpu" or not hasattr(torch.cpu, "get_capabilities"):
        return True
    there = torch.cpu.get_capabilities()
    return any(there.get(feature, False) for feature in FEATURES[dtype])
