"""Where the seeds' tensors are kept between births: on the device, in pinned memory, or on disk."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from typing import Literal

import torch

from evomerge import memory

Place = Literal["auto", "device", "pinned", "disk"]
"""What a user can ask for."""

Kept = Literal["device", "pinned", "disk"]
"""Where they are in the end."""

ROOM = 0.7
"""Share of the free memory that seeds may take on a device; generation needs the rest."""


def fitting_place(needed: Mapping[torch.device, int]) -> Kept:
    """The first place, from the fastest on, that has room for all seeds.

    Args:
        needed: bytes by the devices of the resident model's tensors.

    Returns:
        "disk" for a model in the host's memory: the page cache is as fast.
    """
    gpus = [device for device in needed if device.type == "cuda"]
    if not gpus:
        return "disk"
    if all(needed[gpu] < ROOM * torch.cuda.mem_get_info(gpu)[0] for gpu in gpus):
        return "device"
    # Pinned memory is never swapped out, so it has to be free now.
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if sum(needed.values()) < ROOM * free:
        return "pinned"
    return "disk"


def fitting_place_of_made(slots: Iterable[torch.Tensor], count: float) -> Kept:
    """As `fitting_place`, for tensors that are made of the seeds, and that are in no file.

    Args:
        slots: the resident model's tensors, whose devices and types they take.
        count: how many there are for each slot; half of one takes half of its room.

    Returns:
        "disk" where there is no room: there they cannot be, and are made anew each time.
    """
    needed: dict[torch.device, int] = {}
    for slot in slots:
        size = math.ceil(count * slot.numel() * slot.element_size())
        needed[slot.device] = needed.get(slot.device, 0) + size
    if any(device.type == "cuda" for device in needed):
        return fitting_place(needed)
    return "device" if sum(needed.values()) < ROOM * memory.free() else "disk"
