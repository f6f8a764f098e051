"""CPU cores and memory available to this process, within its affinity and control groups.

Sources: Linux, Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst; Documentation/scheduler/
sched-bwc.rst; Documentation/filesystems/proc.rst (MemAvailable).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import torch

ROOT = Path("/")
_UNKNOWN = 2 << 30  # bytes assumed free if the system reports nothing


def limit_threads(threads: int = 0) -> int:
    """Set the number of torch threads; 0 means the available cores, or the number set in the environment.

    torch counts the cores of the machine or of the affinity, ignoring the quota of a container. This changes the whole
    process, so the command line calls it and the library never does.

    Returns:
        The number of threads that torch now uses.
    """
    if threads or "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(threads or usable_cores())
    return torch.get_num_threads()


def usable_cores(root: Path = ROOT) -> int:
    """Number of cores allowed by the affinity of this process and the quota of its control groups, at least 1."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [int(quota) for quota in _quotas(root)]
    return max(1, min([affinity, *quotas]))


def free_memory(root: Path = ROOT) -> int:
    """Memory in bytes that this process can still allocate, given the system and its control groups."""
    available = [line for line in _lines(root / "proc/meminfo") if line.startswith("MemAvailable:")]
    left = [*_left_in_groups(root), *(int(line.split()[1]) * 1024 for line in available)]
    if left:
        return max(0, min(left))
    try:  # systems other than Linux report total memory only
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return _UNKNOWN


def free_on_gpu(device: torch.device) -> int:
    """Bytes that this process can still allocate on a GPU: free memory plus torch's unused cache."""
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return torch.cuda.mem_get_info(device)[0] + kept


def _quotas(root: Path) -> Iterator[float]:
    """Core quota of each control group of this process and its ancestors."""
    for group in _groups(root, "cpu"):
        both = (_lines(group / "cpu.max") or [""])[0].split()
        if not both:
            both = [line for name in ("quota", "period") for line in _lines(group / f"cpu.cfs_{name}_us")]
        if len(both) == 2 and both[0] not in ("max", "-1"):
            yield int(both[0]) / int(both[1])


def _left_in_groups(root: Path) -> Iterator[int]:
    """Bytes left in each control group of this process and its ancestors, including droppable file cache."""
    names = (
        ("memory.max", "memory.current", "inactive_file "),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "),
    )
    for group in _groups(root, "memory"):
        for limit, used, droppable in names:
            numbers = [*_lines(group / limit), *_lines(group / used)]
            if len(numbers) == 2 and numbers[0] != "max":
                stat = [line for line in _lines(group / "memory.stat") if line.startswith(droppable)]
                yield int(numbers[0]) - int(numbers[1]) + sum(int(line.split()[1]) for line in stat)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's control groups and their ancestors, for cgroup v2 and v1."""
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        top = root / "sys/fs/cgroup" / (controller if controllers else "")
        inside = top / path.lstrip("/")
        yield from (folder for folder in (inside, *inside.parents) if folder.is_relative_to(top) and folder.is_dir())


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
