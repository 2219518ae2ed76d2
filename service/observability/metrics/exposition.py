"""What is counted, in Prometheus' words: https://prometheus.io/docs/practices/naming/."""

import platform
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import accumulate, compress

import onnxruntime
from prometheus_client import ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.core import (
    Metric as PrometheusMetric,
)
from prometheus_client.registry import Collector
from starlette.datastructures import State

from service.api.open_inference.statistics import INFERRED
from service.api.state import unready_reasons
from service.api.worker_states import STATES, record_states
from service.bulk.tables.job import BULK_JOBS, BULK_ROWS
from service.images.decoders.pool import DECODER_RESTARTS
from service.models.runtime.batcher import QUEUE, WAITING
from service.models.runtime.session import BATCHES_RUN
from service.models.versions.loader import LOADS
from service.models.versions.registry import ModelRegistry
from service.models.versions.shadow import COMPARED
from service.models.versions.traffic import CANARY_CALLS
from service.observability.metrics.requests import BOUNDS, GRPC, HTTP
from service.observability.metrics.shared_counters import Key, Metric, SharedCounters, sum_workers
from service.observability.worker_slots import RESTARTS, WORKERS

MODEL = ("model", "version")
PARTS = {
    "queue": "queue",
    "input": "compute_input",
    "infer": "compute_infer",
    "output": "compute_output",
}


