"""HTTP as uvicorn speaks it, with less work for each request.

An answer's head and body leave in one packet (transport.py), idle connections are closed by one
timer each, and direct calls (direct.py) begin without a task of their own (eager.py). Wishes for
another protocol are passed over, and what is no HTTP is refused as all else is.
"""

import asyncio
from functools import partial
from typing import Any

import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from service.api.http.fast_path import FastPath
from service.api.http.problems import MEDIA_TYPE, problem
from service.api.http.requests import REQUEST_ID, new_request_id
from service.server.eager import begin
from service.server.transport import JoiningTransport

log = structlog.get_logger("foretell.http")

LONGEST_HEAD = 2**16
"""Bytes of a request line and its headers; the parser itself would keep any number of them."""


class DirectCycle(RequestResponseCycle):
    """A direct call and its answer, which announces its length and comes in one piece."""

    head: bytes

    async def send(self, message: Any) -> None:
        """As uvicorn's own, for such answers only."""
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if not self.response_started:
            self.head = self._head(message["status"], message["headers"])
            self.response_started = True
            return
        self.transport.write_whole(self.head + message["body"])  # type: ignore[attr-defined]
        self.response_complete = True
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()

    def _head(self, status: int, headers: list[tuple[bytes, bytes]]) -> bytes:
        content = [STATUS_LINE[status]]
        for name, value in (*self.default_headers, *headers):
            if HEADER_VALUE_RE.search(value):
                raise RuntimeError(f"a control character in the value of header {name!r}")
            if name == b"connection":  # only ever to close it
                self.keep_alive = False
            else:
                content += name, b": ", value, b"\r\n"
        content.append(b"\r\n" if self.keep_alive else b"connection: close\r\n\r\n")
        return b"".join(content)


class Protocol(HttpToolsProtocol):
    """uvicorn's own on such a transport."""

    head: int | None = None
    """Bytes of a head that has not ended, without those of the packet that it began in."""
    packet = 0
    """Bytes of what is read now."""
    idle_since: float | None = None
    """By the loop's clock; None while a request comes in or is answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(JoiningTransport(transport, self.loop))  # type: ignore[arg-type]
        # Under a root path, paths are others than those in the table: the long way.
        calls = None if self.root_path else getattr(self.config.app, "direct_calls", None)
        self.calls: FastPath | None = calls

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    def data_received(self, data: bytes) -> None:
        """Take in what a client sent."""
        self.idle_since = None
        self.packet = len(data)
        left: bytes | memoryview = data
        try:
            while left:
                left = self._read(left)
        except HttpParserError as error:
            self._refuse(400, f"expected a request of HTTP/1.1, got something else ({error})")
        if self.head is not None:
            self.head += self.packet
            if self.head > LONGEST_HEAD:
                expected = f"a request line and headers of at most {LONGEST_HEAD:,} bytes"
                self._refuse(431, f"expected {expected}, got more")

    def _read(self, data: bytes | memoryview) -> bytes | memoryview:
        """Read up to the end, or the end of a head that asks for another protocol; what is left."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self._should_upgrade():
                return b""  # CONNECT: what follows is not for this service
            # httptools takes such a request to have no body. Read without that header, it has.
            head = self._head_without_upgrade()
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head)
            return memoryview(data)[upgrade.args[0] :]
        return b""

    def _should_upgrade(self) -> bool:
        # uvicorn does not begin requests of which this is so. Here: until they are read again.
        return self.parser.get_method() != b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += (b"%b: %b" % header for header in self.headers if header[0] != b"upgrade")
        return b"\r\n".join([*lines, b"", b""])

    def _refuse(self, status: int, detail: str) -> None:
        """Answer what cannot be read with a problem, as all else, and end the connection."""
        if self.transport.is_closing():
            return
        request_id = new_request_id()
        log.info("not HTTP", reason=detail, request_id=request_id)
        body = problem(status, detail, request_id).model_dump_json().encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (REQUEST_ID, request_id.encode()),
            (b"connection", b"close"),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()

    def on_message_begin(self) -> None:
        """The first line of a request begins."""
        super().on_message_begin()
        self.head = -self.packet

    def on_headers_complete(self) -> None:
        """Begin a request; a direct call is known by its path alone, and takes less."""
        self.head = None
        path, _, query = self.url.partition(b"?")
        calls = self.calls
        if (
            calls is None
            or path not in calls.paths
            or self.parser.get_method() != b"POST"
            or b"#" in query
            or self.parser.should_upgrade()
        ):
            super().on_headers_complete()
            return
        version = self.parser.get_http_version()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["method"], scope["http_version"] = "POST", version
        scope["path"], scope["raw_path"] = calls.paths[path], path
        scope["query_string"] = query
        scope["app"] = self.config.app
        before, self.cycle = (
            self.cycle,
            DirectCycle(
                self.scope,
                self.transport,
                self.flow,
                self.logger,
                self.access_logger,
                self.access_log,
                self.server_state.default_headers,
                asyncio.Event(),
                self.expect_100_continue,
                version != "1.0" and self.parser.should_keep_alive(),
                self.on_response_complete,
            ),
        )
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, calls.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, calls.app))  # type: ignore[arg-type]

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self.calls is None or not isinstance(cycle, DirectCycle):
            super()._start_asgi_task(cycle, app)
        else:
            self.calls.begin_soon(partial(self._begin, cycle, app))

    def _begin(self, cycle: DirectCycle, app: Any) -> None:
        task = begin(cycle.run_asgi(app), self.loop)
        if task is not None:
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def _unset_keepalive_if_required(self) -> None:
        # uvicorn cancels its timer here and sets another after each answer, which costs as much
        # as reading a request does. This one stays, and looks when it goes off.
        self.idle_since = None

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._look_in(self.timeout_keep_alive)

    def _look_in(self, seconds: float) -> None:
        look = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(seconds, look)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for as long as is allowed."""
        self.timeout_keep_alive_task = None
        if self.idle_since is None:
            return  # the end of an answer sets the timer again
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._look_in(left)
        else:
            super().timeout_keep_alive_handler()
