"""Rows of several calls in one batch: each gets its own answer, in time, or a reason why not."""

import asyncio
import gc
import random
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import QueueFull, QueueTimeout
from service.models.runtime.batcher import QUEUE, WAITING, Batcher
from service.models.runtime.batching_plan import BatchingPlan
from service.models.runtime.session import OnnxSession
from service.observability.metrics.shared_counters import Series
from service.settings.limits import QueueLimits
from tests.simulated import simulate

BUCKETS = (1, 2, 4, 8, 16)


class CannotCompute(Exception):
    """The error that a run fails with here."""


class Doubling(OnnxSession):
    """A session whose answers name their rows, and which fails when it is told to."""

    def __init__(self, fails: Callable[[], bool] = lambda: False) -> None:
        self.fails = fails
        self.sizes: list[int] = []

    def run(self, batch: NDArray[Any], pad_to: int = 0) -> dict[str, NDArray[Any]]:
        """Twice each row's first value, and once its second."""
        assert len(batch) <= pad_to
        self.sizes.append(len(batch))
        if self.fails():
            raise CannotCompute
        return {"double": batch[:, 0] * 2, "second": batch[:, 1].copy()}


def batcher_of(
    session: OnnxSession,
    *,
    on_loop: bool = False,
    buckets: tuple[int, ...] = BUCKETS,
    counts: Series | None = None,
    **queue: Any,
) -> Batcher:
    batching = BatchingPlan(True, buckets, 2.0, on_loop)
    return Batcher(
        "made-up", session, batching, QueueLimits(**queue), counts or Series.detached(QUEUE)
    )


def rows_of(*numbers: int) -> NDArray[np.float64]:
    return np.array([[number, -number] for number in numbers], np.float64)


async def ask(batcher: Batcher, *numbers: int) -> list[float]:
    outputs, _ = await batcher.submit(rows_of(*numbers))
    assert outputs["second"].tolist() == [-number for number in numbers]
    doubled: list[float] = outputs["double"].tolist()
    return doubled


@settings(max_examples=100, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    callers=st.integers(1, 400),
    on_loop=st.booleans(),
    waiting=st.integers(1, 64),
    delay=st.sampled_from([0.0, 0.005]),
    run_seconds=st.sampled_from([0.0, 0.01, 0.2, 5.0]),
    failing=st.sampled_from([0.0, 0.2, 1.0]),
    leaving=st.sampled_from([0.0, 0.3]),
)
def test_every_caller_gets_his_own_answer_in_time_or_a_reason(
    seed: int,
    callers: int,
    on_loop: bool,
    waiting: int,
    delay: float,
    run_seconds: float,
    failing: float,
    leaving: float,
) -> None:
    """Hundreds of callers, of 1 to 16 rows, some of whom leave; runs that are slow, or fail.

    Nobody gets another's rows, or none at all; nobody waits for his turn beyond the limit; no run
    is longer than the largest bucket, and at the end nobody is said to wait.
    """
    chance = random.Random(seed)
    session = Doubling(lambda: chance.random() < failing)
    counts = Series.detached(QUEUE)
    queue: dict[str, Any] = {"rows": waiting, "seconds": 1.0, "delay": delay}
    batcher = batcher_of(session, on_loop=on_loop, counts=counts, **queue)
    ends: list[str] = []

    async def one(number: int) -> None:
        await asyncio.sleep(chance.random() * 2)
        loop = asyncio.get_running_loop()
        came, own = loop.time(), [number * 100 + n for n in range(chance.randint(1, 16))]
        patience = chance.random() * 2 if chance.random() < leaving else None
        try:
            async with asyncio.timeout(patience):
                assert await ask(batcher, *own) == [value * 2 for value in own]
            ends.append("answered")
        except TimeoutError:
            ends.append("left")
        except (QueueFull, QueueTimeout, CannotCompute) as error:
            ends.append(type(error).__name__)
        # A run that began just in time may take its own time.
        at_work = run_seconds if ends[-1] in ("answered", "CannotCompute") else 0
        assert loop.time() - came <= max(1.0, patience or 0) + at_work + 1e-6
        assert 0 <= batcher.waiting <= max(waiting, 16)

    async def all_of_them() -> None:
        await asyncio.gather(*(one(number) for number in range(callers)))

    simulate(all_of_them(), lambda: chance.random() * run_seconds)
    assert len(ends) == callers
    assert batcher.waiting == 0
    full, late, left, still_waiting = counts.values
    assert still_waiting == 0
    assert (full, late) == (ends.count("QueueFull"), ends.count("QueueTimeout"))
    assert left <= ends.count("left")
    assert max(session.sizes, default=0) <= BUCKETS[-1]
    if not failing:
        assert "CannotCompute" not in ends


def test_callers_of_one_turn_share_a_run() -> None:
    """The largest bucket bounds it; the others follow at once, in the order they came."""
    session = Doubling()
    batcher = batcher_of(session, on_loop=True)

    async def twenty() -> list[list[float]]:
        return await asyncio.gather(*(ask(batcher, number) for number in range(20)))

    assert simulate(twenty()) == [[number * 2.0] for number in range(20)]
    assert session.sizes == [16, 4]


def test_who_comes_during_a_run_is_in_the_next() -> None:
    """Rows gather while the thread is busy; nobody waits longer than for one run."""
    session = Doubling()
    batcher = batcher_of(session)

    async def come() -> list[list[float]]:
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0.05)
        later = [asyncio.create_task(ask(batcher, number, number)) for number in (2, 3, 4)]
        return await asyncio.gather(first, *later)

    assert simulate(come(), lambda: 0.1) == [[2.0], [4.0, 4.0], [6.0, 6.0], [8.0, 8.0]]
    assert session.sizes == [1, 6]


