"""Dynamic batching: rows of several calls in one run of a session, and its outputs to each call.

No call waits for others, by default: a batch takes the calls that are there. On the event loop
these came in the same turn of the loop; on a thread, during the run before.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter_ns
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.contract.signature import Outputs
from service.errors import QueueFull, QueueTimeout
from service.models.runtime.batching_plan import BatchingPlan
from service.models.runtime.session import OnnxSession
from service.observability.metrics.families import Counter, Gauge
from service.observability.metrics.shared_counters import Metric, Series
from service.settings.limits import QueueLimits

QUEUE = Metric(
    "queued",
    ("model", "version"),
    ("full", "timeout", "cancelled", "waiting"),
    (
        Counter(
            "foretell_queue_rejected_requests_total",
            "Requests that left the queue of a model without an answer",
            ("full", "timeout", "cancelled"),
            by="reason",
        ),
        Gauge("foretell_queue_rows", "Rows that wait for the next batch of a model", ("waiting",)),
    ),
)
"""Calls that got no answer from the queue: it was full, they waited too long, the caller left; and
the rows that wait there now."""
FULL, TIMEOUT, CANCELLED, WAITING = range(4)


@dataclass
class BatchRun:
    """One run of a session, of one call or of several."""

    rows: int
    """Rows of all its calls."""
    ns: int
    _counted: bool = False

    @classmethod
    def of(
        cls, session: OnnxSession, batch: NDArray[Any], pad_to: int = 0
    ) -> tuple[Outputs, "BatchRun"]:
        """Return the outputs of a batch, and its run. Raises what the session raises."""
        start = perf_counter_ns()
        outputs = session.run(batch, pad_to)
        return outputs, cls(len(batch), perf_counter_ns() - start)

    def count(self) -> int:
        """Return the rows of the run to the first of its calls that asks, and 0 to the others.

        In statistics a run is counted once.
        """
        rows, self._counted = 0 if self._counted else self.rows, True
        return rows


@dataclass(eq=False)
class PendingRequest:
    """The rows of one call that wait."""

    rows: NDArray[Any]
    came: float
    """Seconds by the event loop's clock, which is monotonic."""
    answer: "asyncio.Future[tuple[Outputs, BatchRun]]"


