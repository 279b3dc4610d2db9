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
"""Where Linux says what a process has had since its program began."""


def peak() -> int:
    """Most bytes that this process has had in memory so far; some 30 µs."""
    # The system call below counts what the parent had before a fork, too, so it is asked last.
    with suppress(OSError):
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts bytes, Linux kilobytes.
    if sys.platform == "darwin":
        return most
    return 1024 * most


def gpu_peak() -> int:
    """Most bytes that this process has had on GPUs so far; 0 where it uses none."""
    # A process that has not imported torch has used no GPU, and need not import it for this.
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return 0
    most = 0
    for device in range(torch.cuda.device_count()):
        most += torch.cuda.max_memory_reserved(device)
    return most


def room() -> int:
    """Bytes that this process may have in all: what it has, and what is free."""
    return psutil.Process().memory_info().rss + free()


def free() -> int:
    """Bytes that the machine has left, or the container that this process is in."""
    return min(psutil.virtual_memory().available, *_left_in_containers())


def gpu_room() -> int:
    """Bytes that this process may have on GPUs in all; 0 where there is none."""
    import torch

    if not torch.cuda.is_available():
        return 0
    total = 0
    for device in range(torch.cuda.device_count()):
        free, _ = torch.cuda.mem_get_info(device)
        total += free + torch.cuda.memory_reserved(device)
    return total


def _left_in_containers() -> list[int]:
    """Bytes that are left in each container around this process."""
    left = []
    for folder in _containers():
        for limit_file, usage_file in LIMITS.items():
            # A file may not be there, and a limit may be the word "max".
            with suppress(OSError, ValueError):
                limit = int((folder / limit_file).read_text())
                usage = int((folder / usage_file).read_text())
                # The cache of files counts as used, but is given up where memory is short.
                left.append(max(limit - usage + _cached_files(folder), 0))
    return left or [sys.maxsize]


def _cached_files(folder: Path) -> int:
    """Bytes of files that a container has in memory and has not used lately.

    Raises:
        OSError, ValueError: if the system does not say so.
    """
    stat = {}
    for line in (folder / "memory.stat").read_text().splitlines():
        key, value = line.split()
        stat[key] = value
    return int(stat.get("total_inactive_file", stat.get("inactive_file", 0)))


def _containers() -> list[Path]:
    """The folders of the groups that this process is in, and of those around them."""
    folders = [CGROUPS, CGROUPS / "memory"]
    with suppress(OSError):
        for line in MINE.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            # Version 2 names no controller, version 1 has a hierarchy for memory alone.
            if controllers in ("", "memory"):
                place = CGROUPS / controllers / path.lstrip("/")
                folders += [place, *place.parents]
    # The same folder may be named twice; its order is kept.
    return [folder for folder in dict.fromkeys(folders) if folder.is_relative_to(CGROUPS)]
