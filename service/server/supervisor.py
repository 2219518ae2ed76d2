"""Several processes that answer on one port, and the one that looks after them.

The parent has the port and answers nothing. Each worker is a process of its own, spawned, with
sessions of its own. On Linux it listens on a socket of its own at that port, and the kernel shares
new connections out among them (SO_REUSEPORT; of one shared socket, whoever wakes first takes all of
a burst); elsewhere all take them from the parent's socket.

At first all of them take connections at once, as alive and not ready; none says that it is ready
before all are. A worker that dies is replaced, and its successor takes no connection before it can
answer. (uvicorn's own supervisor knows neither of these, cannot be hurried by a second signal, and
leaves its workers behind when it is killed.)

What they count is in memory that the parent makes, each in its own place, so that any worker can
add it up: `metrics/board.py`.
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

from service.observability.metrics.shared_counters import SIZE
from service.observability.worker_slots import WorkerSlot, release
from service.server.sockets import reserve_port
from service.server.worker import run_worker
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

SHORTEST_LIFE = 1.0
"""Seconds from one start of a worker to the next, so that one that cannot live is no busy loop."""
MOST_DEATHS = 5
"""In a row, of workers that never got ready: then it is no use to start others, and on and on."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass
class Worker:
    """A process in a place."""

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
        self._deaths = [0] * settings.workers
        """For each place, how many there have died since one was ready."""
        self._signals: list[int] = []
        self._woken, self._wake = self._context.Pipe(duplex=False)
        self._stopping = self._failed = False

    def run(self) -> int:
        """Until a signal came and every worker has ended. 1 if workers cannot start at all."""
        before = {sig: signal.signal(sig, self._hear) for sig in SIGNALS}
        self._workers = [
            self._start(WorkerSlot(number, self._loaded, self._counted))
            for number in range(self._settings.workers)
        ]
        while waited := [w.process for w in self._workers if not self._stopping or _lives(w)]:
            # Also for one that has just died: what is not waited for is not replaced.
            ended = wait([self._woken, *(process.sentinel for process in waited)])
            while self._woken.poll():
                self._woken.recv_bytes()
                self._stop()
            self._workers = [
                self._successor(worker)
                if worker.process.sentinel in ended and not self._stopping
                else worker
                for worker in self._workers
            ]
        for sig, handler in before.items():
            signal.signal(sig, handler)
        if self._signals and not self._failed:
            signal.raise_signal(self._signals[0])  # ends this process as it would have ended one
        return 1

    def _hear(self, sig: int, _: FrameType | None) -> None:
        # Nothing more from here: the signal may have come in the middle of anything.
        self._signals.append(sig)
        self._wake.send_bytes(b"!")

    def _stop(self) -> None:
        """Ask every worker to end, or to hurry."""
        self._stopping = True
        self._listening.close()
        for worker in self._workers:
            if worker.process.exitcode is None and worker.process.pid:
                os.kill(worker.process.pid, signal.SIGTERM)

    def _start(self, slot: WorkerSlot) -> Worker:
        process = self._context.Process(
            target=run_worker, args=(self._settings, self._listening, slot)
        )
        # Ctrl-C reaches every process of a terminal: until a worker has left it, it must not hear.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.start()
        signal.signal(signal.SIGINT, handler)
        log.info("worker started", worker=slot.number, worker_pid=process.pid)
        return Worker(slot, process, time.monotonic())

    def _successor(self, worker: Worker) -> Worker:
        """In place of one that has ended; the same where no worker can start at all."""
        worker.process.join()  # its end is seen a moment before its exit status is there
        code = worker.process.exitcode
        number, pid = worker.slot.number, worker.process.pid
        log.error("worker died", worker=number, worker_pid=pid, exit=code)
        was_ready = release(self._counted, number) and code != STARTUP_FAILURE
        self._deaths[number] = 0 if was_ready else self._deaths[number] + 1
        if self._hopeless(worker.slot, code):
            log.error("workers cannot start", worker=number, deaths=self._deaths[number])
            self._failed = True
            self._stop()
            return worker
        # Returns at once when there is a signal, which is heard soon after.
        wait([self._woken], timeout=max(0.0, worker.started + SHORTEST_LIFE - time.monotonic()))
        return self._start(WorkerSlot(number, self._loaded, self._counted, replaces=True))

    def _hopeless(self, slot: WorkerSlot, code: int | None) -> bool:
        """Whether to give up. Not as long as others answer, in whose midst one was ready before."""
        if code == STARTUP_FAILURE and not slot.replaces:
            return True
        none_was_ready = not self._loaded[slot.number]
        deaths = self._deaths[slot.number] if none_was_ready else min(self._deaths)
        return deaths >= MOST_DEATHS


def _lives(worker: Worker) -> bool:
    return worker.process.exitcode is None


def run_workers(settings: Settings) -> int:
    """Take the port, and have several workers answer until SIGTERM or Ctrl-C: the exit status.

    Raises SettingsError.
    """
    return Supervisor(settings, reserve_port(settings)).run()
