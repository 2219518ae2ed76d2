"""Plans of batching that were made on a busy machine, and are made again when it is quiet."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog
from numpy.typing import NDArray

from service.models.runtime.measurement import Measurement, measure
from service.models.runtime.session import OnnxSession
from service.models.versions.registry import ModelRegistry
from service.models.versions.remeasurement import FIRST_DELAY, MAX_ATTEMPTS, Remeasurement
from service.models.versions.watcher import Watcher
from service.settings.limits import QueueLimits
from tests.service.models.test_versions import HEART, label, publish
from tests.waiting import wait_until


class Clocks:
    """A clock, and one of this thread's time on a core, which move as they are told."""

    def __init__(self) -> None:
        self.now = self.on_core = 0.0

    def run(self, seconds: float, share: float = 1.0) -> None:
        """Let time pass, of which the thread has a core for this share."""
        self.now += seconds
        self.on_core += seconds * share


def measured(times: list[float], share: float = 1.0, *, computes: bool = True) -> Measurement:
    """Measure runs that take so many seconds."""
    clocks, rest = Clocks(), iter(times)
    return measure(
        lambda: clocks.run(next(rest), share),
        len(times),
        computes=computes,
        clock=lambda: clocks.now,
        cpu_clock=lambda: clocks.on_core,
    )


def test_a_quiet_machine_takes_the_same_time_every_time() -> None:
    """The median, in microseconds; one slow run of seven is no sign of load."""
    found = measured([1e-4, 1e-4, 1.1e-4, 1.1e-4, 1.1e-4, 1.2e-4, 9e-4])
    assert found.us == pytest.approx(110)
    assert found.quiet


def test_a_busy_machine_is_told_by_the_spread_of_times() -> None:
    """A median far from the least."""
    assert not measured([1e-4, 3e-4, 3e-4, 3e-4, 3e-4]).quiet


def test_a_busy_machine_is_told_by_the_time_without_a_core() -> None:
    """Every run may be slowed alike; on CUDA, where a thread waits for the GPU, it is no sign."""
    assert not measured([3e-4] * 7, share=0.6).quiet
    assert measured([3e-4] * 7, share=0.6, computes=False).quiet


class Machine:
    """A machine on which 16 rows take hardly longer than one, unless it is busy."""

    def __init__(self) -> None:
        self.busy = True
        self.now = 0.0
        self.measured = 0

    def row(self, _: NDArray[Any]) -> Measurement:
        """Time one row."""
        self.measured += 1
        return Measurement(90.0 if self.busy else 30.0, not self.busy)

    def batch(self, batch: NDArray[Any]) -> Measurement:
        """Time a batch."""
        us = (100.0 if self.busy else 2.0) * len(batch) + 30.0
        return Measurement(us, not self.busy)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """The machine that sessions are timed on."""
    found = Machine()
    monkeypatch.setattr(OnnxSession, "measure_row", found.row)
    monkeypatch.setattr(OnnxSession, "measure_batch", found.batch)
    return found


@pytest.fixture
def registry(machine: Machine, tmp_path: Path) -> Iterator[ModelRegistry]:
    """Heart, loaded while the machine was busy."""
    publish(tmp_path, "1")
    found = ModelRegistry(tmp_path, {"heart": HEART}, "cpu", queue=QueueLimits(mode="on"))
    found.versions_of("heart").remeasurement = Remeasurement(lambda: machine.now)
    found.refresh()
    yield found
    found.close()


def sizes(registry: ModelRegistry) -> tuple[int, ...]:
    """Rows of the batches that calls are answered in now."""
    return registry.default_of("heart").batching.buckets


def measure_for(registry: ModelRegistry, machine: Machine, seconds: float) -> None:
    """Let time pass, with a look every second."""
    for _ in range(round(seconds)):
        machine.now += 1
        registry.measure_again()


