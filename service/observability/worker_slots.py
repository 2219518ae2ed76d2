"""Which worker has which place, and how many had it before: also for the parent of all of them."""

from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from service.observability.metrics.shared_counters import Metric, SharedCounters

log = structlog.get_logger("foretell")

WORKERS = Metric("workers", (), ("pid", "ready"))
"""Zeros while nobody has the place."""
RESTARTS = Metric("restarts", (), ("workers",))


def release(places: Sequence[Any], number: int) -> bool:
    """Write down that a worker has died, before it has a successor: whether it had been ready."""
    counters = SharedCounters(places, number)
    left = counters.series(WORKERS).values
    was_ready = bool(left[1])
    left[0] = left[1] = 0
    counters.series(RESTARTS).add(1)
    return was_ready


@dataclass(frozen=True)
class WorkerSlot:
    """One worker's place among all."""

    number: int
    loaded: MutableSequence[int]
    """Shared by all: for each place, 1 once a worker there has loaded every model."""
    counters_memory: Sequence[Any] = ()
    """Shared by all: for each place, the memory in which a worker there counts."""
    replaces: bool = False
    """Whether another worker had the place before."""

    @property
    def announces_address(self) -> bool:
        """Whether this worker is the one that says where all of them listen."""
        return self.number == 0 and not self.replaces

    def mark_ready(self) -> None:
        """This worker has loaded every model."""
        self.loaded[self.number] = 1
        log.info("worker ready", worker=self.number)

    @property
    def missing(self) -> str | None:
        """Which workers have not loaded every model since the service began, in words."""
        count = sum(self.loaded)
        return None if count == len(self.loaded) else f"{count} of {len(self.loaded)} are ready"
