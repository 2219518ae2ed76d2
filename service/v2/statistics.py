"""What the statistics extension counts of each model, since the process started.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_statistics.md
"""

import time
from dataclasses import dataclass, field
from typing import Any

from service.repository import Served
from service.v2.infer import Timing

MOST_BATCH_SIZES = 256
"""Sizes counted apart, so that no caller can make the table grow; others are in the sums alone."""


@dataclass
class Duration:
    """How often something happened, and the nanoseconds of all of it."""

    count: int = 0
    ns: int = 0

    def add(self, ns: int) -> None:
        """Once more."""
        self.count += 1
        self.ns += ns


@dataclass
class Parts:
    """The three parts of an execution."""

    input: Duration = field(default_factory=Duration)
    infer: Duration = field(default_factory=Duration)
    output: Duration = field(default_factory=Duration)

    def add(self, timing: Timing) -> None:
        """One more execution."""
        self.input.add(timing.input)
        self.infer.add(timing.infer)
        self.output.add(timing.output)

    def shown(self) -> dict[str, Any]:
        """As the protocol names them."""
        return {
            "compute_input": vars(self.input),
            "compute_infer": vars(self.infer),
            "compute_output": vars(self.output),
        }


@dataclass
class ModelStatistics:
    """Of one version of one model."""

    last_ms: int = 0
    rows: int = 0
    executions: int = 0
    """Runs of the session; calls may share one."""
    success: Duration = field(default_factory=Duration)
    fail: Duration = field(default_factory=Duration)
    queue: Duration = field(default_factory=Duration)
    parts: Parts = field(default_factory=Parts)
    batches: dict[int, Parts] = field(default_factory=dict)

    def succeeded(self, timing: Timing, ns: int) -> None:
        """One more answer, after so many nanoseconds; what was not work was waiting."""
        self.last_ms = time.time_ns() // 1_000_000
        self.rows += timing.rows
        self.success.add(ns)
        self.queue.add(max(0, ns - timing.input - timing.infer - timing.output))
        self.parts.add(timing)
        if timing.executed:
            self.executions += 1
            if timing.executed in self.batches or len(self.batches) < MOST_BATCH_SIZES:
                self.batches.setdefault(timing.executed, Parts()).add(timing)

    def failed(self, ns: int) -> None:
        """One more refusal or failure."""
        self.last_ms = time.time_ns() // 1_000_000
        self.fail.add(ns)


class Statistics:
    """Of all models; only ever touched on the event loop."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], ModelStatistics] = {}

    def of(self, served: Served) -> ModelStatistics:
        """Those of one version, from zero if it is new."""
        key = served.card.name, served.card.version
        return self._models.setdefault(key, ModelStatistics())

    def shown(self, served: Served) -> dict[str, Any]:
        """One version's `$model_stat`. No answer here comes from a cache."""
        model = self.of(served)
        durations = {"success": model.success, "fail": model.fail, "queue": model.queue}
        return {
            "name": served.card.name,
            "version": served.card.version,
            "last_inference": model.last_ms,
            "inference_count": model.rows,
            "execution_count": model.executions,
            "inference_stats": {name: vars(duration) for name, duration in durations.items()}
            | model.parts.shown()
            | {"cache_hit": vars(Duration()), "cache_miss": vars(Duration())},
            "batch_stats": [
                {"batch_size": rows} | parts.shown()
                for rows, parts in sorted(model.batches.items())
            ],
        }
