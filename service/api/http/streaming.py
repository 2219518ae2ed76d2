"""A bulk job over HTTP: its table streams in while its answers stream out."""

import asyncio
import io
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, cast

import structlog
from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.api.http.report_headers import report_headers
from service.bulk.tables.job import BULK_ROWS, BulkJob, JobSlots
from service.bulk.tables.spool import SETTING, Abandoned, Spool
from service.errors import ForetellError, PayloadStalled, PayloadTooLarge, TooManyJobs
from service.observability.metrics.shared_counters import SharedCounters

log = structlog.get_logger("foretell")

READ_AHEAD_BYTES = 2 * 2**20
"""Bytes taken in before the job asks for them; then TCP keeps the caller waiting."""
PIECE_BYTES = 2**18
"""Most bytes of one piece of an answer."""
BUFFER_BYTES = 2**20
"""Bytes collected before they are spooled: formats write many small pieces."""
NEARLY_DONE_SECONDS = 0.02
"""Seconds for which an answer that streams waits for its table's end before its headers."""
STALL_SECONDS = 60.0
"""Seconds for which a caller may neither send nor take anything."""


class RequestBodyReader(io.RawIOBase):
    """A request's body as a file: `fill` receives it on the event loop, a thread reads it.

    `limit` bounds the body in bytes; a caller that goes away, or sends nothing for `patience`
    seconds, stops the reader. `spool` is abandoned with the caller.
    """

    def __init__(self, limit: int, patience: float, spool: Spool) -> None:
        super().__init__()
        self._limit, self._patience = limit, patience
        self._spool = spool
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._changed = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._waiting = self._given = 0
        self._ended = False
        self._error: Exception | None = None

    async def fill(self, receive: Receive) -> None:
        """Receive until the caller goes away, no faster than the body is read."""
        taken = 0
        more = True
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.stop()
                self._spool.abandon()
                return
            body = message.get("body", b"")
            more = more and message.get("more_body", False)
            taken += len(body)
            with self._changed:
                self._parts.append(body)
                self._waiting += len(body)
                self._ended = not more
                if taken > self._limit:
                    self._error = PayloadTooLarge(self._limit, SETTING)
                if self._waiting > READ_AHEAD_BYTES:
                    self._room.clear()
                else:
                    self._room.set()
                self._changed.notify_all()
            await self._room.wait()

    def readable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the bytes read so far."""
        return self._given

    def read(self, size: int = -1) -> bytes:
        """Read `size` bytes, or fewer at the end only.

        Raises PayloadTooLarge, PayloadStalled, or Abandoned once the caller has gone.
        """
        parts: list[bytes] = []
        missing = size
        with self._changed:
            while missing:
                while not (self._parts or self._ended or self._error):
                    if not self._changed.wait(self._patience):
                        raise PayloadStalled("no more of the body came", self._patience)
                if self._error:
                    raise self._error
                if not self._parts:
                    break
                part = self._parts.popleft()
                if 0 < missing < len(part):
                    self._parts.appendleft(part[missing:])
                    part = part[:missing]
                parts.append(part)
                missing -= len(part) if size > 0 else 0
                self._waiting -= len(part)
                self._given += len(part)
                if self._waiting <= READ_AHEAD_BYTES // 2 and not self._room.is_set():
                    self._loop.call_soon_threadsafe(self._room.set)
        return b"".join(parts)

    def stop(self) -> None:
        """End reading: the body is no longer needed."""
        with self._changed:
            self._error = Abandoned()
            self._changed.notify_all()


class JobCrashed(RuntimeError):
    """A crash as the log may have it: what it was, after how many rows, and not its text.

    That may hold a value of a row: "Could not convert 'Smith' with type str".
    """

    def __init__(self, kind: str, rows: int) -> None:
        super().__init__(f"{kind} after {rows:,} rows")


class BulkResponse(Response):
    """Takes the table in and gives the answers out at the same time, each at the other's pace.

    With `on_error=refuse`, answers are kept until the last row was found good, for a status is sent
    once; so they are for HTTP/1.0, which needs their length. Otherwise they leave as they are made,
    and if the job fails then (a body cut short, say) the connection is cut, so that nobody takes a
    part of an answer for all of it.
    """

    def __init__(
        self, job: BulkJob, slots: JobSlots, counters: SharedCounters, max_bytes: int
    ) -> None:
        """Answer with `job`, in one of `slots`; body and kept answers have at most `max_bytes`."""
        self.job, self.slots, self.counters, self.max_bytes = job, slots, counters, max_bytes
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ForetellError as long as nothing was sent."""
        # HTTP/1.0 knows no chunks: without a length, a cut answer would look like a whole one.
        chunked = scope["http_version"] != "1.0"
        holds_back = self.job.scoring.on_error == "refuse" or not chunked
        written = asyncio.Event()
        loop = asyncio.get_running_loop()
        spool = Spool(
            self.max_bytes,
            self.job.spool_dir,
            patience=0 if holds_back else STALL_SECONDS,
            on_write=lambda: _wake(loop, written),
        )
        body = RequestBodyReader(self.max_bytes, STALL_SECONDS, spool)
        try:
            working = self.slots.start(partial(self._run, body, spool))
        except TooManyJobs:
            spool.abandon()
            raise
        working.add_done_callback(lambda _: written.set())
        filling = asyncio.create_task(body.fill(receive))
        stream = ResponseStream(send, self._facts)
        try:
            if holds_back:
                await working
                stream.length = spool.waiting
            else:
                await written.wait()
                # The headers of a table that has been read by then are of all its rows.
                await asyncio.wait([working], timeout=NEARLY_DONE_SECONDS)
            await _send_all(spool, working, written, stream)
        except Abandoned:
            log.info("bulk job abandoned by its caller")
        except ForetellError as error:
            if not stream.started:
                raise
            # Its text may hold a value of a row, or a column's name: the caller alone is told.
            log.warning(
                "bulk answer cut off", error=type(error).__name__, rows=self.job.report.rows
            )
            # Some proxies end an answer in good order that was cut off: its last line says so.
            if last := self.job.wanted.cut_off(str(error)):
                await stream.give(last, more=True)
            # Without the end of the body, uvicorn closes the connection.
        finally:
            body.stop()
            spool.abandon()
            filling.cancel()
            with suppress(BaseException):
                await working

    def _run(self, body: RequestBodyReader, spool: Spool) -> None:
        def check_wanted() -> None:
            if spool.abandoned:
                raise Abandoned

        sink = io.BufferedWriter(spool, BUFFER_BYTES)
        try:
            counts = self.job.run(
                cast(BinaryIO, body),
                cast(BinaryIO, sink),
                before_chunk=check_wanted,
                after_chunk=lambda rows, bad: sink.flush(),
            )
        except (ForetellError, Abandoned):
            raise
        except Exception as error:
            crash = JobCrashed(type(error).__name__, self.job.report.rows)
            raise crash.with_traceback(error.__traceback__) from None
        sink.flush()
        card = self.job.scoring.model.card
        self.counters.series(BULK_ROWS, card.name, card.version).add(*counts)

    def _facts(self) -> list[tuple[bytes, bytes]]:
        scoring = self.job.scoring
        card = scoring.model.card
        headers = [
            (b"content-type", self.job.wanted.media.encode()),
            (b"x-model", f"{card.name}/{card.version}".encode()),
        ]
        if scoring.task.has_threshold:
            headers.append((b"x-threshold", repr(card.threshold).encode()))
        return headers + report_headers(self.job.report)


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed at once, without waiting for anybody
        loop.call_soon_threadsafe(event.set)


@dataclass
class ResponseStream:
    """The answer of a bulk job on its way out; its status is sent with the first piece."""

    send: Send
    headers: Callable[[], list[tuple[bytes, bytes]]]
    length: int | None = None
    started: bool = False

    async def start(self) -> None:
        """Send the status and the headers, once; they are asked for then."""
        if not self.started:
            self.started = True
            headers = self.headers()
            if self.length is not None:
                headers.append((b"content-length", b"%d" % self.length))
            await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def give(self, piece: bytes, *, more: bool) -> None:
        """Send one piece of the body."""
        await self.start()
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})


async def _send_all(
    spool: Spool, working: "asyncio.Future[None]", written: asyncio.Event, stream: ResponseStream
) -> None:
    while True:
        await written.wait()
        written.clear()
        ended = working.done()
        while piece := await asyncio.to_thread(spool.take, PIECE_BYTES):
            await stream.give(piece, more=True)
        if ended:
            working.result()
            await stream.give(b"", more=False)
            return
