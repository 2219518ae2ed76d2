"""Which worker has which place, and how many had it before: also for the parent of all of them."""

from collections.abc import Sequence
from typing import Any

from service.observability.metrics.shared_counters import Board, Kind

WORKERS = Kind("workers", (), ("pid", "ready"))
"""Zeros while nobody has the place."""
RESTARTS = Kind("restarts", (), ("workers",))


def vacate(places: Sequence[Any], number: int) -> bool:
    """Write down that a worker has died, before it has a successor: whether it had been ready."""
    board = Board(places, number)
    left = board.row(WORKERS).values
    was_ready = bool(left[1])
    left[0] = left[1] = 0
    board.row(RESTARTS).add(1)
    return was_ready
