"""Reading pictures in processes of their own.

Reading is some eighty short calls of OpenCV and NumPy. On a thread each of them takes the lock of
the interpreter anew, from the event loop or waiting for it; a process leaves the loop alone, and a
picture that kills what decodes it kills no worker (benchmarks/gains-pictures.md has the figures).
"""

import asyncio
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from service.errors import DecodersUnavailable, PictureError, UnreadableImage
from service.images.decoders import decoder_process
from service.images.decoders.decoder_process import LENGTH, READY, encode_frame
from service.observability.metrics.families import Counter
from service.observability.metrics.shared_counters import Metric, SharedCounters

Image = NDArray[np.uint8] | PictureError
"""uint8[height, width], or what is wrong with the picture."""

PICTURES_IN_FLIGHT = 1
"""Pictures that a process has been given at a time. With 2 the next is there when one is read: an
eighth more are answered, and other models' slowest answers take up to twice as long."""
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**24), "MALLOC_MMAP_THRESHOLD_": str(2**21)}
"""Settings of glibc in bytes, which keep freed memory for the next picture; else without effect."""
DECODE_TIMEOUT_SECONDS = 60.0
"""Seconds that one picture may take; the largest allowed takes three."""
START_TIMEOUT_SECONDS = 60.0
"""Seconds that a process may take to begin."""
RESTART_PAUSE_SECONDS = 1.0
"""Seconds from one failed beginning to the next."""
MAX_ATTEMPTS = 2
"""Processes that one picture may end, and that may fail to begin: once may be a coincidence."""

DECODER_RESTARTS = Metric(
    "decoder_restarts",
    (),
    ("restarts",),
    (
        Counter(
            "foretell_decoder_restarts_total",
            "Image decoder processes that died and were to be replaced",
            ("restarts",),
        ),
    ),
)

log = structlog.get_logger("foretell")


@dataclass(eq=False)
class DecodeRequest:
    """One picture that a process was given."""

    frame: tuple[bytes, bytes]
    image: "asyncio.Future[Image]"
    deaths: int = 0

    def answer(self, image: object) -> None:
        """Give the caller its image; one that has gone away gets none."""
        if isinstance(image, Exception) and not isinstance(image, PictureError):
            self.image.set_exception(image)
        else:
            assert isinstance(image, np.ndarray | PictureError)
            self.image.set_result(image)


