"""Decoding pictures in processes of their own.

It is some eighty short calls of OpenCV and NumPy. On a thread each of them takes the lock of the
interpreter anew, from the event loop or waiting for it; a process leaves the loop alone, and a
picture that kills what decodes it kills no worker (benchmarks/gains-pictures.md has the figures).
"""

import asyncio
import os
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

from service.errors import (
    DecodersBusy,
    DecodersUnavailable,
    ImageTooLarge,
    PictureError,
    UnreadableImage,
)
from service.images.decoders import decoder_process
from service.images.decoders.decoder_process import (
    ANSWER,
    ERRORS,
    LONGEST_TEXT,
    PIXELS,
    READY,
    REQUEST,
    DecoderSettings,
    ReadingFailed,
)
from service.observability.metrics.families import Counter, Gauge
from service.observability.metrics.shared_counters import Metric, SharedCounters
from service.settings.limits import QueueLimits

Image = NDArray[np.uint8] | PictureError
"""uint8[height, width], or what is wrong with the picture."""

PICTURES_IN_FLIGHT = 1
"""Pictures that a process has been given at a time. With 2 the next is there when one is read: an
eighth more are answered, and other models' slowest answers take up to twice as long."""
MOST_WAITING_BYTES = 128 * 2**20
"""Bytes of all pictures that wait; one more finds no room, unless no other waits."""
MALLOC = {"MALLOC_TRIM_THRESHOLD_": str(2**24), "MALLOC_MMAP_THRESHOLD_": str(2**21)}
"""Settings of glibc in bytes, which keep freed memory for the next picture; else without effect."""
THREADS = {"OPENBLAS_NUM_THREADS": "1"}
"""NumPy's own threads would take memory, and a picture is decoded by one."""
KEPT = ("LD_LIBRARY_PATH",)
"""Variables without which some Pythons do not start; a process gets no other of the service's."""
DECODE_TIMEOUT_SECONDS = 60.0
"""Seconds that one picture may take; processor time is limited by the process itself."""
START_TIMEOUT_SECONDS = 60.0
"""Seconds that a process may take to begin."""
RESTART_PAUSE_SECONDS = 1.0
"""Seconds from one failed beginning to the next."""
MAX_ATTEMPTS = 2
"""Processes that one picture may end, and that may fail to begin: once may be a coincidence."""

DECODERS = Metric(
    "decoders",
    (),
    ("restarts", "full", "timeout", "unavailable", "waiting", "down"),
    (
        Counter(
            "foretell_decoder_restarts_total",
            "Image decoder processes that died and were to be replaced",
            ("restarts",),
        ),
        Counter(
            "foretell_decoder_rejected_pictures_total",
            "Pictures that no decoder process decoded",
            ("full", "timeout", "unavailable"),
            by="reason",
        ),
        Gauge(
            "foretell_decoder_queue_pictures",
            "Pictures that wait for a decoder process",
            ("waiting",),
        ),
        Gauge("foretell_decoders_down", "Decoder processes that cannot be started", ("down",)),
    ),
)
RESTARTS, FULL, TIMEOUT, UNAVAILABLE, WAITING, DOWN = range(6)

log = structlog.get_logger("foretell")


@dataclass(eq=False)
class DecodeRequest:
    """One picture that a process is given."""

    reader: int
    size: tuple[int, int]
    """Rows and columns that it is to have."""
    encoded: bytes
    image: "asyncio.Future[Image]"
    deaths: int = 0

    def frame(self) -> tuple[bytes, bytes]:
        """Return what is sent to a process."""
        return REQUEST.pack(self.reader, len(self.encoded)), self.encoded

    def read_answer(self, code: int, content: bytes) -> None:
        """Give the caller its image or error. Raises ValueError if it is none, KeyError likewise.

        A process that was taken over may have written it.
        """
        if code == PIXELS:
            self.answer(np.frombuffer(content, np.uint8).reshape(self.size))
        else:
            self.answer(ERRORS[code](content.decode()))

    def longest_answer(self) -> int:
        """Return the most bytes that an answer may have."""
        return max(self.size[0] * self.size[1], 4 * LONGEST_TEXT)

    def answer(self, image: NDArray[np.uint8] | Exception) -> None:
        """Give the caller its image; one that has gone away gets none."""
        if isinstance(image, np.ndarray | PictureError):
            self.image.set_result(image)
        else:
            if isinstance(image, ReadingFailed):  # of an exception the log has no text
                log.error("decoder error", traceback=str(image))
            self.image.set_exception(image)


class DecoderProcess:
    """A process that reads pictures in their order, and its successors.

    One that ends is replaced, and its successor is given the pictures again, but for one that has
    ended `MAX_ATTEMPTS` of them.
    """

    def __init__(
        self, settings: DecoderSettings, died: Callable[[], None], changed: Callable[[], None]
    ) -> None:
        """`died` is told of each process that ends by itself, `changed` that `down` may have."""
        self._settings, self._died, self._changed = settings, died, changed
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

    def submit(self, asked: DecodeRequest) -> None:
        """Have a picture decoded; its future is not to be cancelled. Raises DecodersUnavailable."""
        if self.down is not None:
            raise DecodersUnavailable(self.down)
        self._asked.append(asked)
        if self._ready:
            self._give(asked)

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
        self._process, ours = _started(self._settings)
        answers, self._writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(START_TIMEOUT_SECONDS):
            await answers.readexactly(len(READY))
        self._ready, self._failures, self.down = True, 0, None
        self._changed()
        for asked in self._asked:
            self._give(asked)
        return answers

    def _give(self, asked: DecodeRequest) -> None:
        assert self._writer is not None
        if self._writer.transport.is_closing():
            return  # it has just died; its successor is given all that is asked
        self._writer.writelines(asked.frame())
        if asked is self._asked[0]:
            self._watch()

    async def _pass_on(self, answers: asyncio.StreamReader) -> None:
        """Pass answers on until the process ends. Raises OSError or EOFError."""
        while True:
            code, length = ANSWER.unpack(await answers.readexactly(ANSWER.size))
            asked = self._asked[0]
            if length > asked.longest_answer():
                raise ValueError(f"expected {asked.longest_answer()} bytes at most, got {length}")
            asked.read_answer(code, await answers.readexactly(length))
            self._asked.popleft()
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
        if status == -signal.SIGXCPU:
            most = f"{self._settings.cpu_seconds} s of processor time"
            reason = f"decoding the picture takes more than {most}"
            self._asked.popleft().answer(ImageTooLarge(reason))
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
        self._changed()
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


