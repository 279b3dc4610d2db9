"""Random drops that are the same for all children: they come from a seed and a tensor's name."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch


@contextmanager
def seeded_drops(seed: int, tensor: str | None, inputs: Sequence[torch.Tensor]) -> Iterator[None]:
    """What is drawn inside comes from the seed and the tensor's name.

    The random state of before comes back.

    Args:
        seed: the method's.
        tensor: the tensor's name.
        inputs: what is drawn for, whose devices have a random state each.
    """
    # torch takes 63 bits. A hash of the name is the same in every process, unlike Python's own.
    digest = hashlib.sha256(f"{seed} {tensor}".encode()).digest()
    number = int.from_bytes(digest[:8], "little") >> 1
    gpus = sorted({tensor.device.index for tensor in inputs if tensor.device.type == "cuda"})
    with torch.random.fork_rng(devices=gpus):
        torch.default_generator.manual_seed(number)
        for gpu in gpus:
            with torch.cuda.device(gpu):
                torch.cuda.manual_seed(number)
        yield
