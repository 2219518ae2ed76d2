"""Limits of a model's queue and of the machine. Imports nothing slow, as settings import it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal

BatchingMode = Literal["auto", "on", "off"]

MAX_BATCH_SIZE = 1024
"""Rows of the largest batch that can be set."""


MOST_PICTURE_BYTES = 272 * 2**20
"""Memory for one picture, where the machine or its container has enough: for 50 megapixels."""
PICTURES_SHARE = 3 / 8
"""Part of the memory that is for the pictures in all decoder processes together."""


@dataclass(frozen=True)
class QueueLimits:
    """Limits of the queue of one version of a model, in one process, and of its batches."""

    rows: int = 1024
    """Rows that may wait; a call beyond them is refused, unless no other waits."""
    seconds: float = 5.0
    """Longest that a call waits; then it is refused."""
    delay: float = 0.0
    """Seconds that the first call of a batch waits for others."""
    mode: BatchingMode = "auto"
    """`auto`: rows are batched where that was measured to be faster."""
    batch_sizes: tuple[int, ...] = ()
    """Rows of a batch, ascending from 1; empty: those that were measured to be quick enough."""


def parse_batch_sizes(text: str) -> tuple[int, ...]:
    """Return the sizes of batches that a setting lists, such as `1,2,4,8`. Raises ValueError."""
    sizes = [int(part) for part in text.split(",") if part.isascii() and part.isdigit()]
    ascending = all(one < other for one, other in pairwise(sizes))
    if (
        len(sizes) <= text.count(",")
        or sizes[0] != 1
        or sizes[-1] > MAX_BATCH_SIZE
        or not ascending
    ):
        raise ValueError(
            f"ascending whole numbers, from 1 to at most {MAX_BATCH_SIZE}, such as 1,2,4,8,16"
        )
    return tuple(sizes)


def available_cores() -> int:
    """Return how many cores this process may use, at least 1.

    That is the smaller of its CPU affinity and its container's CPU quota, rounded down: a process
    more than the quota pays for would only be throttled.
    """
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    quota = cpu_quota(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return cores if quota is None else max(1, min(cores, int(quota)))


def available_memory() -> int:
    """Return the bytes of memory that this process may use: its container's, or the machine's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    limit = memory_limit(Path("/proc/self/cgroup"), Path("/sys/fs/cgroup"))
    return machine if limit is None else min(machine, limit)


def memory_limit(membership: Path, mount: Path) -> int | None:
    """Return the memory limit of a process in bytes, or None without one.

    Arguments as for `cpu_quota`. Read are `memory.max` (v2) or `memory.limit_in_bytes` (v1).
    """
    limits = [
        int(word)
        for folder, v1 in _cgroups(membership, mount, "memory")
        for word in _lines(folder / ("memory.limit_in_bytes" if v1 else "memory.max"))
        if word != "max"
    ]
    return min(limits, default=None)


def cpu_quota(membership: Path, mount: Path) -> float | None:
    """Return the CPU quota of a process in cores, or None without one.

    `membership` is its /proc/PID/cgroup, `mount` the folder of cgroups. Read are `cpu.max` (v2) or
    `cpu.cfs_quota_us` and `cpu.cfs_period_us` (v1), of its cgroup and of those around it. Inside a
    container the path may be that of the host: then only the cgroup at `mount` is found.
    """
    quotas = []
    for folder, v1 in _cgroups(membership, mount, "cpu"):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if v1 else ("cpu.max",)
        values = [word for name in names for line in _lines(folder / name) for word in line.split()]
        if len(values) == 2 and values[0] not in ("max", "-1"):
            quotas.append(int(values[0]) / int(values[1]))
    return min(quotas, default=None)


def _cgroups(membership: Path, mount: Path, controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folder of a process's cgroup and those around it; True for those of version 1."""
    for line in _lines(membership):
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        root = mount / controller if controllers else mount
        group = Path(path.lstrip("/"))
        for folder in (root / group, *(root / parent for parent in group.parents)):
            yield folder, bool(controllers)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
