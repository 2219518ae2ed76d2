"""The plan of dynamic batching: whether, in which sizes and where, by measurement or by a setting.

`batcher.py` follows it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.models.runtime.session import CPU, OnnxSession
from service.settings.limits import QueueLimits, available_cores

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
"""Rows of a batch that are tried; of several sizes, so that on CUDA little of it is padding."""
REFERENCE_BATCH = 16
"""Rows of the batch by which it is decided: as many as wait in a busy service."""
MIN_SPEEDUP = 1.3
"""Least ratio of the time of a row alone to that of a row in a batch, for batching to be on.

Less is lost again where few calls come at once, and is within the error of a measurement.
"""
BATCHING_OVERHEAD_US = 5.0
"""Microseconds that batching on the event loop costs a row, by `benchmarks/batching.py`."""
MAX_EVENT_LOOP_US = 500.0
"""Longest run on the event loop, in microseconds.

A thread costs 50 to 100 of them, and every other request waits for as long as a run takes there.
"""
MAX_BATCH_US = 50_000.0
"""Longest batch on a thread, in microseconds, for which every call that comes meanwhile waits."""


@dataclass(frozen=True)
class BatchingPlan:
    """The decision whether rows of several calls are computed in one batch, and its reasons."""

    on: bool = False
    buckets: tuple[int, ...] = (1,)
    """Rows that the session was warmed up with, ascending; the last is the most of one batch."""
    speedup: float = 1.0
    """Time of a row alone by that of a row in a batch of REFERENCE_BATCH, or the most below it."""
    on_loop: bool = True
    """True if batches are computed on the event loop, false if on a thread."""
    row_us: float = 0.0
    """Median microseconds of one row alone."""
    quiet: bool = field(default=True, compare=False)
    """False if the machine was busy when this was measured: then sizes are too small, often."""


def plan_batching(session: OnnxSession, row: NDArray[Any], limits: QueueLimits) -> BatchingPlan:
    """Return the plan of a model, from runs of one row and of every size that is quick enough.

    Sizes that the limits name are all taken, however long they run. A model that answers a row
    within MAX_EVENT_LOOP_US runs on the event loop, except on CUDA: there a run is waiting, not
    work, and the loop goes on meanwhile.
    """
    alone = session.measure_row(row)
    on_cpu = session.provider == CPU
    on_loop = on_cpu and alone.us <= MAX_EVENT_LOOP_US
    longest, overhead = (
        (MAX_EVENT_LOOP_US, BATCHING_OVERHEAD_US) if on_loop else (MAX_BATCH_US, 0.0)
    )
    # Alone, the rows of a model that runs on threads use every core; a batch uses one.
    side_by_side = available_cores() if on_cpu and not on_loop else 1
    buckets, speedup, quiet = [1], 1.0, alone.quiet
    sizes = limits.batch_sizes or BATCH_SIZES
    for size in sizes[1:] if limits.mode != "off" else ():
        batch = session.measure_batch(np.stack([row] * size))
        quiet = quiet and batch.quiet
        if batch.us > longest and not limits.batch_sizes:
            break
        buckets.append(size)
        if size <= REFERENCE_BATCH:
            speedup = alone.us / side_by_side / (batch.us / size + overhead)
    on = limits.mode == "on" or (limits.mode == "auto" and speedup >= MIN_SPEEDUP)
    return BatchingPlan(on, tuple(buckets) if on else (1,), speedup, on_loop, alone.us, quiet)
