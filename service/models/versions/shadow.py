"""A second version that scores some of what the first one answers, and is compared with it.

No answer ever waits for it: what it scores goes into a bounded queue that a thread empties, and is
dropped, and counted, while the queue is full.
"""

import random
from dataclasses import dataclass, fields
from queue import Full, Queue
from threading import Thread
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from service.contract.signature import Outputs
from service.models.runtime.loaded import LoadedModel
from service.models.runtime.session import OnnxSession
from service.observability.metrics.shared_counters import Metric, Series

log = structlog.get_logger("foretell")

MOST_CALLS = 256
MOST_ROWS = 4096
"""Of one call: of more, the first are compared, so that what waits stays some dozen MB."""


@dataclass(frozen=True)
class Comparison:
    """How a shadow's answers differ from those that were given."""

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
    "compared", ("model", "version", "shadow"), tuple(f.name for f in fields(Comparison))
)


class Shadow:
    """Compares `second` with `first` on a `share` (0..1) of the calls that `first` answers."""

    def __init__(
        self, first: LoadedModel, second: LoadedModel, share: float, counts: Series
    ) -> None:
        """What it sees is added to `counts`, a row of COMPARED."""
        self.first, self.second, self.share = first, second, share
        self._counts = counts
        self._waiting: Queue[tuple[NDArray[Any], Outputs] | None] = Queue(MOST_CALLS)
        self._thread = Thread(target=self._run, name="shadow", daemon=True)
        self._thread.start()

    @property
    def seen(self) -> Comparison:
        """What this process has compared, of these two versions."""
        with self._counts.lock:
            return Comparison(*self._counts.values)

    def offer(self, batch: NDArray[Any] | list[Any], outputs: Outputs) -> None:
        """One call's inputs, N rows, and what was answered: compared, left out or dropped."""
        if random.random() >= self.share:
            return
        if self._waiting.full():
            self._counts.add(0, 0, 0, 1)
            return
        # Copied, because a single row is computed in memory that the next one overwrites.
        rows = np.array(batch[:MOST_ROWS], self.first.session.input.dtype)
        answered = {name: array[:MOST_ROWS].copy() for name, array in outputs.items()}
        try:
            self._waiting.put_nowait((rows, answered))
        except Full:
            self._counts.add(0, 0, 0, 1)

    def compares(self, first: LoadedModel, second: LoadedModel, share: float) -> bool:
        """Whether it is these that it compares, and so often."""
        return self.first is first and self.second is second and self.share == share

    def close(self) -> None:
        """End, once what waits is compared."""
        self._waiting.put(None)
        self._thread.join()

    def _run(self) -> None:
        while call := self._waiting.get():
            try:
                self._compare(*call)
            except Exception:
                self._counts.add(0, 0, 0, 0, 1)
                if self.seen.failed == 1:
                    log.exception("shadow failed", **self.second.facts)

    def _compare(self, batch: NDArray[Any], answered: Outputs) -> None:
        scored = self.second.session.run(batch)
        probability = self.first.task.contract.outputs[0].name
        gaps = np.abs(scored[probability] - answered[probability]).reshape(len(batch), -1)
        same = decisions(self.second, scored) == decisions(self.first, answered)
        difference = float(gaps.mean(axis=1, dtype=np.float64).sum())
        self._counts.add(len(batch), int(same.sum()), difference)


def decisions(served: LoadedModel, outputs: Outputs) -> NDArray[Any]:
    """Return what each row's answer decides, [N], as Task.decide."""
    return served.task.decide(outputs, served.card.threshold)


class ShadowedSession(OnnxSession):
    """The session of a version that answers, offering each call to its shadow."""

    def __init__(self, shadow: Shadow) -> None:
        vars(self).update(vars(shadow.first.session))
        self._shadow = shadow

    def run(self, batch: NDArray[Any], pad_to: int = 0) -> dict[str, NDArray[Any]]:
        """As OnnxSession."""
        outputs = super().run(batch, pad_to)
        self._shadow.offer(batch, outputs)
        return outputs

    def run_row(self, values: Any) -> dict[str, NDArray[Any]]:
        """As OnnxSession."""
        outputs = super().run_row(values)
        self._shadow.offer([values], outputs)
        return outputs
