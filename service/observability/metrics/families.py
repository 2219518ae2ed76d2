"""Prometheus' families, as a metric declares them: https://prometheus.io/docs/practices/naming/.

Plain data: `exposition.py` makes Prometheus' objects of it, so that prometheus_client is imported
by the first scrape and not at start.
"""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Family:
    """A counter or gauge that is made of `columns` of a metric.

    Without `by`, a sample is their sum. With `by`, the name of one more label, each column has a
    sample of its own; `values` name the columns in that label, by default with their own names.
    """

    name: str
    help: str
    columns: tuple[str, ...]
    by: str | None = None
    values: tuple[str, ...] = ()

    @property
    def parts(self) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
        """The additional label values of each sample of a record, and the columns it sums up."""
        if self.by is None:
            return [((), self.columns)]
        values = self.values or self.columns
        return [((value,), (name,)) for value, name in zip(values, self.columns, strict=True)]


@dataclass(frozen=True)
class Counter(Family):
    """A total since the service began; what workers counted that have died stays in it."""

    divisor: float = 1
    """The divisor of the count for Prometheus: 1e9 makes seconds of nanoseconds."""
    per_worker: bool = False
    """Each worker slot has a sample, with its number in the label `worker`."""


@dataclass(frozen=True)
class Gauge(Family):
    """A value as it is now, the sum of all workers that live."""

    skip_zeros: bool = False
    """A sample is left out while it is 0."""


@dataclass(frozen=True)
class Histogram:
    """A histogram: a column for each bucket up to one of `bounds`, one for the rest, the sum last.

    Records that differ in the last of the metric's labels alone are added up.
    """

    name: str
    help: str
    bounds: tuple[float, ...]


@dataclass(frozen=True)
class GaugeReading:
    """A gauge that nobody counts: its owner reads it off live objects for each scrape."""

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Iterable[tuple[tuple[str, ...], float]]
    """The values of the labels, and the number."""
