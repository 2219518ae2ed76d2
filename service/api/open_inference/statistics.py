"""Statistics of each model in all workers since the service started, as the extension defines them.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

import time
from typing import Any

from service.api.open_inference.infer import Timing
from service.models.runtime.loaded import LoadedModel
from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric, Series, SharedCounters

MOST_BATCH_SIZES = 64
"""Sizes counted apart, so that no caller can make the table grow; others are in the sums alone."""

PARTS = ("compute_input", "compute_infer", "compute_output")
DURATIONS = ("success", "fail", "queue", *PARTS)


def _columns(durations: tuple[str, ...]) -> tuple[str, ...]:
    """Return two columns for each duration: a count, and nanoseconds in all."""
    return tuple(f"{name}_{column}" for name in durations for column in ("count", "ns"))


# Executions are runs of the session; calls may share one.
INFERRED = Metric(
    "inferred",
    ("model", "version"),
    ("rows", "executions", *_columns(DURATIONS)),
    (
        Counter(
            "foretell_v2_inferences_total",
            "Inferences by the Open Inference Protocol",
            ("success_count", "fail_count"),
            by="result",
            values=("success", "failure"),
        ),
        Counter(
            "foretell_v2_inference_seconds_total",
            "Time that these inferences took: in the queue, to read, to compute, to write",
            tuple(f"{part}_ns" for part in ("queue", *PARTS)),
            by="part",
            values=("queue", "input", "infer", "output"),
            divisor=1e9,
        ),
    ),
)
LAST = Metric("last", ("model", "version"), ("ms",))
BATCHES = Metric("batches", ("model", "version", "rows"), _columns(PARTS))


class ModelStatistics:
    """The statistics of one version of one model, in this process."""

    def __init__(self, counters: SharedCounters, model: str, version: str) -> None:
        self._counters, self._labels = counters, (model, version)
        self._counts = counters.series(INFERRED, model, version)
        self._last = counters.series(LAST, model, version)
        self._batches: dict[int, Series] = {}

    def succeeded(self, timing: Timing, ns: int) -> None:
        """Count an answer after `ns` nanoseconds; the time that was not work was waiting."""
        work = (1, timing.input, 1, timing.infer, 1, timing.output)
        waited = max(0, ns - timing.input - timing.infer - timing.output)
        size = timing.executed
        self._counts.add(timing.rows, bool(size), 1, ns, 0, 0, 1, waited, *work)
        self._look_at_the_clock()
        if size and (series := self._of_size(size)):
            series.add(*work)

    def failed(self, ns: int) -> None:
        """Count a refusal or failure."""
        self._counts.add(0, 0, 0, 0, 1, ns)
        self._look_at_the_clock()

    def _look_at_the_clock(self) -> None:
        self._last.values[0] = time.time_ns() // 1_000_000

    def _of_size(self, rows: int) -> Series | None:
        """Return the series of a batch size; None for one more than `MOST_BATCH_SIZES`."""
        if rows not in self._batches:
            # REST and gRPC count the same sizes, each with statistics of its own.
            known = self._counters.all_series(BATCHES)
            sizes = [labels for labels in known if labels[:2] == self._labels]
            if len(sizes) >= MOST_BATCH_SIZES and (*self._labels, str(rows)) not in known:
                return None
            self._batches[rows] = self._counters.series(BATCHES, *self._labels, str(rows))
        return self._batches[rows]


class Statistics:
    """The statistics of all models; counted on the event loop only."""

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        self._models: dict[tuple[str, str], ModelStatistics] = {}

    def of(self, served: LoadedModel) -> ModelStatistics:
        """Return the statistics of one version, zeros if it is new."""
        key = served.card.name, served.card.version
        if key not in self._models:
            self._models[key] = ModelStatistics(self._counters, *key)
        return self._models[key]

    def shown(self, served: LoadedModel) -> dict[str, Any]:
        """Return the `$model_stat` of one version. No answer comes from a cache."""
        key = served.card.name, served.card.version
        rows, executions, *counted = self._counters.total(INFERRED, *key)
        shown = _durations(DURATIONS, counted)
        last = [place[key][0] for place in self._counters.per_worker(LAST) if key in place]
        return {
            "name": key[0],
            "version": key[1],
            "last_inference": int(max(last, default=0)),
            "inference_count": int(rows),
            "execution_count": int(executions),
            "inference_stats": shown | _durations(("cache_hit", "cache_miss"), [0.0] * 4),
            "batch_stats": [
                {"batch_size": size} | _durations(PARTS, counted)
                for size, counted in sorted(self._batches(key))
            ],
        }

    def _batches(self, key: tuple[str, str]) -> list[tuple[int, list[float]]]:
        batches = self._counters.totals(BATCHES)
        return [(int(labels[2]), values) for labels, values in batches.items() if labels[:2] == key]


def _durations(names: tuple[str, ...], values: list[float]) -> dict[str, dict[str, int]]:
    numbers = [int(value) for value in values]
    pairs = zip(names, numbers[::2], numbers[1::2], strict=True)
    return {name: {"count": count, "ns": ns} for name, count, ns in pairs}
