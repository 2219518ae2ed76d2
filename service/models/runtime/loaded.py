"""A model that proved itself: one version, and how its callers are answered."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from service.contract.answers import ModelRef
from service.contract.signature import Outputs, Values
from service.contract.tabular import TabularTask
from service.contract.task import Task
from service.models.artifacts.artifact import Background
from service.models.artifacts.card import Card
from service.models.runtime.batcher import Batcher
from service.models.runtime.batching_plan import BatchingPlan
from service.models.runtime.session import OnnxSession
from service.observability.metrics.shared_counters import Series
from service.settings.limits import QueueLimits

MAX_EVENT_LOOP_US = 500.0
"""Models that answer a row within this many microseconds do so on the event loop.

A thread costs 50 to 100 of them, and every other request waits for as long as one runs inline.
"""


@dataclass(frozen=True)
class LoadedModel:
    """A model that proved itself and answers requests."""

    task: Task
    card: Card
    session: OnnxSession
    load_ms: float
    row_us: float
    """Median time of one row, measured when it was loaded."""
    batching: BatchingPlan
    """Whether callers share runs."""
    queue: QueueLimits
    """What may wait, if they do."""
    queued: Series
    """Where it is counted what got no answer from there."""
    background: Background | None = None
    """What explanations compare with."""

    @cached_property
    def runs_on_event_loop(self) -> bool:
        """Whether it answers on the event loop: sooner than a thread could be woken."""
        return self.row_us <= MAX_EVENT_LOOP_US

    @cached_property
    def may_block(self) -> bool:
        """Whether calls wait for a thread, and not for a turn of the event loop at most."""
        return not (self.batching.on_loop if self.batching.on else self.runs_on_event_loop)

    @property
    def facts(self) -> dict[str, Any]:
        """What a log line says of it."""
        return {
            "version": self.card.version,
            "provider": self.session.provider,
            "load_ms": round(self.load_ms, 1),
            "row_us": round(self.row_us, 1),
            "runs_on_event_loop": self.runs_on_event_loop,
            "batching": {
                "on": self.batching.on,
                "buckets": list(self.batching.buckets),
                "speedup": round(self.batching.speedup, 2),
            },
        }

    @cached_property
    def ref(self) -> ModelRef:
        """Its name and version, as answers carry them."""
        return ModelRef(name=self.card.name, version=self.card.version)

    @cached_property
    def batcher(self) -> Batcher | None:
        """Where its callers share runs, if they do; their place is freed with this."""
        if not self.batching.on:
            return None
        return Batcher(self.card.name, self.session, self.batching, self.queue, self.queued)

    def batches(self, rows: int) -> bool:
        """Whether a call of so many rows is to share a run with others."""
        return self.batcher is not None and rows <= self.batcher.most

    async def infer_row(self, row: Sequence[float | None]) -> Outputs:
        """What the graph makes of one row, its values in declared order; None becomes NaN.

        On the event loop or off it, with other callers' rows or alone, as suits this model. To be
        used before anything is awaited. Raises QueueError.
        """
        batcher = self.batcher
        if self.runs_on_event_loop and (batcher is None or batcher.try_bypass()):
            return self.session.run_row(row)
        batch = np.array([row], self.session.input.dtype)
        if batcher is not None:
            return (await batcher.submit(batch))[0]
        return await asyncio.to_thread(self.session.run, batch)

    @cached_property
    def write(self) -> Callable[[Outputs, Values], bytes]:
        """As TabularTask.writer."""
        assert isinstance(self.task, TabularTask)
        return self.task.writer(self.ref, self.card.threshold, self.card.confidence)

    async def answers(self, batch: NDArray[Any]) -> Sequence[BaseModel]:
        """As `predict`, where `infer_row` would; a batch too long to share a run has its own.

        Raises QueueError.
        """
        if self.batcher is not None and self.batches(len(batch)):
            outputs, _ = await self.batcher.submit(batch)
            return self._worded(outputs, batch)
        return (
            self.predict(batch)
            if self.runs_on_event_loop
            else await asyncio.to_thread(self.predict, batch)
        )

    def predict(self, batch: NDArray[Any]) -> Sequence[BaseModel]:
        """One answer for each row of a batch, as the task words it."""
        return self._worded(self.session.run(batch), batch)

    def _worded(self, outputs: Outputs, batch: NDArray[Any]) -> Sequence[BaseModel]:
        card = self.card
        if isinstance(self.task, TabularTask):
            return self.task.answers(outputs, batch, self.ref, card.threshold, card.confidence)
        return self.task.answers(outputs, self.ref, card.confidence)
