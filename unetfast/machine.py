"""What of this machine the process may use: under a batch system or in a container mostly not all of it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

__all__ = ["available_cores", "available_memory"]

_GROUPS = Path("/sys/fs/cgroup")


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@lru_cache(maxsize=1)  # asked of every photo; a limit that changes meanwhile must not change how it is done
def available_memory() -> int | None:
    """Return how many bytes this process may use: the machine's memory, or less where its group is limited.

    Returns
    -------
    int or None
        None where the system does not say.
    """
    try:
        installed = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return min([installed, *_limits(_GROUPS, Path("/proc/self/cgroup"))])


def _limits(mounted: Path, member: Path) -> list[int]:
    """Return the limits of this process's groups and of those around them (Linux, cgroups 2 and 1)."""
    try:
        lines = member.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:  # "0::/slurm/job_7", or of cgroups 1 "5:cpu,memory:/slurm/job_7"
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = mounted / "memory" if controllers else mounted
        inside = Path(path.lstrip("/"))
        for group in (inside, *inside.parents):
            file = top / group / ("memory.limit_in_bytes" if controllers else "memory.max")
            try:
                limits.append(int(file.read_text(encoding="ascii")))
            except (OSError, ValueError):  # not there, as within a container; or "max"
                continue
    return limits
