"""Limits of a model's queue and batches; apart, so that settings import nothing slow."""

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

BatchingMode = Literal["auto", "on", "off"]

MAX_BATCH_SIZE = 1024
"""Rows of the largest batch that can be set."""


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
    """Return the number of cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