def test_with_a_delay_the_first_waits_for_others_until_the_run_is_full() -> None:
    """It waits no longer than the delay."""
    session = Doubling()
    batcher = batcher_of(session, on_loop=True, delay=0.01)

    async def come() -> float:
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0.005)
        await asyncio.gather(first, ask(batcher, 2))
        start = asyncio.get_running_loop().time()
        await asyncio.gather(*(ask(batcher, number) for number in range(16)))
        return asyncio.get_running_loop().time() - start

    assert simulate(come()) == 0
    assert session.sizes == [2, 16]


def test_a_full_queue_refuses_and_names_its_limit() -> None:
    """The limit is in rows; calls that wait are answered, and one that still fits gets in."""
    batcher = batcher_of(Doubling(), rows=4, seconds=100)

    async def come() -> QueueFull:
        first = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)  # it runs
        waiting = [asyncio.create_task(ask(batcher, 2, 3, 4))]
        await asyncio.sleep(0)
        with pytest.raises(QueueFull) as refused:
            await ask(batcher, 5, 6)
        waiting.append(asyncio.create_task(ask(batcher, 7)))
        await asyncio.gather(first, *waiting)
        return refused.value

    refused = simulate(come(), lambda: 10.0)
    assert "FORETELL_MAX_QUEUE_ROWS allows 4" in str(refused)
    assert batcher.waiting == 0


def test_a_call_longer_than_the_queue_gets_in_when_nobody_waits() -> None:
    """It could never be answered otherwise."""
    batcher = batcher_of(Doubling(), rows=4)
    assert simulate(ask(batcher, *range(16))) == [number * 2.0 for number in range(16)]


def test_whoever_waits_too_long_is_refused_while_the_run_goes_on() -> None:
    """At the limit, not when the thread is free again."""
    batcher = batcher_of(Doubling(), seconds=1.0)

    async def come() -> tuple[float, str]:
        slow = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0.5)
        with pytest.raises(QueueTimeout) as refused:
            await ask(batcher, 2)
        waited = asyncio.get_running_loop().time() - 0.5
        assert await slow == [2.0]
        return waited, str(refused.value)

    waited, reason = simulate(come(), lambda: 60.0)
    assert waited == pytest.approx(1.0)
    assert "1 s" in reason
    assert "FORETELL_QUEUE_TIMEOUT_SECONDS" in reason


def test_a_caller_who_leaves_frees_his_place_at_once() -> None:
    """His rows are never computed, and another's have their room."""
    session, counts = Doubling(), Series.detached(QUEUE)
    batcher = batcher_of(session, counts=counts, rows=2)

    async def come() -> None:
        running = asyncio.create_task(ask(batcher, 1))
        await asyncio.sleep(0.01)
        leaving = asyncio.create_task(ask(batcher, 2, 3))
        await asyncio.sleep(0)
        assert batcher.waiting == counts.values[WAITING] == 2
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        assert batcher.waiting == counts.values[WAITING] == 0
        assert await ask(batcher, 4, 5) == [8.0, 10.0]
        assert await running == [2.0]

    simulate(come(), lambda: 0.1)
    assert session.sizes == [1, 2]


def test_a_run_that_fails_fails_for_those_in_it_only() -> None:
    """The next callers are answered."""
    session = Doubling(lambda: len(session.sizes) == 1)
    batcher = batcher_of(session, on_loop=True, buckets=(1, 2))

    async def four() -> list[Any]:
        asked = (ask(batcher, number) for number in range(4))
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, *others = simulate(four())
    assert isinstance(first, CannotCompute)
    assert isinstance(second, CannotCompute)
    assert others == [[4.0], [6.0]]


def test_one_caller_by_himself_passes_the_queue_by() -> None:
    """The second call of a turn is batched; while calls are, none passes the queue by."""
    batcher = batcher_of(Doubling(), on_loop=True)

    async def turns() -> None:
        for _ in range(3):
            assert batcher.try_bypass()
            assert not batcher.try_bypass()
            await asyncio.sleep(0)
        await asyncio.gather(ask(batcher, 1), ask(batcher, 2))
        assert not batcher.try_bypass()
        await ask(batcher, 3)
        assert batcher.try_bypass()

    simulate(turns())
    assert not batcher_of(Doubling(), on_loop=False).try_bypass()
    assert not batcher_of(Doubling(), on_loop=True, delay=0.01).try_bypass()


@pytest.mark.parametrize("on_loop", [True, False])
def test_a_session_that_is_let_go_of_is_freed_with_its_last_call(on_loop: bool) -> None:
    """Counting references suffices: no timer, thread or cycle keeps it."""
    session = Doubling()
    freed = weakref.ref(session)
    batcher = batcher_of(session, on_loop=on_loop, seconds=300)
    del session

    async def call_and_let_go(batchers: list[Batcher]) -> bool:
        answers = [asyncio.create_task(ask(batchers[0], number)) for number in (1, 2)]
        await asyncio.sleep(0)
        batchers.clear()
        assert freed()
        assert await asyncio.gather(*answers) == [[2.0], [4.0]]
        answers.clear()
        await asyncio.sleep(0.01)
        return freed() is None

    held, batcher = [batcher], None  # type: ignore[assignment]
    gc.disable()
    try:
        assert simulate(call_and_let_go(held))
    finally:
        gc.enable()
