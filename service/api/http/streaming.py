"""A request's body as a file that another thread reads."""

import asyncio
import io
import threading
from collections import deque
from contextlib import suppress
from dataclasses import dataclass

import structlog
from fastapi import Response
from starlette.types import Receive, Scope, Send

from service.bulk.tables.job import BulkJob, JobSlots
from service.bulk.tables.spool import SETTING, Abandoned, Spool
from service.errors import ForetellError, PayloadStalled, PayloadTooLarge, TooManyJobs

log = structlog.get_logger("foretell")

READ_AHEAD_BYTES = 2 * 2**20
"""Bytes taken in before the reader asks for them; then the caller has to wait (TCP sees to it)."""


class RequestBodyReader(io.RawIOBase):
    """What `fill` receives on the event loop, `read` gives to a thread.

    `limit` bounds the body; a caller who goes away, or sends nothing for `patience`
    seconds, stops the reader. What is written to `spool` is of no use to a caller who has gone.
    """

    def __init__(self, limit: int, patience: float, spool: Spool) -> None:
        super().__init__()
        self._limit, self._patience = limit, patience
        self._spool = spool
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Event()
        self._changed = threading.Condition()
        self._parts: deque[bytes] = deque()
        self._waiting = 0
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
        """Yes."""
        return True

    def read(self, size: int = -1) -> bytes:
        """So many bytes, fewer at the end only.

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
                if self._waiting <= READ_AHEAD_BYTES // 2 and not self._room.is_set():
                    self._loop.call_soon_threadsafe(self._room.set)
        return b"".join(parts)

    def stop(self) -> None:
        """Nobody needs the body any more."""
        with self._changed:
            self._error = Abandoned()
            self._changed.notify_all()


PIECE_BYTES = 2**18


STALL_SECONDS = 60.0
"""Seconds for which a caller may neither send nor take anything."""


class BulkResponse(Response):
    """Takes the body in and gives the answer out at the same time, each as fast as the other side.

    Where bad rows refuse the portfolio, its answers are kept until the last row was found good: a
    status is sent once; and so they are for HTTP/1.0, which needs their length. Otherwise they
    leave as they are made, and if something breaks then (a body cut short, say) the connection is
    cut, so that nobody takes a part of an answer for all of it.
    """

    def __init__(self, exchange: BulkJob, places: JobSlots) -> None:
        self.exchange, self.places = exchange, places
        super().__init__()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises ForetellError as long as nothing was sent."""
        settings = self.exchange.settings
        # HTTP/1.0 knows no chunks: without a length, a cut answer would look like a whole one.
        chunked = scope["http_version"] != "1.0"
        holds_back = self.exchange.portfolio.on_error == "refuse" or not chunked
        written = asyncio.Event()
        loop = asyncio.get_running_loop()
        spool = Spool(
            settings.max_bulk_bytes,
            settings.spool_dir,
            patience=0 if holds_back else STALL_SECONDS,
            on_write=lambda: _wake(loop, written),
        )
        inflow = RequestBodyReader(settings.max_bulk_bytes, STALL_SECONDS, spool)
        try:
            working = self.places.start(self.exchange, inflow, spool)
        except TooManyJobs:
            spool.abandon()
            raise
        working.add_done_callback(lambda _: written.set())
        filling = asyncio.create_task(inflow.fill(receive))
        outflow = ResponseStream(send, self._facts())
        try:
            if holds_back:
                await working
                outflow.headers.append((b"content-length", b"%d" % spool.waiting))
            await _send_all(spool, working, written, outflow)
        except Abandoned:
            log.info("bulk job abandoned by its caller")
        except ForetellError as error:
            if not outflow.started:
                raise
            # Without the end of the body, uvicorn closes the connection.
            log.warning("bulk answer cut off", reason=str(error))
        finally:
            inflow.stop()
            spool.abandon()
            filling.cancel()
            with suppress(BaseException):
                await working

    def _facts(self) -> list[tuple[bytes, bytes]]:
        portfolio = self.exchange.portfolio
        card = portfolio.served.card
        facts = [
            (b"content-type", self.exchange.wanted.media.encode()),
            (b"x-model", f"{card.name}/{card.version}".encode()),
        ]
        if portfolio.task.has_threshold:
            facts.append((b"x-threshold", repr(card.threshold).encode()))
        return facts


def _wake(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop was closed at once, without waiting for anybody
        loop.call_soon_threadsafe(event.set)


@dataclass
class ResponseStream:
    """The answer of a bulk job on its way out; its status is sent with the first piece."""

    send: Send
    headers: list[tuple[bytes, bytes]]
    started: bool = False

    async def start(self) -> None:
        """Send the status and the headers, once."""
        if not self.started:
            self.started = True
            start = {"type": "http.response.start", "status": 200, "headers": self.headers}
            await self.send(start)

    async def give(self, piece: bytes, *, more: bool) -> None:
        """Send one piece of the body."""
        await self.start()
        await self.send({"type": "http.response.body", "body": piece, "more_body": more})


async def _send_all(
    spool: Spool, working: "asyncio.Future[None]", written: asyncio.Event, outflow: ResponseStream
) -> None:
    while True:
        await written.wait()
        written.clear()
        ended = working.done()
        while piece := await asyncio.to_thread(spool.take, PIECE_BYTES):
            await outflow.give(piece, more=True)
        if ended:
            working.result()
            await outflow.give(b"", more=False)
            return
