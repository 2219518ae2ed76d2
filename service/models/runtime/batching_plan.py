"""Whether callers of a model share its runs: measured when it is loaded. `batcher.py` does it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.models.runtime.session import CPU, OnnxSession
from service.settings.limits import BatchingMode, available_cores

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Rows of a run; of several sizes, so that on CUDA little of a batch is padding."""
REFERENCE_BATCH = 16
"""Rows that wait in a busy service, by which it is decided."""
MIN_SPEEDUP = 1.3
"""By how much a row in company has to be cheaper than alone.

Less is lost again where few come at once, and is within what a busy machine measures wrongly.
"""
BATCHING_OVERHEAD_US = 5.0
"""What sharing a run on the event loop costs a row, as `benchmarks/batching.py` measures it."""
MAX_BATCH_US = 50_000.0
"""A run on a thread takes no longer than this, because all who come meanwhile wait for it."""


@dataclass(frozen=True)
class BatchingPlan:
    """Whether callers of a model share runs, and why."""

    on: bool = False
    buckets: tuple[int, ...] = (1,)
    """Rows that the session was warmed up with, ascending; the last is the most of one run."""
    speedup: float = 1.0
    """How many times cheaper a row is among USUAL of them, or as many as the buckets allow."""
    on_loop: bool = True
    """Whether shared runs are on the event loop, else on a thread."""


def plan_batching(
    session: OnnxSession, row: NDArray[Any], row_us: float, inline_us: float, mode: BatchingMode
) -> BatchingPlan:
    """Run every size that is quick enough, and decide; `row_us` is the time of one row alone.

    Models that answer a row within `inline_us` run on the event loop, for no longer than that at
    once. Not on CUDA: there a run is waiting, not work, and the loop reads on meanwhile.
    """
    on_loop = session.provider == CPU and row_us <= inline_us
    longest, handover = (inline_us, BATCHING_OVERHEAD_US) if on_loop else (MAX_BATCH_US, 0.0)
    # Alone, the rows of a model that runs on threads use every core; a shared run uses one.
    side_by_side = available_cores() if session.provider == CPU and not on_loop else 1
    buckets, pays = [1], 1.0
    for size in BATCH_SIZES[1:] if mode != "off" else ():
        batch_us = session.batch_us(np.stack([row] * size))
        if batch_us > longest:
            break
        buckets.append(size)
        if size <= REFERENCE_BATCH:
            pays = row_us / side_by_side / (batch_us / size + handover)
    on = mode == "on" or (mode == "auto" and pays >= MIN_SPEEDUP)
    return BatchingPlan(on, tuple(buckets) if on else (1,), pays, on_loop)
