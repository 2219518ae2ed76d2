"""The parent of several workers on one port.

The parent reserves the port and answers nothing. Each worker is a spawned process with its own ONNX
sessions. On Linux each listens on its own socket at that port, and the kernel spreads connections
over them (SO_REUSEPORT; at one shared socket, the worker that wakes first takes all of a burst). On
other systems all accept from the parent's socket.

Workers that start together listen at once, as live and not ready, and none is ready before all are.
A worker that dies is replaced; its successor listens only once it can answer. One whose event loop
stands still for `HANG_SECONDS` is killed first. uvicorn's supervisor does none of it, does not stop
sooner at a second signal, and leaves its workers running when killed.

Workers count in memory that the parent allocates, each in its slot, so that any worker can add up
all: `observability/metrics/shared_counters.py`.
"""

import multiprocessing
import os
import signal
import socket
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType

import structlog
from uvicorn.config import STARTUP_FAILURE

from service.observability.logs import logs
from service.observability.metrics.shared_counters import SIZE
from service.observability.worker_slots import WorkerSlot, release
from service.server.sockets import reserve_port
from service.server.worker import run_worker
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

SHORTEST_LIFE = 1.0
"""Seconds between two starts in a slot, so that a worker that dies at once is no busy loop."""
MOST_DEATHS = 5
"""Workers of a slot that may die in a row without ever being ready; then the service ends."""
LOOK_SECONDS = 1.0
"""Time between two looks at the workers' signs of life."""
HANG_SECONDS = 10.0
"""Time without a sign of life after which a worker is killed and replaced."""
KILL_SECONDS = 5.0
"""Time beyond the longest stop of the settings after which workers are killed."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Worker:
    """A process in a slot."""

    slot: WorkerSlot
    process: SpawnProcess
    started: float


class Supervisor:
    """Starts workers, replaces those that die, and passes signals on."""

    def __init__(self, settings: Settings, listening: socket.socket) -> None:
        self._settings, self._listening = settings, listening
        self._context = multiprocessing.get_context("spawn")
        self._loaded = self._context.RawArray("B", settings.workers)
        self._counted = [self._context.RawArray("B", SIZE) for _ in range(settings.workers)]
        self._workers: list[Worker] = []
        self._beats = self._context.RawArray("d", settings.workers)
        self._looked = time.monotonic()
        self._kill_at: float | None = None
        """Time at which a stop has taken too long; None before a stop."""
        self._deaths = [0] * settings.workers
        """For each slot, how many workers have died since one was ready."""
        self._signals: list[int] = []
        self._wakeups, self._wakeup = self._context.Pipe(duplex=False)
        self._stopping = self._failed = False

    def run(self) -> int:
        """Run until a signal has come and every worker has ended, or until none can start.

        Ends the process by the first signal, as that would have done; else returns 1.
        """
        before = {sig: signal.signal(sig, self._on_signal) for sig in SIGNALS}
        self._workers = [
            self._start(WorkerSlot(number, self._loaded, self._counted, self._beats))
            for number in range(self._settings.workers)
        ]
        while waited := [w.process for w in self._workers if not self._stopping or _is_alive(w)]:
            # One that has just died is waited for, too: else it would not be replaced.
            sentinels = [process.sentinel for process in waited]
            ended = wait([self._wakeups, *sentinels], timeout=LOOK_SECONDS)
            while self._wakeups.poll():
                self._wakeups.recv_bytes()
                self._stop()
            self._look()
            self._workers = [
                self._successor(worker)
                if worker.process.sentinel in ended and not self._stopping
                else worker
                for worker in self._workers
            ]
        for sig, handler in before.items():
            signal.signal(sig, handler)
        logs.flush()
        if self._signals and not self._failed:
            signal.raise_signal(self._signals[0])
        return 1

    def _on_signal(self, sig: int, _: FrameType | None) -> None:
        # A handler does no more: the signal may have interrupted anything.
        self._signals.append(sig)
        self._wakeup.send_bytes(b"!")

    def _stop(self) -> None:
        """Have every worker stop, the second time at once."""
        if self._stopping:
            self._signal(signal.SIGKILL)
            return
        self._stopping = True
        self._kill_at = time.monotonic() + KILL_SECONDS + self._settings.stop_seconds
        self._listening.close()
        self._signal(signal.SIGTERM)

    def _signal(self, sig: int) -> None:
        for worker in self._workers:
            if worker.process.exitcode is None and worker.process.pid:
                os.kill(worker.process.pid, sig)

    def _look(self) -> None:
        """Kill what hangs: a worker without a sign of life, or all that outlive their stop."""
        before, self._looked = self._looked, time.monotonic()
        if self._kill_at is not None:
            if self._looked > self._kill_at:
                log.error("workers outlive their stop and are killed")
                self._signal(signal.SIGKILL)
                self._kill_at = None
            return
        if self._looked - before > HANG_SECONDS / 2:
            return  # this process stood still, too, and maybe the whole machine
        for worker in self._workers:
            beat = self._beats[worker.slot.number]
            silent = self._looked - beat
            if beat and silent > HANG_SECONDS and worker.process.pid and _is_alive(worker):
                number, pid = worker.slot.number, worker.process.pid
                log.error("worker hangs", worker=number, worker_pid=pid, seconds=round(silent, 1))
                os.kill(pid, signal.SIGKILL)

    def _start(self, slot: WorkerSlot) -> Worker:
        process = self._context.Process(
            target=run_worker, args=(self._settings, self._listening, slot)
        )
        # Ctrl-C reaches every process of a terminal: a worker ignores it until it has left.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.start()
        signal.signal(signal.SIGINT, handler)
        log.info("worker started", worker=slot.number, worker_pid=process.pid)
        return Worker(slot, process, time.monotonic())

    def _successor(self, worker: Worker) -> Worker:
        """Start and return a successor in the slot; return the dead worker if none can start."""
        worker.process.join()  # its sentinel is ready a moment before its exit status
        code = worker.process.exitcode
        number, pid = worker.slot.number, worker.process.pid
        log.error("worker died", worker=number, worker_pid=pid, exit=code)
        was_ready = release(self._counted, number) and code != STARTUP_FAILURE
        self._deaths[number] = 0 if was_ready else self._deaths[number] + 1
        if self._should_give_up(worker.slot, code):
            log.error("workers cannot start", worker=number, deaths=self._deaths[number])
            self._failed = True
            self._stop()
            return worker
        # Returns at once when a signal comes; `run` reads it.
        wait([self._wakeups], timeout=max(0.0, worker.started + SHORTEST_LIFE - time.monotonic()))
        self._beats[number] = 0
        return self._start(
            WorkerSlot(number, self._loaded, self._counted, self._beats, replaces=True)
        )

    def _should_give_up(self, slot: WorkerSlot, code: int | None) -> bool:
        """Return True when no other worker is to be started.

        That is when the first worker of a slot cannot start, or after MOST_DEATHS in a row: of this
        slot if it was never ready, else of every slot, because the others may still answer.
        """
        if code == STARTUP_FAILURE and not slot.replaces:
            return True
        none_was_ready = not self._loaded[slot.number]
        deaths = self._deaths[slot.number] if none_was_ready else min(self._deaths)
        return deaths >= MOST_DEATHS


def _is_alive(worker: Worker) -> bool:
    return worker.process.exitcode is None


def run_workers(settings: Settings) -> int:
    """Reserve the port, and run workers until SIGTERM or Ctrl-C. Return the exit status.

    Raises SettingsError.
    """
    return Supervisor(settings, reserve_port(settings)).run()
