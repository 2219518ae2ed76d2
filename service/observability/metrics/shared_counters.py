"""Counters in memory that workers share: each writes in its own slot, any of them adds up all.

A slot is one block of memory. It begins with how many of its bytes are used; records follow, each
a key and some numbers, and none is ever removed. A worker that takes over another's slot goes on
with its records, so that nothing is lost or counted twice when a worker dies. There are no locks
between processes: a slot has one writer, and a number is written at once.

Counting is an addition to a number in memory. prometheus_client's own counters take locks and look
labels up: a microsecond or more each, where a whole request takes a hundred.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress
from threading import Lock
from typing import Any

import structlog

from service.observability.metrics.families import Counter, Gauge, Histogram

log = structlog.get_logger("foretell")

SIZE = 2**20
"""Bytes of a slot: some thousands of records."""
USED = struct.Struct("<Q")
HEAD = struct.Struct("<II")  # bytes of the key, padded to a multiple of eight; numbers

Key = tuple[str, ...]


@dataclass(frozen=True)
class Metric:
    """A kind of record: its name, the labels of each record, and the numbers in it by name.

    `families` say, where it is declared, how Prometheus shows it; the exposition knows it from then
    on. One without families is counted for other readers than Prometheus. Raises ValueError for a
    name that is declared twice, or a family of columns that there are not.
    """

    name: str
    labels: tuple[str, ...]
    columns: tuple[str, ...]
    families: tuple[Counter | Gauge | Histogram, ...] = ()

    def __post_init__(self) -> None:
        if self.name in DECLARED:
            raise ValueError(f"metric {self.name!r}: expected one declaration, got another")
        for family in self.families:
            columns = () if isinstance(family, Histogram) else family.columns
            if unknown := set(columns) - set(self.columns):
                raise ValueError(
                    f"{family.name}: expected columns of {self.columns}, got {sorted(unknown)}"
                )
        DECLARED[self.name] = self


DECLARED: dict[str, Metric] = {}
"""Every metric of the modules that are imported, by its name."""

WORKERS = Metric(
    "workers",
    (),
    ("pid", "ready"),
    (Gauge("foretell_workers_ready", "Workers that have loaded every model", ("ready",)),),
)
"""The worker that has a slot; zeros while there is none."""


class Series:
    """The numbers of one record, where they are in memory."""

    __slots__ = ("lock", "values")

    def __init__(self, values: "memoryview[float]", lock: Any) -> None:
        self.values, self.lock = values, lock

    @classmethod
    def detached(cls, metric: Metric) -> "Series":
        """Return numbers that are in no slot: they are shown nowhere."""
        return cls(memoryview(bytearray(8 * len(metric.columns))).cast("d"), Lock())

    def add(self, *amounts: float) -> None:
        """Add to each number, from any thread."""
        with self.lock:
            for column, amount in enumerate(amounts):
                self.values[column] += amount


class SharedCounters:
    """The records of all slots; this process writes to one of them."""

    def __init__(self, slots: Sequence[Any] = (), mine: int = 0) -> None:
        """Open `slots`, `SIZE` bytes each, shared by all workers, zero at first; write to `mine`.

        Without any, memory of this process is used.
        """
        self._slots = [memoryview(slot).cast("B") for slot in slots or [bytearray(SIZE)]]
        self._mine, self._lock, self._full = self._slots[mine], Lock(), False
        self._series = {key: Series(values, self._lock) for key, values in _records(self._mine)}

    def series(self, metric: Metric, *labels: str) -> Series:
        """Return a record of this process, from zero if it is new."""
        key = (metric.name, *labels)
        return self._series.get(key) or self._new(key, len(metric.columns))

    def all_series(self, metric: Metric) -> dict[Key, Series]:
        """Return the records of this process, by their labels."""
        with self._lock:
            return {
                key[1:]: series for key, series in self._series.items() if key[0] == metric.name
            }

    def per_worker(self, metric: Metric) -> list[dict[Key, list[float]]]:
        """Return what each worker has counted, by labels."""
        return [
            {key[1:]: list(values) for key, values in _records(slot) if key[0] == metric.name}
            for slot in self._slots
        ]

    def totals(self, metric: Metric) -> dict[Key, list[float]]:
        """Return what all workers have counted, by labels."""
        return sum_workers(self.per_worker(metric))

    def live_totals(self, metric: Metric) -> dict[Key, list[float]]:
        """Return the same without what workers left behind that died."""
        alive = [() in slot and slot[()][0] for slot in self.per_worker(WORKERS)]
        return sum_workers(compress(self.per_worker(metric), alive))

    def total(self, metric: Metric, *labels: str) -> list[float]:
        """Return the totals of one combination of labels; zeros if nothing was counted."""
        return self.totals(metric).get(labels) or [0.0] * len(metric.columns)

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


def sum_workers(slots: Iterable[dict[Key, list[float]]]) -> dict[Key, list[float]]:
    """Add up what several workers have counted, by labels."""
    sums: dict[Key, list[float]] = {}
    for slot in slots:
        for labels, values in slot.items():
            so_far = sums.get(labels)
            sums[labels] = values if so_far is None else _sum(so_far, values)
    return sums


def _used(slot: memoryview) -> int:
    return int(USED.unpack_from(slot)[0]) or USED.size


def _records(slot: memoryview) -> Iterator[tuple[Key, "memoryview[float]"]]:
    at, end = USED.size, _used(slot)
    while at < end:
        length, columns = HEAD.unpack_from(slot, at)
        at += HEAD.size
        key = tuple(json.loads(bytes(slot[at : at + length])))
        at += length
        yield key, slot[at : at + 8 * columns].cast("d")
        at += 8 * columns


def _sum(some: list[float], others: list[float]) -> list[float]:
    return [one + other for one, other in zip(some, others, strict=True)]
