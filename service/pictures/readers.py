"""Reading pictures in processes of their own.

Reading is some eighty short calls of OpenCV and NumPy. On a thread each of them takes the lock of
the interpreter anew, from the event loop or waiting for it; a process leaves the loop alone, and a
picture that kills what decodes it kills no worker (benchmarks/gains-pictures.md has the figures).
"""

import asyncio
import os
import pickle
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import structlog
from numpy.typing import NDArray

from service.errors import PictureError, ReadersDown, UnreadableImage
from service.metrics.board import Board, Kind
from service.pictures import reader
from service.pictures.reader import LENGTH, READY, framed

Image = NDArray[np.uint8] | PictureError
"""uint8[28, 28], or what is wrong with the picture."""

IN_HAND = 2
"""Pictures that a process has been given at a time, so that the next is there when one is read."""
LONGEST = 60.0
"""Seconds that one picture may take; the largest allowed takes three."""
START = 60.0
"""Seconds that a process may take to begin."""
PAUSE = 1.0
"""Seconds from one failed beginning to the next."""
TRIES = 2
"""Processes that one picture may kill. It may be a coincidence once: somebody needed memory."""

DIED = Kind("picture_readers", (), ("died",))

log = structlog.get_logger("foretell")


@dataclass(eq=False)
class Asked:
    """One picture that a process was given."""

    frame: tuple[bytes, bytes]
    image: "asyncio.Future[Image]"
    deaths: int = 0

    def answer(self, image: object) -> None:
        """To its caller, who may have gone away."""
        if isinstance(image, Exception) and not isinstance(image, PictureError):
            self.image.set_exception(image)
        else:
            assert isinstance(image, np.ndarray | PictureError)
            self.image.set_result(image)


class Reader:
    """A process that reads pictures in their order, and its successors.

    One that ends is replaced, and its successor is given the pictures again, but for one that has
    ended `TRIES` of them.
    """

    def __init__(self, died: Callable[[], None]) -> None:
        """`died` is told of each process that ends by itself."""
        self._died = died
        self._asked: deque[Asked] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._ready = False
        self._limit: asyncio.TimerHandle | None = None
        self._down: str | None = None
        self._life = asyncio.create_task(self._live())

    def __len__(self) -> int:
        return len(self._asked)

    def ask(self, frame: tuple[bytes, bytes]) -> "asyncio.Future[Image]":
        """What the process makes of a frame, not to be cancelled. Raises ReadersDown."""
        if self._down is not None:
            raise ReadersDown(self._down)
        asked = Asked(frame, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._ready:
            self._give(asked)
        return asked.image

    @property
    def pid(self) -> int | None:
        """Of the process; None while there is none."""
        return self._process.pid if self._process else None

    async def close(self) -> None:
        """End the process. To be called when nothing is asked of it any more."""
        self._life.cancel()
        with suppress(asyncio.CancelledError):
            await self._life

    async def _live(self) -> None:
        try:
            while True:
                try:
                    answers = await self._begin()
                except Exception as error:  # that of the system, or EOFError: it ended at once
                    self._fail(error, await self._end())
                    await asyncio.sleep(PAUSE)
                    continue
                try:
                    await self._pass_on(answers)
                except (OSError, EOFError):
                    pass  # it has ended
                except Exception:
                    log.exception("picture reader misunderstood")
                self._bury(await self._end())
        finally:
            await self._end()

    async def _begin(self) -> asyncio.StreamReader:
        """Start a process and give it what is asked; where its answers come from."""
        self._process, ours = _started()
        answers, self._writer = await asyncio.open_connection(sock=ours)
        async with asyncio.timeout(START):
            await answers.readexactly(len(READY))
        self._ready, self._down = True, None
        for asked in self._asked:
            self._give(asked)
        return answers

    def _give(self, asked: Asked) -> None:
        assert self._writer is not None
        self._writer.writelines(asked.frame)
        if asked is self._asked[0]:
            self._watch()

    async def _pass_on(self, answers: asyncio.StreamReader) -> None:
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
        self._limit = loop.call_later(LONGEST, self._stop) if self._asked else None

    def _stop(self) -> None:
        self._asked[0].deaths = TRIES - 1  # it would take as long again
        assert self._process is not None
        self._process.kill()

    def _bury(self, status: int | None) -> None:
        """Put aside a picture that ended a process over again."""
        self._died()
        log.warning("picture reader died", status=status, pictures=len(self._asked))
        if not self._asked:
            return
        self._asked[0].deaths += 1
        if self._asked[0].deaths >= TRIES:
            reason = "the process that read it died of it, or took too long"
            self._asked.popleft().answer(UnreadableImage(reason))

    def _fail(self, error: Exception, status: int | None) -> None:
        """Refuse everything, for a process does not even begin."""
        ended = "" if status is None else f"; it ended with status {status}"
        self._down = f"no process that reads pictures can be started: {error}{ended}"
        log.error("picture reader failed", reason=self._down)
        while self._asked:
            self._asked.popleft().answer(ReadersDown(self._down))

    async def _end(self) -> int | None:
        """The exit status of the process; None if there was none."""
        self._ready = False
        if self._limit is not None:
            self._limit.cancel()
        if self._writer is not None:
            self._writer.close()
        process, self._process, self._writer = self._process, None, None
        return None if process is None else await asyncio.to_thread(_ended, process)


def _started() -> tuple["subprocess.Popen[bytes]", socket.socket]:
    """A process, and our end of its standard input. Raises OSError."""
    # -P: what lies in the working directory is none of its modules.
    command = [sys.executable, "-P", "-c", f"from {reader.__name__} import main; main()"]
    found = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {"PYTHONPATH": found}
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = subprocess.Popen(command, stdin=theirs.fileno(), env=environment)
        ours.setblocking(False)
    except BaseException:
        ours.close()
        raise
    return process, ours


def _ended(process: "subprocess.Popen[bytes]") -> int:
    with suppress(subprocess.TimeoutExpired):
        return process.wait(1)  # its end of the socket goes a moment before it does
    process.kill()
    return process.wait()


class Readers:
    """So many processes that read pictures, started with the first. For use on one event loop."""

    def __init__(self, count: int, board: Board) -> None:
        """Those that die are counted on `board`."""
        self._count, self._board = count, board
        self._readers: list[Reader] = []
        self._places = asyncio.Semaphore(count * IN_HAND)

    @property
    def pids(self) -> list[int]:
        """Of the processes that there are now."""
        return [pid for reader in self._readers if (pid := reader.pid)]

    def start(self) -> None:
        """Start the processes, once."""
        if not self._readers:
            self._readers = [Reader(self._note_death) for _ in range(self._count)]

    def _note_death(self) -> None:
        self._board.row(DIED).add(1)

    async def read(self, function: str, encoded: bytes, max_pixels: int) -> Image:
        """What the function `module:name` makes of an encoded picture, when its turn comes.

        A caller that is cancelled leaves the line; what is read already keeps its place until it is
        read. Raises ReadersDown.
        """
        self.start()
        await self._places.acquire()
        try:
            image = min(self._readers, key=len).ask(framed((function, encoded, max_pixels)))
        except ReadersDown:
            self._places.release()
            raise
        image.add_done_callback(lambda _: self._places.release())
        return await asyncio.shield(image)

    async def close(self) -> None:
        """End the processes. To be called when nothing is asked of them any more."""
        await asyncio.gather(*(reader.close() for reader in self._readers))
