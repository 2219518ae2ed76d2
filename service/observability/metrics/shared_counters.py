"""Counters in memory that workers share: each writes in its own place, any of them adds up all.

A place is one block of memory. It begins with how many of its bytes are used; records follow, each
a key and some numbers, and none is ever removed. A worker that takes over another's place goes on
with its records, so that nothing is lost or counted twice when a worker dies. There are no locks
between processes: a place has one writer, and a number is written at once.

Counting is an addition to a number in memory. prometheus_client's own counters take locks and look
labels up: a microsecond or more each, where a whole request takes a hundred.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import Any

import structlog

log = structlog.get_logger("foretell")

SIZE = 2**20
"""Bytes of a place: some thousands of records."""
USED = struct.Struct("<Q")
HEAD = struct.Struct("<II")  # bytes of the key, with what fills them up to eights; numbers

Key = tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """What is counted: records of this name, one for each combination of labels."""

    name: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]


class Series:
    """The numbers of one record."""

    __slots__ = ("lock", "values")

    def __init__(self, values: "memoryview[float]", lock: Any) -> None:
        self.values, self.lock = values, lock

    @classmethod
    def detached(cls, kind: Metric) -> "Series":
        """One that is on no board."""
        return cls(memoryview(bytearray(8 * len(kind.columns))).cast("d"), Lock())

    def add(self, *amounts: float) -> None:
        """Add to each number, from any thread."""
        with self.lock:
            for column, amount in enumerate(amounts):
                self.values[column] += amount


class SharedCounters:
    """The records of all places; `mine` is where this process writes."""

    def __init__(self, places: Sequence[Any] = (), mine: int = 0) -> None:
        """Places are blocks of `SIZE` zero bytes, shared by all workers; none: a service of one."""
        self._places = [memoryview(place).cast("B") for place in places or [bytearray(SIZE)]]
        self._mine, self._lock, self._full = self._places[mine], Lock(), False
        self._series = {key: Series(values, self._lock) for key, values in _records(self._mine)}

    def series(self, kind: Metric, *labels: str) -> Series:
        """A record of this process, from zero if it is new."""
        key = (kind.name, *labels)
        return self._series.get(key) or self._new(key, len(kind.columns))

    def all_series(self, kind: Metric) -> dict[Key, Series]:
        """The records of this process, by their labels."""
        with self._lock:
            return {key[1:]: row for key, row in self._series.items() if key[0] == kind.name}

    def per_worker(self, kind: Metric) -> list[dict[Key, list[float]]]:
        """What each worker has counted, by labels."""
        return [
            {key[1:]: list(values) for key, values in _records(place) if key[0] == kind.name}
            for place in self._places
        ]

    def totals(self, kind: Metric) -> dict[Key, list[float]]:
        """What all workers have counted, by labels."""
        return sum_workers(self.per_worker(kind))

    def total(self, kind: Metric, *labels: str) -> list[float]:
        """Of one combination of labels; zeros if nothing was counted."""
        return self.totals(kind).get(labels) or [0.0] * len(kind.columns)

    def _new(self, key: Key, columns: int) -> Series:
        with self._lock:
            if key not in self._series:
                self._series[key] = Series(self._append(key, columns), self._lock)
            return self._series[key]

    def _append(self, key: Key, columns: int) -> "memoryview[float]":
        written = json.dumps(key).encode()
        written += b" " * (-len(written) % 8)
        at = _used(self._mine)
        first = at + HEAD.size + len(written)
        end = first + 8 * columns
        if end > len(self._mine):
            if not self._full:
                log.error("metrics are full", left_out=key, bytes=len(self._mine))
            self._full = True
            return memoryview(bytearray(8 * columns)).cast("d")
        self._mine[first:end] = bytes(8 * columns)
        self._mine[at:first] = HEAD.pack(len(written), columns) + written
        USED.pack_into(self._mine, 0, end)  # only now is it seen
        return self._mine[first:end].cast("d")


def sum_workers(places: Iterable[dict[Key, list[float]]]) -> dict[Key, list[float]]:
    """What several workers have counted, by labels."""
    sums: dict[Key, list[float]] = {}
    for place in places:
        for labels, values in place.items():
            so_far = sums.get(labels)
            sums[labels] = values if so_far is None else _sum(so_far, values)
    return sums


def _used(place: memoryview) -> int:
    return int(USED.unpack_from(place)[0]) or USED.size


def _records(place: memoryview) -> Iterator[tuple[Key, "memoryview[float]"]]:
    at, end = USED.size, _used(place)
    while at < end:
        length, columns = HEAD.unpack_from(place, at)
        at += HEAD.size
        key = tuple(json.loads(bytes(place[at : at + length])))
        at += length
        yield key, place[at : at + 8 * columns].cast("d")
        at += 8 * columns


def _sum(some: list[float], others: list[float]) -> list[float]:
    return [one + other for one, other in zip(some, others, strict=True)]
