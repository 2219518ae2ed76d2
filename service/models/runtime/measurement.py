"""The time of repeated runs, and the signs that the machine was busy meanwhile."""

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter, thread_time

MAX_SPREAD = 1.5
"""Times the least by which the median of a quiet machine's runs is larger at most: 1.0 to 1.2 on
one with nothing else to do (2026-12-01, the models of this repository)."""
MIN_CPU_SHARE = 0.9
"""Share of the time that a thread has a core for on a quiet machine. Less: another had it."""


@dataclass(frozen=True)
class Measurement:
    """The median of several runs."""

    us: float
    """Microseconds of one run."""
    quiet: bool = True
    """Whether nothing else disturbed it."""


def measure(
    run: Callable[[], object],
    times: int,
    *,
    computes: bool = True,
    clock: Callable[[], float] = perf_counter,
    cpu_clock: Callable[[], float] = thread_time,
) -> Measurement:
    """Return the median time of `times` runs on this thread.

    They were disturbed if their times are spread, or if the thread had no core for a part of them;
    the latter says nothing of a run that waits for a GPU, which does not `compute` here. Clocks
    give seconds.
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
