"""An event loop whose time passes only while everybody waits: hours in milliseconds, and exact."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

Result = TypeVar("Result")


class Clock(selectors.DefaultSelector):
    """Waits for no file; what it would have waited, has passed."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready at once. An endless wait is a fault: nothing is left that could end it."""
        if timeout is None:
            raise AssertionError("everybody waits, and nothing is going to happen")
        self.now += max(timeout, 0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """Threads are simulated too: what they compute comes after `seconds_of_run()`."""

    def __init__(self, seconds_of_run: Callable[[], float]) -> None:
        self._clock = Clock()
        super().__init__(self._clock)
        self._seconds_of_run = seconds_of_run

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self._clock.now

    def run_in_executor(  # type: ignore[override]  # a Future, of which callers see no difference
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Compute now, answer later."""
        done: asyncio.Future[Any] = self.create_future()
        try:
            result = func(*args)
        except Exception as error:
            self.call_later(self._seconds_of_run(), _unless_done, done.set_exception, done, error)
        else:
            self.call_later(self._seconds_of_run(), _unless_done, done.set_result, done, result)
        return done


def _unless_done(settle: Callable[[Any], None], done: asyncio.Future[Any], value: Any) -> None:
    if not done.done():
        settle(value)


def simulate(
    work: Coroutine[Any, Any, Result], seconds_of_run: Callable[[], float] = lambda: 0.0
) -> Result:
    """What `work` gives, run on a loop of its own."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(seconds_of_run)) as runner:
        return runner.run(work)