class Batcher:
    """The queue of one model, and at most one run of it at a time.

    Use it on one event loop. Nothing here outlives the calls, so that a version that is no longer
    served is freed with the last of them.
    """

    def __init__(
        self,
        name: str,
        session: OnnxSession,
        batching: BatchingPlan,
        queue: QueueLimits,
        counts: Series,
    ) -> None:
        """Set up an empty queue; messages say the model's `name`, `counts` is a series of QUEUE."""
        self._name, self._counts = name, counts
        self.most = batching.buckets[-1]
        """Rows that a batch, and so a call, may have."""
        self.on_loop = batching.on_loop
        self.waiting = 0
        """Rows that wait."""
        self._session, self._buckets, self._queue = session, batching.buckets, queue
        self._thread = None if batching.on_loop else ThreadPoolExecutor(1, "batches")
        self._calls: deque[PendingRequest] = deque()
        self._next: asyncio.Handle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._running = self._was_shared = self._turn_taken = False
        self._row_seconds = 0.0

    def try_bypass(self) -> bool:
        """Return whether a call that comes now is to be computed at once, without the queue.

        So it is where batches are computed on the event loop, for the first call of a turn of it,
        if the last run was of one call only: a single caller then pays nothing for the queue.
        """
        if not self.on_loop or self._queue.delay:
            return False
        if self._was_shared or self._turn_taken or self._calls:
            return False
        self._turn_taken = True
        asyncio.get_running_loop().call_soon(self._end_turn)
        return True

    def _end_turn(self) -> None:
        self._turn_taken = False

    async def submit(self, rows: NDArray[Any]) -> tuple[Outputs, BatchRun]:
        """Return the outputs of N rows, 1 to `most`, and the run that they were in.

        A call that is cancelled leaves the queue at once. Raises QueueFull, QueueTimeout, and what
        the run raises, for every call that was in it.
        """
        if self._calls and self.waiting + len(rows) > self._queue.rows:
            self._counts.values[FULL] += 1
            raise QueueFull(self._name, self._queue.rows, self._seconds_to_go())
        loop = asyncio.get_running_loop()
        call = PendingRequest(rows, loop.time(), loop.create_future())
        self._calls.append(call)
        self._wait(len(rows))
        self._plan(loop)
        try:
            return await call.answer
        except asyncio.CancelledError:
            if call in self._calls:
                self._calls.remove(call)
                self._left(call)
                self._counts.values[CANCELLED] += 1
            raise

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """Schedule the next run, and the time-out of the first call that waits."""
        came = self._calls[0].came
        if self._alarm is None and not self.on_loop:
            self._alarm = loop.call_at(came + self._queue.seconds, self._refuse_late)
        if self._running:
            return
        full = self.waiting >= self.most
        if self._next is not None and full and self._queue.delay:
            self._next.cancel()
            self._next = None
        if self._next is None:
            delayed = self._queue.delay and not full
            self._next = (
                loop.call_at(came + self._queue.delay, self._run)
                if delayed
                else loop.call_soon(self._run)
            )

    def _wait(self, rows: int) -> None:
        self.waiting += rows
        self._counts.values[WAITING] = self.waiting

    def _left(self, call: PendingRequest) -> None:
        self._wait(-len(call.rows))
        if self._alarm and not self._calls:
            self._alarm.cancel()
            self._alarm = None

    def _refuse_late(self) -> None:
        loop = asyncio.get_running_loop()
        while self._calls and self._calls[0].came + self._queue.seconds <= loop.time():
            call = self._calls.popleft()
            self._left(call)
            if not call.answer.done():
                late = QueueTimeout(self._name, self._queue.seconds, self._seconds_to_go())
                call.answer.set_exception(late)
                self._counts.values[TIMEOUT] += 1
        if self._alarm:
            self._alarm.cancel()
            deadline = self._calls[0].came + self._queue.seconds
            self._alarm = loop.call_at(deadline, self._refuse_late)

    def _seconds_to_go(self) -> float:
        """Return the seconds until every call that waits now is answered, or refused."""
        return min(self.waiting * self._row_seconds, self._queue.seconds)

    def _run(self) -> None:
        self._next = None
        self._refuse_late()
        calls = self._take()
        self._was_shared = len(calls) > 1
        if not calls:
            return
        loop = asyncio.get_running_loop()
        rows = [call.rows for call in calls]
        self._running = True
        if self._thread is not None:
            done = loop.run_in_executor(self._thread, self._compute, rows)
            done.add_done_callback(partial(self._share, calls))
            return
        done = loop.create_future()
        try:
            done.set_result(self._compute(rows))
        except Exception as error:
            done.set_exception(error)
        self._share(calls, done)

    def _take(self) -> list[PendingRequest]:
        """Take the calls of the next run out of the queue, in the order in which they came."""
        taken: list[PendingRequest] = []
        room = self.most
        while self._calls and len(self._calls[0].rows) <= room:
            call = self._calls.popleft()
            self._left(call)
            if not call.answer.done():
                taken.append(call)
                room -= len(call.rows)
        return taken

    def _compute(self, rows: Sequence[NDArray[Any]]) -> tuple[Outputs, BatchRun]:
        batch = np.concatenate(rows) if len(rows) > 1 else rows[0]
        pad_to = next(size for size in self._buckets if size >= len(batch))
        return BatchRun.of(self._session, batch, pad_to)

    def _share(
        self, calls: Sequence[PendingRequest], done: "asyncio.Future[tuple[Outputs, BatchRun]]"
    ) -> None:
        """Give each call the outputs of its own rows, or all of them the error of their run."""
        self._running = False
        if self._calls:
            self._plan(asyncio.get_running_loop())
        waiting = [call for call in calls if not call.answer.done()]
        if error := done.exception():
            for call in waiting:
                call.answer.set_exception(error)
            return
        outputs, run = done.result()
        self._row_seconds = run.ns / 1e9 / run.rows
        first = 0
        for call in calls:
            last = first + len(call.rows)
            if not call.answer.done():
                own = {name: array[first:last] for name, array in outputs.items()}
                call.answer.set_result((own, run))
            first = last
