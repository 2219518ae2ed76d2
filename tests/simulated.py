"""An event loop with simulated time, which passes only while all tasks wait: fast and exact."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, TypeVar

Result = TypeVar("Result")


class Clock(selectors.DefaultSelector):
    """A selector that advances the simulated time by its timeout instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the files that are ready. Raises for an endless wait, which nothing could end."""
        if timeout is None:
            raise AssertionError("all tasks wait, and no timer is set that could end it")
        self.now += max(timeout, 0)
        return super().select(0)


class SimulatedLoop(asyncio.SelectorEventLoop):
    """An event loop that simulates threads, too: their results come after `seconds_of_run()`."""

    def __init__(self, seconds_of_run: Callable[[], float]) -> None:
        self._clock = Clock()
        super().__init__(self._clock)
        self._seconds_of_run = seconds_of_run

    def time(self) -> float:
        """Return the simulated seconds since the loop was made."""
        return self._clock.now

    def run_in_executor(  # type: ignore[override]  # a Future, of which callers see no difference
        self, executor: Executor | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Compute the result now, and set it after `seconds_of_run()`."""
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
    """Run a coroutine on a loop of its own and return its result."""
    with asyncio.Runner(loop_factory=lambda: SimulatedLoop(seconds_of_run)) as runner:
        return runner.run(work)
