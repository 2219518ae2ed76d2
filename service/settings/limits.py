"""Limits of a model's queue and of the machine. Imports nothing slow, as settings import it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

BatchingMode = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class QueueLimits:
    """What may wait for one version of a model, in one process."""

    rows: int = 1024
    """Calls with more than these are refused; one that finds nobody waiting is not."""
    seconds: float = 5.0
    """A call that has waited so long is refused."""
    delay: float = 0.0
    """Seconds that the first waits for others to come."""
    mode: BatchingMode = "auto"
    """`auto`: runs are shared where that pays."""


def available_cores() -> int:
    """Return how many cores this process may use, at least 1.

    That is the smaller of its CPU affinity and its container's CPU quota, rounded down: a process
    more than the quota pays for would only be throttled.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = cpu_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return cores if quota is None else max(1, min(cores, int(quota)))


def cpu_quota(membership: Path, mount: Path) -> float | None:
    """Return the CPU quota of a process in cores, or None without one.

    `membership` is its /proc/PID/cgroup, `mount` the folder of cgroups. Read are `cpu.max` (v2) or
    `cpu.cfs_quota_us` and `cpu.cfs_period_us` (v1), of its cgroup and of those around it. Inside a
    container the path may be that of the host: then only the cgroup at `mount` is found.
    """
    quotas = []
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = mount / "cpu" if controllers else mount
        group = Path(path.lstrip("/"))
        for folder in (root / group, *(root / parent for parent in group.parents)):
            if controllers:
                files = folder / "cpu.cfs_quota_us", folder / "cpu.cfs_period_us"
                values = [word for file in files for word in _lines(file)]
            else:
                values = [word for line in _lines(folder / "cpu.max") for word in line.split()]
            if len(values) == 2 and values[0] not in ("max", "-1"):
                quotas.append(int(values[0]) / int(values[1]))
    return min(quotas, default=None)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
