"""Worker slots: the numbers of the workers, known to them and to the parent of them all."""

import time
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog

from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import WORKERS, Metric, SharedCounters

log = structlog.get_logger("foretell")

RESTARTS = Metric(
    "restarts",
    (),
    ("workers",),
    (
        Counter(
            "foretell_worker_restarts_total",
            "Workers that died and were to be replaced",
            ("workers",),
            per_worker=True,
        ),
    ),
)


def release(slots: Sequence[Any], number: int) -> bool:
    """Free the slot of a worker that has died; return whether it had been ready.

    `slots` are blocks of memory for SharedCounters, of all workers.
    """
    counters = SharedCounters(slots, number)
    worker = counters.series(WORKERS).values
    was_ready = bool(worker[1])
    worker[0] = worker[1] = 0
    counters.series(RESTARTS).add(1)
    return was_ready


@dataclass(frozen=True)
class WorkerSlot:
    """One worker's slot among all."""

    number: int
    loaded: MutableSequence[int]
    """For each slot, 1 once a worker in it has loaded every model. Shared by all workers."""
    counters_memory: Sequence[Any] = ()
    """For each slot, the memory in which its worker counts. Shared by all workers."""
    beats: MutableSequence[float] = field(default_factory=lambda: [0.0])
    """For each slot, the time of the monotonic clock at which its event loop last ran; 0: never."""
    replaces: bool = False
    """True if another worker had the slot before."""

    @property
    def announces_address(self) -> bool:
        """True for the one worker that says where all of them listen."""
        return self.number == 0 and not self.replaces

    def beat(self) -> None:
        """Tell the supervisor that this worker's event loop runs."""
        self.beats[self.number] = time.monotonic()

    def mark_ready(self) -> None:
        """Tell all workers that this one has loaded every model."""
        self.loaded[self.number] = 1
        log.info("worker ready", worker=self.number)

    @property
    def missing(self) -> str | None:
        """The count of workers that have loaded every model, in words; None if all have."""
        count = sum(self.loaded)
        return None if count == len(self.loaded) else f"{count} of {len(self.loaded)} are ready"
