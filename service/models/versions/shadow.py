"""A second version that scores some of the calls that the first one answers, and is compared.

No answer waits for it: calls go into a queue of bounded length that a thread empties. Those that
come while it is full are dropped, and counted.
"""

import random
from dataclasses import dataclass, fields
from queue import Full, Queue
from threading import Thread
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from service.contract.answers import ModelRef
from service.contract.signature import Outputs
from service.models.runtime.loaded import LoadedModel
from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric, Series
from service.observability.observer import Rows

log = structlog.get_logger("foretell")

MOST_CALLS = 256
MOST_ROWS = 4096
"""Rows of one call that are compared, the first ones: the queue stays below some dozen MB."""


@dataclass(frozen=True)
class Comparison:
    """Sums over the calls that a shadow was offered."""

    rows: float
    agreed: float
    """Rows with the same decision, or the same class."""
    difference: float
    """Sum over rows of the absolute difference of their probabilities, averaged over classes."""
    dropped: float
    """Calls that were not compared, because too many were waiting."""
    failed: float
    """Calls that the shadow could not score."""


COMPARED = Metric(
    "compared",
    ("model", "version", "shadow"),
    tuple(f.name for f in fields(Comparison)),
    (
        Counter("foretell_shadow_rows_total", "Rows that a shadow scored as well", ("rows",)),
        Counter(
            "foretell_shadow_agreed_rows_total",
            "Rows on which a shadow decided as the answer did",
            ("agreed",),
        ),
        Counter(
            "foretell_shadow_absolute_difference_total",
            "Sum over compared rows of the absolute differences of probabilities",
            ("difference",),
        ),
        Counter(
            "foretell_shadow_dropped_calls_total",
            "Calls that were not compared, because too many waited",
            ("dropped",),
        ),
        Counter(
            "foretell_shadow_failed_calls_total",
            "Calls that a shadow could not score",
            ("failed",),
        ),
    ),
)


class ShadowObserver:
    """Compares `second` with `first` on a `share` (0..1) of the calls that `first` answers."""

    def __init__(
        self, first: LoadedModel, second: LoadedModel, share: float, counts: Series
    ) -> None:
        """Start the thread; comparisons are added to `counts`, a series of COMPARED."""
        self.first, self.second, self.share = first, second, share
        self._counts = counts
        self._waiting: Queue[tuple[NDArray[Any], Outputs] | None] = Queue(MOST_CALLS)
        self._thread = Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def comparison(self) -> Comparison:
        """The comparison of these two versions in this process, so far."""
        with self._counts.lock:
            return Comparison(*self._counts.values)

    def seen(self, rows: Rows, outputs: Outputs, ref: ModelRef) -> None:
        """Queue one answered call, or drop it; a call outside the `share` is left out."""
        if random.random() >= self.share:
            return
        if self._waiting.full():
            self._counts.add(0, 0, 0, 1)
            return
        # Copied, because a single row is computed in memory that the next one overwrites.
        batch = np.array(rows[:MOST_ROWS], self.first.session.input.dtype)
        answered = {name: array[:MOST_ROWS].copy() for name, array in outputs.items()}
        try:
            self._waiting.put_nowait((batch, answered))
        except Full:
            self._counts.add(0, 0, 0, 1)

    def compares(self, first: LoadedModel, second: LoadedModel, share: float) -> bool:
        """Return whether it compares these two, on this share of the calls."""
        return self.first is first and self.second is second and self.share == share

    def close(self) -> None:
        """End the thread, once the calls that wait are compared."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while call := self._waiting.get():
            try:
                self._compare(*call)
            except Exception:
                self._counts.add(0, 0, 0, 0, 1)
                if self.comparison.failed == 1:
                    log.exception("shadow failed", **self.second.facts)

    def _compare(self, batch: NDArray[Any], answered: Outputs) -> None:
        scored = self.second.session.run(batch)
        probability = self.first.task.contract.outputs[0].name
        gaps = np.abs(scored[probability] - answered[probability]).reshape(len(batch), -1)
        same = decide(self.second, scored) == decide(self.first, answered)
        difference = float(gaps.mean(axis=1, dtype=np.float64).sum())
        self._counts.add(len(batch), int(same.sum()), difference)


def decide(model: LoadedModel, outputs: Outputs) -> NDArray[Any]:
    """Return each row's decision, [N], as Task.decide."""
    return model.task.decide(outputs, model.card.threshold)
