"""Everything that is counted, as Prometheus reads it."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate

from prometheus_client import ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.registry import Collector

from service.observability.metrics.families import Counter, Gauge, GaugeReading, Histogram
from service.observability.metrics.shared_counters import (
    DECLARED,
    WORKERS,
    Key,
    Metric,
    SharedCounters,
)

Sample = tuple[Key, float]


class PrometheusExposition(Collector):
    """Every declared family of all workers, as it is now, and the readings of this one."""

    def __init__(
        self,
        counters: SharedCounters,
        read_gauges: Callable[[], Iterable[GaugeReading]] = tuple,
    ) -> None:
        """`read_gauges` gives what is not counted but read off live objects, for each scrape."""
        self._counters, self._read_gauges = counters, read_gauges

    def collect(self) -> Iterator[PrometheusMetric]:
        """Yield every family, those without samples too."""
        for reading in self._read_gauges():
            yield _gauge(reading.name, reading.help, reading.labels, reading.samples)
        for metric in list(DECLARED.values()):
            for family in metric.families:
                match family:
                    case Counter():
                        yield self._counter(metric, family)
                    case Gauge():
                        yield self._standing(metric, family)
                    case Histogram():
                        yield self._histogram(metric, family)
        yield from self._processes()

    def _counter(self, metric: Metric, family: Counter) -> PrometheusMetric:
        labels = (*metric.labels, *([family.by] if family.by else []))
        if family.per_worker:
            labels = (*labels, "worker")
            samples = [
                ((*values, str(number)), count)
                for number, records in enumerate(self._counters.per_worker(metric))
                for values, count in _samples(metric, family, records)
            ]
        else:
            samples = list(_samples(metric, family, self._counters.totals(metric)))
        shown = CounterMetricFamily(family.name, family.help, labels=labels)
        for values, count in samples:
            shown.add_metric(values, count / family.divisor)
        return shown

    def _standing(self, metric: Metric, family: Gauge) -> PrometheusMetric:
        labels = (*metric.labels, *([family.by] if family.by else []))
        samples = _samples(metric, family, self._counters.live_totals(metric))
        kept = ((values, n) for values, n in samples if n or not family.skip_zeros)
        return _gauge(family.name, family.help, labels, kept)

    def _histogram(self, metric: Metric, family: Histogram) -> PrometheusMetric:
        labels = metric.labels[:-1]
        merged: dict[Key, list[float]] = {}
        for values, numbers in self._counters.totals(metric).items():
            so_far = merged.get(values[:-1], [0.0] * len(numbers))
            merged[values[:-1]] = [a + b for a, b in zip(so_far, numbers, strict=True)]
        ends = [*map(str, family.bounds), "+Inf"]
        shown = HistogramMetricFamily(family.name, family.help, labels=labels)
        for values, (*buckets, total) in merged.items():
            shown.add_metric(values, list(zip(ends, accumulate(buckets), strict=True)), total)
        return shown

    def _processes(self) -> Iterator[PrometheusMetric]:
        """Yield the number of workers, and what the system says of the process of each."""
        slots = self._counters.per_worker(WORKERS)
        name, text = "foretell_workers", "Processes that are to answer"
        yield GaugeMetricFamily(name, text, value=len(slots))
        families: dict[str, PrometheusMetric] = {}
        for number, records in enumerate(slots):
            pid = int(records[()][0]) if () in records else 0
            for family in _process(pid):
                known = families.setdefault(
                    family.name, PrometheusMetric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    known.add_sample(sample.name, {"worker": str(number)}, sample.value)
        yield from families.values()


def _process(pid: int) -> Iterable[PrometheusMetric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()


def _samples(
    metric: Metric, family: Counter | Gauge, records: dict[Key, list[float]]
) -> Iterator[Sample]:
    """Yield the samples of one family; a metric without labels has one before it is counted."""
    if not metric.labels and () not in records:
        records = {(): [0.0] * len(metric.columns)}
    for labels, numbers in records.items():
        for more, columns in family.parts:
            summed = sum(numbers[metric.columns.index(column)] for column in columns)
            yield (*labels, *more), summed


def _gauge(
    name: str, text: str, labels: Sequence[str], samples: Iterable[Sample]
) -> GaugeMetricFamily:
    shown = GaugeMetricFamily(name, text, labels=labels)
    for values, number in samples:
        shown.add_metric(values, number)
    return shown