def _started(settings: DecoderSettings) -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """Start a process; return it and our end of its standard input. Raises OSError."""
    # -P: what lies in the working directory is none of its modules. Warnings are not for a log.
    code = f"from {decoder_process.__name__} import main; main()"
    command = [sys.executable, "-P", "-W", "ignore", "-c", code, *settings.arguments()]
    found = os.pathsep.join(path for path in sys.path if path)
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment = MALLOC | THREADS | kept | {"PYTHONPATH": found}
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
    """So many processes that decode pictures, started with the first. For use on one event loop."""

    def __init__(
        self, count: int, settings: DecoderSettings, queue: QueueLimits, counters: SharedCounters
    ) -> None:
        """Run `count` processes; `queue` limits the pictures that wait, `counters` counts them."""
        self.count = count
        self._settings, self._queue = settings, queue
        self._counts = counters.series(DECODERS).values
        self._decoders: list[DecoderProcess] = []
        self._places = count * PICTURES_IN_FLIGHT
        """Places that are free: none while anybody waits."""
        self._line: dict[asyncio.Future[None], int] = {}
        """Those who wait for a place, in the order in which they came, and the bytes of each."""

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that run now."""
        return [pid for decoder in self._decoders if (pid := decoder.pid)]

    @property
    def down(self) -> str | None:
        """The reason why no picture can be decoded; None where a process is there, or may begin."""
        reasons = [decoder.down for decoder in self._decoders]
        return reasons[0] if reasons and None not in reasons else None

    def start(self) -> None:
        """Start the processes, once."""
        if not self._decoders:
            self._decoders = [
                DecoderProcess(self._settings, self._note_death, self._note_down)
                for _ in range(self.count)
            ]

    def _note_death(self) -> None:
        self._counts[RESTARTS] += 1

    def _note_down(self) -> None:
        self._counts[DOWN] = sum(decoder.down is not None for decoder in self._decoders)

    async def read(self, function: str, size: tuple[int, int], encoded: bytes) -> Image:
        """Return what the reader `module:name` makes of a picture, or what is wrong with it.

        A caller that is cancelled leaves the line; what is decoded already keeps its place until
        that is over. Raises DecodersUnavailable and DecodersBusy.
        """
        self.start()
        reader = self._settings.readers.index(function)
        asked = DecodeRequest(reader, size, encoded, asyncio.get_running_loop().create_future())
        await self._take_place(len(encoded))
        try:
            able = [decoder for decoder in self._decoders if decoder.down is None]
            min(able or self._decoders, key=len).submit(asked)
        except BaseException as error:
            self._release()
            self._counts[UNAVAILABLE] += isinstance(error, DecodersUnavailable)
            raise
        asked.image.add_done_callback(self._leave)
        return await asyncio.shield(asked.image)

    async def _take_place(self, length: int) -> None:
        """Wait for a turn. Raises DecodersBusy."""
        if self._places:
            self._places -= 1
            return
        if self._line and sum(self._line.values()) + length > MOST_WAITING_BYTES:
            raise self._busy(FULL, f"{MOST_WAITING_BYTES:,} bytes of pictures wait at most")
        if len(self._line) >= self._queue.rows:
            limit = "as many as FORETELL_MAX_QUEUE_ROWS allows in each process"
            raise self._busy(FULL, f"{self._queue.rows:,} pictures wait to be decoded, {limit}")
        loop = asyncio.get_running_loop()  # no asyncio.timeout: a call may begin without a task
        turn = loop.create_future()
        late = loop.call_later(self._queue.seconds, self._refuse_late, turn)
        self._line[turn] = length
        self._counts[WAITING] = len(self._line)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it had just been given a place
                self._release()
            raise
        finally:
            late.cancel()
            self._line.pop(turn, None)
            self._counts[WAITING] = len(self._line)

    def _refuse_late(self, turn: "asyncio.Future[None]") -> None:
        if not turn.done():
            limit = "as long as FORETELL_QUEUE_TIMEOUT_SECONDS allows"
            waited = f"the picture waited {self._queue.seconds:g} s to be decoded, {limit}"
            turn.set_exception(self._busy(TIMEOUT, waited))

    def _busy(self, column: int, reason: str) -> DecodersBusy:
        self._counts[column] += 1
        return DecodersBusy(reason, self._queue.seconds)

    def _release(self) -> None:
        """Give a place to the first who waits, or to nobody."""
        for turn in self._line:
            if not turn.done():
                turn.set_result(None)
                return
        self._places += 1

    def _leave(self, image: "asyncio.Future[Image]") -> None:
        self._release()
        error = image.exception()  # asked for, or asyncio complains where its caller has gone away
        self._counts[UNAVAILABLE] += isinstance(error, DecodersUnavailable)

    async def close(self) -> None:
        """End the processes. To be called when nothing is asked of them any more."""
        await asyncio.gather(*(decoder.close() for decoder in self._decoders))
