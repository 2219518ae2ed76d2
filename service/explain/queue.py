"""The thread that makes explanations, with a queue of bounded length."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from service.errors import ExplanationQueueFull

Result = TypeVar("Result")

MAX_WAITING = 16
"""Calls that may wait or be answered at once, in each process."""


class ExplanationQueue:
    """One thread, so that explanations take at most one core from predictions.

    For use on the event loop. The graph runs without the interpreter's lock.
    """

    def __init__(self, waiting: int = MAX_WAITING) -> None:
        self._limit, self._taken = waiting, 0
        self._thread = ThreadPoolExecutor(1, "explanations")

    async def submit(self, work: Callable[[], Result]) -> Result:
        """Return the result of some work when its turn comes. Raises ExplanationQueueFull."""
        if self._taken >= self._limit:
            raise ExplanationQueueFull(self._limit)
        loop = asyncio.get_running_loop()
        future = self._thread.submit(work)
        self._taken += 1
        # Until the work is over or withdrawn, whether or not its caller has gone away.
        future.add_done_callback(lambda _: loop.call_soon_threadsafe(self._leave))
        return await asyncio.wrap_future(future)

    def _leave(self) -> None:
        self._taken -= 1

    def close(self) -> None:
        """Withdraw what waits, and let what runs end."""
        self._thread.shutdown(wait=True, cancel_futures=True)