def test_a_plan_of_a_busy_machine_stays_until_the_machine_is_quiet(
    registry: ModelRegistry, machine: Machine
) -> None:
    """A busy measurement replaces nothing; the first quiet one does, and is the last."""
    assert (sizes(registry), registry.awaits_quiet) == ((1, 2, 4), True)
    measure_for(registry, machine, 60)
    assert sizes(registry) == (1, 2, 4)
    assert machine.measured == 5  # at 0, 3, 7, 15 and 31 s
    machine.busy = False
    with structlog.testing.capture_logs() as events:
        measure_for(registry, machine, 60)
    assert (sizes(registry), registry.awaits_quiet) == ((1, 2, 4, 8, 16, 32, 64), False)
    assert registry.default_of("heart").row_us == 30.0
    assert [e["event"] for e in events] == ["model measured again"]
    before = machine.measured
    measure_for(registry, machine, 60)
    assert machine.measured == before


def test_a_machine_that_is_never_quiet_is_measured_a_bounded_number_of_times(
    registry: ModelRegistry, machine: Machine
) -> None:
    """Ever more rarely; then it is logged, and the plan stays as it is."""
    with structlog.testing.capture_logs() as events:
        measure_for(registry, machine, FIRST_DELAY * 2 ** (MAX_ATTEMPTS + 1))
    assert machine.measured == 1 + MAX_ATTEMPTS
    assert [e["event"] for e in events] == ["machine never quiet"]
    assert not registry.awaits_quiet


def test_calls_that_wait_are_answered_by_the_plan_that_they_came_to(
    registry: ModelRegistry, machine: Machine
) -> None:
    """All of them, and those that come afterwards by the new one."""
    machine.busy = False

    async def calls() -> None:
        old = registry.default_of("heart")
        waiting = [asyncio.create_task(old.answer_row([float(age)] * 13)) for age in range(10)]
        await asyncio.sleep(0)
        assert old.batcher is not None
        assert old.batcher.waiting > 0
        await asyncio.to_thread(measure_for, registry, machine, 4)
        new = registry.default_of("heart")
        assert new is not old
        assert new.session is old.session
        waiting += [asyncio.create_task(new.answer_row([float(age)] * 13)) for age in range(10)]
        answers = await asyncio.gather(*waiting)
        assert answers[:10] == answers[10:]

    asyncio.run(calls())


def test_a_new_plan_is_no_new_version(
    registry: ModelRegistry, machine: Machine, tmp_path: Path
) -> None:
    """No version is said to drain or to change; a shadow goes on, with the sums that it has."""
    publish(tmp_path, "2")
    label(tmp_path, stable="1", next={"version": "2", "shadow": 1})
    registry.refresh()
    versions = registry.versions_of("heart")
    registry.default_of("heart").predict(np.zeros((3, 13), np.float32))
    machine.busy = False
    with structlog.testing.capture_logs() as events:
        measure_for(registry, machine, 4)
    assert {e["event"] for e in events} == {"model measured again"}
    assert [state.state for state in versions.states()] == ["ready", "ready"]
    registry.default_of("heart").predict(np.zeros((3, 13), np.float32))
    shadow = versions.traffic.shadow
    assert shadow is not None
    wait_until(lambda: shadow.comparison.rows == 6)


@pytest.mark.parametrize("poll_seconds", [0.01, 0])
def test_the_watcher_measures_again_on_its_own_thread(
    registry: ModelRegistry,
    machine: Machine,
    poll_seconds: float,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A folder that is not polled is no hindrance; there the thread ends when it is done."""
    monkeypatch.setattr("service.models.versions.watcher.FIRST_DELAY", 0.01)
    looked: list[Callable[[], None]] = []
    watcher = Watcher(registry, poll_seconds, lambda: looked.append(print))
    watcher.start()
    watcher.wait()
    machine.busy = False
    machine.now += 60
    wait_until(lambda: not registry.awaits_quiet or _later(machine))
    assert sizes(registry)[-1] == 64
    assert bool(poll_seconds) is (len(looked) > 1)
    watcher.stop()


def _later(machine: Machine) -> bool:
    machine.now += 60
    return False
