"""What may wait for a model whose runs are shared; apart, so that settings import nothing slow."""

import os
from dataclasses import dataclass
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
    """`auto`: rows are batched where that was measured to be faster."""
    batch_sizes: tuple[int, ...] = ()
    """Rows of a batch, ascending from 1; empty: those that were measured to be quick enough."""


def available_cores() -> int:
    """How many this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
