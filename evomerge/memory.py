"""Memory: what this process has had of it, and what there is."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil

CGROUPS = Path("/sys/fs/cgroup")
"""Where Linux says what a container, or a job of Slurm, may have and has."""

MINE = Path("/proc/self/cgroup")
"""Where it says in which of them this process is."""

LIMITS = {"memory.max": "memory.current", "memory.limit_in_bytes": "memory.usage_in_bytes"}
"""The files for both, in version 2 and 1."""

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
    return sum(
        torch.cuda.max_memory_reserved(device) for device in range(torch.cuda.device_count())
    )


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
    return sum(
        torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_reserved(device)
        for device in devices
    )


def _left_in_containers() -> list[int]:
    """Bytes that are left in each container around this process; what files take there is left, too."""
    left = []
    for folder in _containers():
        for limit, usage in LIMITS.items():
            with suppress(OSError, ValueError):  # not there, or "max"
                most, used = int((folder / limit).read_text()), int((folder / usage).read_text())
                stat = dict(
                    line.split() for line in (folder / "memory.stat").read_text().splitlines()
                )
                files = int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))
                left.append(max(most - used + files, 0))
    return left or [sys.maxsize]


def _containers() -> list[Path]:
    """The folders of the groups that this process is in, and of those around them."""
    found = [CGROUPS, CGROUPS / "memory"]
    with suppress(OSError):
        for line in MINE.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                place = CGROUPS / controllers / path.lstrip("/")
                found += [place, *place.parents]
    return list(dict.fromkeys(folder for folder in found if folder.is_relative_to(CGROUPS)))
