"""A request's body as a file that another thread reads."""

import asyncio
import io
import threading
from collections import deque

from starlette.types import Receive

from service.bulk.tables.spool import SETTING, Abandoned, Spool
from service.errors import PayloadStalled, PayloadTooLarge

AHEAD = 2 * 2**20
"""Bytes taken in before the reader asks for them; then the caller has to wait (TCP sees to it)."""


class Inflow(io.RawIOBase):
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
                if self._waiting > AHEAD:
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
                if self._waiting <= AHEAD // 2 and not self._room.is_set():
                    self._loop.call_soon_threadsafe(self._room.set)
        return b"".join(parts)

    def stop(self) -> None:
        """Nobody needs the body any more."""
        with self._changed:
            self._error = Abandoned()
            self._changed.notify_all()
