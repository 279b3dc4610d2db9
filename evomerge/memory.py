"""Memory: what this process has had of it, and what there is."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil

CGROUPS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Where Linux says what a container, or a job of Slurm, may have and has: version 2, version 1."""


STATUS = Path("/proc/self/status")
"""Where Linux says what a process has had since its program began; the system call counts its parent's, too."""


def peak() -> int:
    """Most bytes that this process has had in memory so far; some 30 µs."""
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def gpu_peak() -> int:
    """Most bytes that this process has had on GPUs so far; 0 where it uses none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    return sum(torch.cuda.max_memory_reserved(device) for device in range(torch.cuda.device_count()))


def room() -> int:
    """Bytes that this process may have in all: what it has, and what is free, of the machine or of the container that it is in."""
    mine = psutil.Process().memory_info().rss
    return mine + min(psutil.virtual_memory().available, *_left_in_containers())


def gpu_room() -> int:
    """Bytes that this process may have on GPUs in all; 0 where there is none."""
    import torch

    if not torch.cuda.is_available():
        return 0
    devices = range(torch.cuda.device_count())
    return sum(torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device) for device in devices)


def _left_in_containers() -> list[int]:
    left = []
    for limit, usage in CGROUPS:
        try:
            left.append(max(int(Path(limit).read_text()) - int(Path(usage).read_text()), 0))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return left or [sys.maxsize]
