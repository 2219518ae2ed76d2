"""Limits of a model's queue, in a module of their own so that settings import nothing slow."""

import os
from dataclasses import dataclass
from typing import Literal

BatchingMode = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class QueueLimits:
    """The limits of the queue of one version of a model, in one process."""

    rows: int = 1024
    """Most rows that wait; a call beyond them is refused, unless the queue is empty."""
    seconds: float = 5.0
    """Longest that a call waits; then it is refused."""
    delay: float = 0.0
    """Seconds that the first call of a batch waits for others."""
    mode: BatchingMode = "auto"
    """Dynamic batching. `auto`: where it was measured to be faster."""


def available_cores() -> int:
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
