"""A validated version in memory, and the one place that decides where its calls are computed."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray
from pydantic import BaseModel

from service.contract.answers import ModelRef
from service.contract.signature import Outputs
from service.contract.task import Task
from service.models.artifacts.artifact import Background
from service.models.artifacts.card import Card
from service.models.runtime.batcher import Batcher, BatchRun
from service.models.runtime.batching_plan import MAX_EVENT_LOOP_US, BatchingPlan, plan_batching
from service.models.runtime.session import OnnxSession
from service.observability.metrics.shared_counters import Series
from service.observability.observer import Observer, Rows
from service.settings.limits import QueueLimits

log = structlog.get_logger("foretell")

Answer = TypeVar("Answer")
Decode = Callable[[], NDArray[Any]]
"""Makes the batch of a call, N rows."""
Encode = Callable[[NDArray[Any], Outputs, BatchRun], Answer]
"""Makes the answer of a call, from its batch, its rows' outputs, and the run that they were in."""


@dataclass(frozen=True)
class LoadedModel:
    """A validated version of a model, with what it needs to answer.

    A call is answered in three steps: decode, infer, encode. `answer` takes all three, and
    `answer_row` is the short way of one row. Both tell the observers, when the answer is made.
    """

    task: Task
    card: Card
    session: OnnxSession
    """The graph itself. What it computes is not observed: explanations use it."""
    load_ms: float
    golden_row: NDArray[Any] = field(repr=False, compare=False)
    """A row that the graph is timed with, in the shape of its input without the batch."""
    batching: BatchingPlan
    queue: QueueLimits
    queued: Series
    """Counter of the calls that the queue did not answer."""
    background: Background | None = None
    """Rows that explanations compare with."""
    observers: tuple[Observer, ...] = ()

    @property
    def row_us(self) -> float:
        """Median microseconds of one row, measured when the version was loaded."""
        return self.batching.row_us

    @cached_property
    def runs_on_event_loop(self) -> bool:
        """True if a row is computed on the event loop: sooner than a thread could be woken."""
        return self.fits_event_loop(1)

    def fits_event_loop(self, rows: float) -> bool:
        """Return whether so many rows are computed within MAX_EVENT_LOOP_US."""
        return rows * self.row_us <= MAX_EVENT_LOOP_US

    @cached_property
    def may_block(self) -> bool:
        """True if calls wait for a thread, false if for a turn of the event loop at most."""
        return not (self.batching.on_loop if self.batching.on else self.runs_on_event_loop)

    @property
    def facts(self) -> dict[str, Any]:
        """Version, provider, time to load and batching plan, for the log and `/v1/models`."""
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
        """The queue for batches of several callers, if they are on; it is freed with the model."""
        if not self.batching.on:
            return None
        return Batcher(self.card.name, self.session, self.batching, self.queue, self.queued)

    async def answer_row(self, row: Sequence[float | None]) -> bytes:
        """Return the JSON answer to one row, its values in declared order; None is not recorded.

        Computed on the event loop, where that is quick and no other call has come; else as by
        `infer`. Raises QueueError or InvalidOutput.
        """
        batcher = self.batcher
        if self.runs_on_event_loop and (batcher is None or batcher.try_bypass()):
            outputs = self.session.run_row(row)
        else:
            batch = np.array([row], self.session.input.dtype)
            if batcher is not None:
                outputs, _ = await batcher.submit(batch)
            else:
                outputs = await asyncio.to_thread(self.session.run, batch)
        answer = self.to_json(outputs, row)
        if self.observers:
            self.observe([row], outputs)
        return answer

    async def infer(self, batch: NDArray[Any]) -> tuple[Outputs, BatchRun]:
        """Return the graph's outputs for N rows, N each by name, and the run that they were in.

        Computed on the event loop if that is quick, else on a thread; with the rows of other calls
        if the model is batched and they fit a batch, unless no other has come. Raises
        QueueError.
        """
        batcher, here = self.batcher, self.fits_event_loop(len(batch))
        if (
            batcher is not None
            and len(batch) <= batcher.most
            and not (here and batcher.try_bypass())
        ):
            return await batcher.submit(batch)
        return self._run(batch) if here else await asyncio.to_thread(self._run, batch)

    async def answer(
        self, decode: Decode, encode: Encode[Answer], most_rows: float, *, is_short: bool = True
    ) -> Answer:
        """Return the answer of one call: `decode` makes its batch, `encode` words the outputs.

        `most_rows` bounds its rows before they are decoded; a call `is_short` if that takes no
        longer than waking a thread. One that is neither computed nor decoded quickly takes all
        three steps on one thread. Raises QueueError, and what the steps raise.
        """
        if self.fits_event_loop(most_rows) or (is_short and self.batcher is not None):
            batch = decode()
            outputs, run = await self.infer(batch)
            return self._finish(batch, outputs, run, encode)
        return await asyncio.to_thread(self.answer_here, decode, encode)

    def answer_here(self, decode: Decode, encode: Encode[Answer]) -> Answer:
        """Return the answer of one call, all three steps on this thread. Raises what they raise."""
        batch = decode()
        return self._finish(batch, *self._run(batch), encode)

    async def predictions(self, batch: NDArray[Any]) -> Sequence[BaseModel]:
        """Return one answer for each row of a batch, as the task words it. Raises QueueError."""
        return await self.answer(lambda: batch, self._predictions, len(batch))

    def predict(self, batch: NDArray[Any]) -> Sequence[BaseModel]:
        """Return one answer for each row of a batch, computed on this thread."""
        return self.answer_here(lambda: batch, self._predictions)

    @cached_property
    def to_json(self) -> Callable[[Outputs, Any], bytes]:
        """The function that words the answer to one row, of Task.writer."""
        return self.task.writer(self.ref, self.card.threshold, self.card.confidence)

    def observe(self, rows: Rows, outputs: Outputs) -> None:
        """Tell the observers of an answered call. One that fails is logged; the answer goes out."""
        for observer in self.observers:
            try:
                observer.seen(rows, outputs, self.ref)
            except Exception:
                log.exception("observer failed", observer=type(observer).__name__)

    def observed_by(self, observer: Observer) -> "LoadedModel":
        """Return the same model with one observer more."""
        return replace(self, observers=(*self.observers, observer))

    def measured_again(self) -> "LoadedModel | None":
        """Return the same model by a plan made now, or None if the machine is still busy.

        Takes 10 ms to a few seconds on this thread, which is not the event loop's. Calls that wait
        for this model's batches are answered by it; the new one has a queue of its own.
        """
        plan = plan_batching(self.session, self.golden_row, self.queue)
        return replace(self, batching=plan) if plan.quiet else None

    def _run(self, batch: NDArray[Any]) -> tuple[Outputs, BatchRun]:
        return BatchRun.of(self.session, batch)

    def _finish(
        self, batch: NDArray[Any], outputs: Outputs, run: BatchRun, encode: Encode[Answer]
    ) -> Answer:
        answer = encode(batch, outputs, run)
        if self.observers:
            self.observe(batch, outputs)
        return answer

    def _predictions(
        self, batch: NDArray[Any], outputs: Outputs, _: BatchRun
    ) -> Sequence[BaseModel]:
        card = self.card
        return self.task.answers(outputs, batch, self.ref, card.threshold, card.confidence)
