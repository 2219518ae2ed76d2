"""The time of repeated runs, and the signs that the machine was busy meanwhile."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, thread_time

MAX_SPREAD = 1.5
"""Largest ratio of the median to the least time on a quiet machine: 1.00 to 1.25 for undisturbed
runs of this repository's models, up to 2.1 at a load of 10 on 2 cores (2026-12-01)."""
MIN_CPU_SHARE = 0.9
"""Least share of the time for which a thread has a core on a quiet machine: 0.97 to 1.00 for
undisturbed runs, 0.1 to 0.6 for most at a load of 10 on 2 cores (2026-12-01)."""


@dataclass(frozen=True)
class Measurement:
    """The median time of several runs."""

    us: float
    """Microseconds of one run."""
    quiet: bool = True
    """True if the machine did nothing else meanwhile, as far as the runs show."""


def measure(
    run: Callable[[], object],
    times: int,
    *,
    computes: bool = True,
    clock: Callable[[], float] = perf_counter,
    cpu_clock: Callable[[], float] = thread_time,
) -> Measurement:
    """Return the median time of `times` runs on this thread.

    The machine was busy if their times are spread, or if the thread had no core for a part of the
    time; a run that waits for a GPU does not `compute` on a core, so that only the spread counts.
    The clocks give seconds.
    """
    taken = []
    began, cpu_began = clock(), cpu_clock()
    for _ in range(times):
        start = clock()
        run()
        taken.append(clock() - start)
    cpu_share = (cpu_clock() - cpu_began) / max(clock() - began, 1e-9)
    median = statistics.median(taken)
    steady = median <= MAX_SPREAD * min(taken)
    return Measurement(median * 1e6, steady and (not computes or cpu_share >= MIN_CPU_SHARE))