class PrometheusExposition(Collector):
    """Everything, of all workers, as it is now. `state` is the application's."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._counters: SharedCounters = state.counters

    def collect(self) -> Iterator[PrometheusMetric]:
        """Every family, those without samples too."""
        registry: ModelRegistry = self._state.registry
        record_states(self._counters, registry)
        yield from self._service()
        yield from self._requests(HTTP, "HTTP requests", "route")
        yield from self._requests(GRPC, "gRPC calls", "method")
        yield from self._versions(registry)
        yield from self._computed()
        yield from self._queued()
        yield from self._compared()
        yield from self._portfolios()
        yield from self._inferred()
        yield from self._processes()

    def _service(self) -> Iterator[PrometheusMetric]:
        built = GaugeMetricFamily(
            "foretell_build_info", "1; what runs", labels=("version", "python", "onnxruntime")
        )
        built.add_metric(
            (version("foretell"), platform.python_version(), onnxruntime.__version__), 1
        )
        yield built
        ready = not unready_reasons(self._state)
        yield GaugeMetricFamily("foretell_ready", "1 if /readyz says 200 here", value=ready)
        workers = [place.get((), (0.0, 0.0)) for place in self._counters.per_worker(WORKERS)]
        name, text = "foretell_workers", "Processes that are to answer"
        yield GaugeMetricFamily(name, text, value=len(workers))
        name, text = "foretell_workers_ready", "Of them, those that have loaded every model"
        yield GaugeMetricFamily(name, text, value=sum(ready for _, ready in workers))
        name, text = "foretell_worker_restarts", "Workers that died and were to be replaced"
        died = (
            ((str(number),), place.get((), [0.0])[0])
            for number, place in enumerate(self._counters.per_worker(RESTARTS))
        )
        yield _counter(name, text, ("worker",), died)
        name, text = "foretell_decoder_restarts", "Processes that read pictures and died"
        yield _counter(
            name, text, (), [((), self._counters.totals(DECODER_RESTARTS).get((), [0.0])[0])]
        )

    def _standing(self, kind: Metric) -> dict[Key, list[float]]:
        """Totals of how things stand: without what workers have left behind that died."""
        held = [() in place and place[()][0] for place in self._counters.per_worker(WORKERS)]
        return sum_workers(compress(self._counters.per_worker(kind), held))

    def _requests(self, kind: Metric, what: str, by: str) -> Iterator[PrometheusMetric]:
        rows = self._counters.totals(kind)
        name = f"foretell_{kind.name}_requests"
        counts = ((labels, sum(values[:-1])) for labels, values in rows.items())
        yield _counter(name, f"{what} answered", kind.labels, counts)
        kept = tuple(label for label in kind.labels if label not in ("status", "code"))
        durations = HistogramMetricFamily(
            f"foretell_{kind.name}_request_duration_seconds", f"Time to answer {what}", labels=kept
        )
        merged: dict[Key, list[float]] = {}
        for labels, values in rows.items():
            so_far = merged.get(labels[: len(kept)], [0.0] * len(values))
            merged[labels[: len(kept)]] = [a + b for a, b in zip(so_far, values, strict=True)]
        ends = [*map(str, BOUNDS), "+Inf"]
        for labels, (*buckets, seconds) in merged.items():
            durations.add_metric(labels, list(zip(ends, accumulate(buckets), strict=True)), seconds)
        yield durations

    def _versions(self, registry: ModelRegistry) -> Iterator[PrometheusMetric]:
        states = self._standing(STATES)
        answering = GaugeMetricFamily(
            "foretell_model_default_workers",
            "Workers in which a version answers the calls that name none",
            labels=MODEL,
        )
        standing = GaugeMetricFamily(
            "foretell_model_version_workers",
            "Workers in which a version is in a state",
            labels=(*MODEL, "state"),
        )
        for labels, (answers, *counts) in states.items():
            if answers:
                answering.add_metric(labels, answers)
            for state, count in zip(STATES.columns[1:], counts, strict=True):
                if count:
                    standing.add_metric((*labels, state), count)
        yield answering
        yield standing
        tried = self._counters.totals(LOADS)
        yield _by_column(
            "foretell_model_loads", "Versions loaded, or refused", LOADS, tried, "result"
        )
        info = GaugeMetricFamily(
            "foretell_model_info",
            "1; the versions that answer in the worker that says this",
            labels=(*MODEL, "task", "provider"),
        )
        for name in registry.expected:
            for served in list(registry.versions_of(name).loaded.values()):
                labels = (name, served.card.version, served.task.name, served.session.provider)
                info.add_metric(labels, 1)
        yield info

    def _computed(self) -> Iterator[PrometheusMetric]:
        rows = {
            labels: (runs + singles, rows + singles, seconds + single_seconds)
            for labels, (runs, rows, seconds, singles, single_seconds) in self._counters.totals(
                BATCHES_RUN
            ).items()
        }
        texts = {
            "runs": ("foretell_model_batches", "Runs of a model's graph"),
            "rows": ("foretell_model_rows", "Rows that a model's graph computed"),
            "seconds": ("foretell_model_inference_seconds", "Time in a model's graph"),
        }
        yield from _by_name(BATCHES_RUN, rows, texts)
        shared = {"calls": ("foretell_canary_calls", "Calls of no version while a canary has some")}
        yield from _by_name(CANARY_CALLS, self._counters.totals(CANARY_CALLS), shared)

    def _queued(self) -> Iterator[PrometheusMetric]:
        text = "Calls that left a model's queue unanswered: it was full, they were late, hung up"
        rows = self._counters.totals(QUEUE)
        unanswered = replace(QUEUE, columns=QUEUE.columns[:WAITING])
        ended = {labels: values[:WAITING] for labels, values in rows.items()}
        yield _by_column("foretell_queue_rejected_requests", text, unanswered, ended, "reason")
        text = "Rows that wait for a shared run"
        waiting = GaugeMetricFamily("foretell_queue_rows", text, labels=MODEL)
        for labels, values in self._standing(QUEUE).items():
            waiting.add_metric(labels, values[WAITING])
        yield waiting

    def _compared(self) -> Iterator[PrometheusMetric]:
        texts = {
            "rows": ("foretell_shadow_rows", "Rows that a shadow scored as well"),
            "agreed": ("foretell_shadow_agreed_rows", "Of them, those decided alike"),
            "difference": (
                "foretell_shadow_absolute_difference",
                "Sum over them of the absolute differences of probabilities",
            ),
            "dropped": ("foretell_shadow_dropped_calls", "Calls not compared: too many waited"),
            "failed": ("foretell_shadow_failed_calls", "Calls that a shadow could not score"),
        }
        yield from _by_name(COMPARED, self._counters.totals(COMPARED), texts)

    def _portfolios(self) -> Iterator[PrometheusMetric]:
        rows = self._counters.totals(BULK_ROWS)
        text = "Rows of portfolios that were answered"
        yield _by_column("foretell_bulk_rows", text, BULK_ROWS, rows, "result")
        text = "Portfolios that are being scored"
        value = sum(values[0] for values in self._standing(BULK_JOBS).values())
        yield GaugeMetricFamily("foretell_bulk_jobs_in_progress", text, value=value)

    def _inferred(self) -> Iterator[PrometheusMetric]:
        rows = {
            labels: dict(zip(INFERRED.columns, values, strict=True))
            for labels, values in self._counters.totals(INFERRED).items()
        }
        counts = (
            ((*labels, result), values[f"{column}_count"])
            for labels, values in rows.items()
            for result, column in (("success", "success"), ("failure", "fail"))
        )
        text = "Inferences by the Open Inference Protocol"
        yield _counter("foretell_v2_inferences", text, (*MODEL, "result"), counts)
        seconds = (
            ((*labels, part), values[f"{column}_ns"] / 1e9)
            for labels, values in rows.items()
            for part, column in PARTS.items()
        )
        text = "What they took, in parts: waiting, reading, computing, wording"
        yield _counter("foretell_v2_inference_seconds", text, (*MODEL, "part"), seconds)

    def _processes(self) -> Iterator[PrometheusMetric]:
        families: dict[str, PrometheusMetric] = {}
        for number, place in enumerate(self._counters.per_worker(WORKERS)):
            pid = int(place[()][0]) if () in place else 0
            for family in _process(pid):
                known = families.setdefault(
                    family.name, PrometheusMetric(family.name, family.documentation, family.type)
                )
                for sample in family.samples:
                    known.add_sample(sample.name, {"worker": str(number)}, sample.value)
        yield from families.values()


def _process(pid: int) -> Iterable[PrometheusMetric]:
    return ProcessCollector(pid=lambda: pid, registry=None).collect()


def _counter(
    name: str, text: str, labels: Sequence[str], samples: Iterable[tuple[Key, float]]
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in samples:
        family.add_metric(values, count)
    return family


def _by_name(
    kind: Metric, rows: Mapping[Key, Sequence[float]], texts: Mapping[str, tuple[str, str]]
) -> Iterator[PrometheusMetric]:
    """A counter for each column."""
    for column, (name, text) in texts.items():
        place = kind.columns.index(column)
        samples = ((labels, values[place]) for labels, values in rows.items())
        yield _counter(name, text, kind.labels, samples)


def _by_column(
    name: str, text: str, kind: Metric, rows: Mapping[Key, Sequence[float]], label: str
) -> PrometheusMetric:
    """One counter, with a label that says which column."""
    samples = (
        ((*labels, column), value)
        for labels, values in rows.items()
        for column, value in zip(kind.columns, values, strict=True)
    )
    return _counter(name, text, (*kind.labels, label), samples)
