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

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
import time
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess
from types import FrameType
from typing import Any

import structlog
from uvicorn.config import STARTUP_FAILURE

from service.errors import ForetellError
from service.observability.metrics.shared_counters import SIZE
from service.observability.worker_slots import vacate
from service.server.sockets import addresses, refused
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

SHORTEST_LIFE = 1.0
"""Seconds from one start of a worker to the next, so that one that cannot live is no busy loop."""
MOST_DEATHS = 5
"""In a row, of workers that never got ready: then it is no use to start others, and on and on."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)
SHARED_OUT = sys.platform == "linux"
"""Whether the kernel shares out connections among sockets at one port; others give them to one."""


@dataclass(frozen=True)
class Place:
    """One worker's place among all."""

    number: int
    loaded: MutableSequence[int]
    """Shared by all: for each place, 1 once a worker there has loaded every model."""
    counted: Sequence[Any] = ()
    """Shared by all: for each place, the memory in which a worker there counts."""
    replaces: bool = False
    """Whether another worker had the place before."""

    @property
    def speaks(self) -> bool:
        """Whether this worker is the one that says where all of them listen."""
        return self.number == 0 and not self.replaces

    def taken(self) -> None:
        """This worker has loaded every model."""
        self.loaded[self.number] = 1
        log.info("worker ready", worker=self.number)

    @property
    def missing(self) -> str | None:
        """Which workers have not loaded every model since the service began, in words."""
        count = sum(self.loaded)
        return None if count == len(self.loaded) else f"{count} of {len(self.loaded)} are ready"


@dataclass
class Worker:
    """A process in a place."""

    place: Place
    process: SpawnProcess
    started: float


class Workers:
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
            self._start(Place(number, self._loaded, self._counted))
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

    def _start(self, place: Place) -> Worker:
        process = self._context.Process(target=work, args=(self._settings, self._listening, place))
        # Ctrl-C reaches every process of a terminal: until a worker has left it, it must not hear.
        handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
        process.start()
        signal.signal(signal.SIGINT, handler)
        log.info("worker started", worker=place.number, worker_pid=process.pid)
        return Worker(place, process, time.monotonic())

    def _successor(self, worker: Worker) -> Worker:
        """In place of one that has ended; the same where no worker can start at all."""
        worker.process.join()  # its end is seen a moment before its exit status is there
        code = worker.process.exitcode
        number, pid = worker.place.number, worker.process.pid
        log.error("worker died", worker=number, worker_pid=pid, exit=code)
        was_ready = vacate(self._counted, number) and code != STARTUP_FAILURE
        self._deaths[number] = 0 if was_ready else self._deaths[number] + 1
        if self._hopeless(worker.place, code):
            log.error("workers cannot start", worker=number, deaths=self._deaths[number])
            self._failed = True
            self._stop()
            return worker
        # Returns at once when there is a signal, which is heard soon after.
        wait([self._woken], timeout=max(0.0, worker.started + SHORTEST_LIFE - time.monotonic()))
        return self._start(Place(number, self._loaded, self._counted, replaces=True))

    def _hopeless(self, place: Place, code: int | None) -> bool:
        """Whether to give up. Not as long as others answer, in whose midst one was ready before."""
        if code == STARTUP_FAILURE and not place.replaces:
            return True
        none_was_ready = not self._loaded[place.number]
        deaths = self._deaths[place.number] if none_was_ready else min(self._deaths)
        return deaths >= MOST_DEATHS


def _lives(worker: Worker) -> bool:
    return worker.process.exitcode is None


def run_workers(settings: Settings) -> int:
    """Take the port, and have several workers answer until SIGTERM or Ctrl-C: the exit status.

    Raises SettingsError.
    """
    return Workers(settings, _take(settings)).run()


def _take(settings: Settings) -> socket.socket:
    """The port, for as long as the service runs; `check_ports` has found it free."""
    family, address = addresses(settings)[0]
    try:
        if not SHARED_OUT:
            return socket.create_server(address, family=family)
        try:
            # Nobody else's check finds it free then, not even while no worker listens.
            return _sharing(family, address, reuse=False)
        except OSError:
            # A service of one process has left connections there that wait for their end.
            return _sharing(family, address)
    except OSError as error:
        raise refused(error, settings.host, settings.port) from error


def _sharing(family: int, address: Any, *, reuse: bool = True) -> socket.socket:
    """A socket at an address that others of this user may have as well.

    `reuse`: also where, and so that, connections that wait for their end are in nobody's way.
    """
    sharing = socket.socket(family, socket.SOCK_STREAM)
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        sharing.bind(address)
    except OSError:
        sharing.close()
        raise
    sharing.set_inheritable(True)
    return sharing


def log_listening(listening: socket.socket) -> None:
    """Where a socket listens: with port 0, only it knows."""
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    log.info("listening", url=url, docs=f"{url}/docs")


def work(settings: Settings, listening: socket.socket, place: Place) -> None:
    """The life of one worker, in its own process."""
    from service.observability.logs import configure_logs

    os.setsid()  # away from the terminal: signals come from the parent
    configure_logs(settings)
    try:
        from service.api.app import create_app
        from service.server.uvicorn_server import Server

        if SHARED_OUT:
            listening = _sharing(listening.family, listening.getsockname())
        server = Server(create_app(settings, place), settings)
        server.run([listening])
    except Exception as error:  # a folder that cannot be read, say; any would end the process
        known = isinstance(error, ForetellError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        log.error("worker cannot start", reason=reason, exc_info=not known)
        sys.exit(STARTUP_FAILURE)
    if not server.started:
        sys.exit(STARTUP_FAILURE)  # uvicorn has said why


def end_with_parent() -> None:
    """Make the running loop end this worker, as SIGTERM does, when its parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(parent.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(parent.sentinel, end)