class DecoderProcess:
    """A process that reads pictures in their order, and its successors.

    One that ends is replaced, and its successor is given the pictures again, but for one that has
    ended `MAX_ATTEMPTS` of them.
    """

    def __init__(self, died: Callable[[], None]) -> None:
        """`died` is told of each process that ends by itself."""
        self._died = died
        self._asked: deque[DecodeRequest] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ready = False
        self._limit: asyncio.TimerHandle | None = None
        self._failures = 0
        self.down: str | None = None
        """Why there is no process, where several in a row did not begin."""
        # Of no request: the log would name the one that came first for ever.
        self._life = asyncio.create_task(self._live(), context=Context())

    def __len__(self) -> int:
        return len(self._asked)

    @property
    def pid(self) -> int | None:
        """The process id; None while there is no process."""
        return self._process.pid if self._process else None

    def submit(self, frame: tuple[bytes, bytes]) -> "asyncio.Future[Image]":
        """Return a future of the decoded frame, not to be cancelled. Raises DecodersUnavailable."""
        if self.down is not None:
            raise DecodersUnavailable(self.down)
        asked = DecodeRequest(frame, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._ready:
            self._give(asked)
        return asked.image

    async def close(self) -> None:
        """End the process. To be called when nothing is asked of it any more."""
        self._life.cancel()
        with suppress(asyncio.CancelledError):
            await self._life

    async def _live(self) -> None:
        try:
            while True:
                try:
                    await self._pass_on(await self._begin())
                except Exception as error:  # whatever it is, there has to be a process
                    began, status = self._ready, await self._end()
                    if began:
                        self._bury(error, status)
                    else:
                        self._fail(error, status)
                        await asyncio.sleep(RESTART_PAUSE_SECONDS)
        finally:
            await self._end()

    async def _begin(self) -> asyncio.StreamReader:
        """Start a process and give it what is asked; where its answers come from."""
        self._process, ours = _started()
        answers, self._writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            await answers.readexactly(len(READY))
        self._ready, self._failures, self.down = True, 0, None
        for asked in self._asked:
            self._give(asked)
        return answers

    def _give(self, asked: DecodeRequest) -> None:
        assert self._writer is not None
        if self._writer.transport.is_closing():
            return  # it has just died; its successor is given all that is asked
        self._writer.writelines(asked.frame)
        if asked is self._asked[0]:
            self._watch()

    async def _pass_on(self, answers: asyncio.StreamReader) -> None:
        """Pass answers on until the process ends. Raises OSError or EOFError."""
        while True:
            (length,) = LENGTH.unpack(await answers.readexactly(LENGTH.size))
            image = pickle.loads(await answers.readexactly(length))
            self._asked.popleft().answer(image)
            self._watch()

    def _watch(self) -> None:
        """Give the picture that is read now its time."""
        if self._limit is not None:
            self._limit.cancel()
        loop = asyncio.get_running_loop()
        self._limit = loop.call_later(DECODE_TIMEOUT_SECONDS, self._stop) if self._asked else None

    def _stop(self) -> None:
        self._asked[0].deaths = MAX_ATTEMPTS - 1  # it would take as long again
        assert self._process is not None
        self._process.kill()

    def _bury(self, error: Exception, status: int | None) -> None:
        """Put aside a picture that ended a process over again."""
        self._died()
        expected = isinstance(error, OSError | EOFError)
        facts = {"status": status, "pictures": len(self._asked)}
        log.warning("decoder died", **facts, exc_info=None if expected else error)
        if not self._asked:
            return
        self._asked[0].deaths += 1
        if self._asked[0].deaths >= MAX_ATTEMPTS:
            reason = "the process that read it died of it, or took too long"
            self._asked.popleft().answer(UnreadableImage(reason))

    def _fail(self, error: Exception, status: int | None) -> None:
        """Refuse everything once several processes in a row did not begin."""
        self._failures += 1
        if self._failures < MAX_ATTEMPTS:
            return
        if isinstance(error, TimeoutError):
            why = f"it did not begin within {START_TIMEOUT_SECONDS:g} s"
        elif isinstance(error, EOFError):
            why = f"it ended at once, status {status}"
        else:
            why = str(error)
        reason = f"no process that reads pictures can be started: {why}"
        if reason != self.down:  # or the log had it every second
            log.error("decoder failed", reason=reason)
        self.down = reason
        while self._asked:
            self._asked.popleft().answer(DecodersUnavailable(reason))

    async def _end(self) -> int | None:
        """End the process; return its exit status, None without a process."""
        self._ready = False
        if self._limit is not None:
            self._limit.cancel()
        if self._writer is not None:
            self._writer.close()
        if self._process is None:
            return None
        status = await _ended(self._process)
        self._process = self._writer = None
        return status


def _started() -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a process; return it and our end of its standard input. Raises OSError."""
    # -P: what lies in the working directory is none of its modules. Warnings are not for a log.
    code = f"from {decoder_process.__name__} import main; main()"
    command = [sys.executable, "-P", "-W", "ignore", "-c", code]
    found = os.pathsep.join(path for path in sys.path if path)
    environment = MALLOC | os.environ | {"PYTHONPATH": found}
    ours, theirs = socket.socketpair()
    # Ctrl-C reaches every process of a terminal: until this one has left it to us, it waits.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, decoder_process.SIGNALS)
    try:
        with theirs:
            process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)
        ours.setblocking(False)
    except BaseException:
        ours.close()
        raise
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return process, ours


async def _ended(process: "subprocess.Popen[bytes]") -> int:
    """Return the exit status of a process whose connection is closed."""
    with suppress(TimeoutError):  # it hangs
        async with asyncio.timeout(1):
            while process.poll() is None:
                await asyncio.sleep(0.01)
    process.kill()
    return process.wait()


class DecoderPool:
    """So many processes that read pictures, started with the first. For use on one event loop."""

    def __init__(self, count: int, counters: SharedCounters) -> None:
        """Run `count` processes; restarts are counted in `counters`."""
        self._count, self._counters = count, counters
        self._decoders: list[DecoderProcess] = []
        self._places = asyncio.Semaphore(count * PICTURES_IN_FLIGHT)

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [pid for decoder in self._decoders if (pid := decoder.pid)]

    def start(self) -> None:
        """Start the processes, once."""
        if not self._decoders:
            self._decoders = [DecoderProcess(self._note_death) for _ in range(self._count)]

    def _note_death(self) -> None:
        self._counters.series(DECODER_RESTARTS).add(1)

    async def read(self, function: str, encoded: bytes, max_pixels: int) -> Image:
        """Return what the function `module:name` makes of an encoded picture.

        A caller that is cancelled leaves the line; what is read already keeps its place until it is
        read. Raises DecodersUnavailable.
        """
        self.start()
        await self._places.acquire()
        try:
            able = [decoder for decoder in self._decoders if decoder.down is None]
            chosen = min(able or self._decoders, key=len)
            image = chosen.submit(encode_frame((function, encoded, max_pixels)))
        except BaseException:
            self._places.release()
            raise
        image.add_done_callback(self._leave)
        return await asyncio.shield(image)

    def _leave(self, image: "asyncio.Future[Image]") -> None:
        self._places.release()
        image.exception()  # or asyncio complains where its caller has gone away

    async def close(self) -> None:
        """End the processes. To be called when nothing is asked of them any more."""
        await asyncio.gather(*(decoder.close() for decoder in self._decoders))
