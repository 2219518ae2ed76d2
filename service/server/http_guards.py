"""uvicorn's HTTP protocol with the guards that every connection needs.

- A head of more than 64 KiB is refused with 431; httptools would keep any number of bytes.
- A request that asks for another protocol (`Upgrade: h2c`, as `curl --http2` and Java's client do)
  is answered in HTTP/1.1, body and all; uvicorn would drop its body.
- Bytes that are not HTTP are refused with 400 and a problem, as every other error is.
- Nobody holds a connection for nothing: a head has `HEAD_SECONDS`, a body a least rate, and an
  answer that nobody takes is cut. `Server.on_tick` calls `sweep` for each connection once a second.
- Beyond `max_connections` a call is answered with 503, those for the service's health apart.
"""

import asyncio

import structlog
from httptools import HttpParserCallbackError, HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.http.problems import MEDIA_TYPE, crash_message, problem
from service.api.http.requests import REQUEST_ID, new_request_id
from service.api.state import ServiceState
from service.observability.metrics.requests import REFUSED
from service.server.sockets import connection_limit

log = structlog.get_logger("foretell.http")

MAX_HEAD_BYTES = 2**16
"""Largest request line and headers together, counted at the end of each packet; also the most bytes
between two parts of a body, and behind it, that are none: extensions of chunks, trailers."""
HEAD_SECONDS = 30.0
"""Time that a head may take from its first byte."""
BODY_SECONDS = 60.0
"""Time after which a body must have come at `LEAST_RATE`."""
LEAST_RATE = 100.0
"""Bytes of a body a second, on average, while the service reads them."""
ANSWER_SECONDS = 60.0
"""Time for which nobody may take anything of an answer that waits."""
HEALTH = frozenset((b"/livez", b"/readyz", b"/metrics", b"/v2/health/live", b"/v2/health/ready"))
"""Paths that are answered beyond `max_connections`, too."""

READ_FIRST_SECONDS = 0.01
"""Time in which the loop reads what has come before an idle connection is closed."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, with guards on what a client may send."""

    head_bytes: int | None = None
    """Bytes of an unfinished head but for those of the packet that it began in; None: no head."""
    packet_bytes = 0
    """Bytes of the packet that is being read."""
    body_bytes = 0
    """Bytes of the body that have come."""
    other_bytes = 0
    """Bytes since the last ones of a body, while it is not at its end."""
    begun = 0.0
    """Time of the loop's clock at which the connection, or its last request, began."""
    swept = 0.0
    """Time of the last sweep."""
    unsent, unsent_since = 0, 0.0
    """Bytes of answers that wait to be taken, and the time since when none was."""
    refused = False
    """True for a connection beyond the limit."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one connection too many is served only for the service's health."""
        super().connection_made(transport)
        self.begun = self.swept = self.loop.time()
        self.refused = len(self.connections) > connection_limit(self._state.settings)

    @property
    def _state(self) -> ServiceState:
        state: ServiceState = self.config.app.state  # type: ignore[union-attr]
        return state

    def data_received(self, data: bytes) -> None:
        """Read a packet. Refuses the connection with 400 or 431 and closes it."""
        self._unset_keepalive_if_required()
        self.packet_bytes = len(data)
        body_bytes = self.body_bytes
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._feed(rest)
        except HttpParserError as error:
            if _is_ours(error):
                self._crash()
                return
            self._refuse(
                400, f"expected a request of HTTP/1.1, got something else ({error})", "malformed"
            )
        if self.head_bytes is not None:
            self.head_bytes += self.packet_bytes
            if self.head_bytes > MAX_HEAD_BYTES:
                expected = f"a request line and headers of at most {MAX_HEAD_BYTES:,} bytes"
                self._refuse(431, f"expected {expected}, got more", "head_size")
        elif self.body_bytes == body_bytes and self.cycle is not None and self.cycle.more_body:
            self.other_bytes += self.packet_bytes
            if self.other_bytes > MAX_HEAD_BYTES:
                expected = f"at most {MAX_HEAD_BYTES:,} bytes of trailers or extensions of chunks"
                self._refuse(431, f"expected {expected}, got more", "head_size")

    def _crash(self) -> None:
        """Refuse a connection at which the service itself failed."""
        if self.transport.is_closing():
            return  # the rest of a call that was refused
        request_id = new_request_id()
        log.exception("connection crashed", request_id=request_id)
        self._refuse(500, crash_message(request_id), "crash", request_id)

    def _feed(self, data: bytes | memoryview) -> bytes | memoryview:
        """Parse up to the end, or up to the end of a head with `Upgrade`. Return the rest."""
        try:
            self.parser.feed_data(data)
        except HttpParserUpgrade as upgrade:
            if not self._should_upgrade():
                return b""  # CONNECT: what follows is not for this service
            # httptools takes such a request to have no body. Parsed without that header, it has.
            head = self._head_without_upgrade()
            self.parser = HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self.parser.feed_data(head)
            return memoryview(data)[upgrade.args[0] :]
        return b""

    def _should_upgrade(self) -> bool:
        # uvicorn does not start a request for which this is true: it is parsed a second time.
        return self.parser.get_method() != b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        version = self.parser.get_http_version().encode()
        lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
        lines += (b"%b: %b" % header for header in self.headers if header[0] != b"upgrade")
        return b"\r\n".join([*lines, b"", b""])

    def on_body(self, body: bytes) -> None:
        """Count the bytes of a body."""
        self.body_bytes += len(body)
        self.other_bytes = 0
        super().on_body(body)

    def sweep(self, now: float) -> None:
        """Refuse, close or cut a connection whose caller takes too long, as of the loop's time."""
        since, self.swept = now - self.swept, now
        if self._is_stuck(now):
            self._count("answer_time")
            self.transport.abort()
        elif self.transport.is_closing():
            return
        elif self.head_bytes is not None:
            if now - self.begun > HEAD_SECONDS:
                expected = f"a whole head within {HEAD_SECONDS:g} s"
                self._refuse(408, f"expected {expected}, got a part of one", "head_time")
        elif self.cycle is None:
            if now - self.begun > self.timeout_keep_alive:
                self.transport.close()
        elif self.cycle.more_body and not self.cycle.response_complete:
            if self.flow.read_paused:  # it is the service that takes its time
                self.begun += since
            elapsed = now - self.begun
            if elapsed > BODY_SECONDS and self.body_bytes < LEAST_RATE * elapsed:
                expected = f"at least {LEAST_RATE:g} bytes a second of the body"
                got = f"{self.body_bytes:,} in {elapsed:.0f} s"
                self._refuse(408, f"expected {expected}, got {got}", "body_time")

    def _is_stuck(self, now: float) -> bool:
        """Return True if an answer waits and nobody has taken any of it for too long."""
        unsent = self.transport.get_write_buffer_size()
        if not unsent or unsent != self.unsent:
            self.unsent, self.unsent_since = unsent, now
        return now - self.unsent_since > ANSWER_SECONDS

    def _count(self, reason: str) -> None:
        self._state.counters.series(REFUSED, reason).add(1)

    def _refuse(self, status: int, detail: str, reason: str, request_id: str | None = None) -> None:
        """Answer with a problem unless an answer has begun, and close the connection."""
        if self.transport.is_closing():
            return
        self._count(reason)
        request_id = request_id or new_request_id()
        log.info("connection refused", reason=detail, request_id=request_id)
        answering = self.cycle is not None and self.cycle.response_started
        if answering and not self.cycle.response_complete:
            self.transport.close()
            return
        body = problem(status, detail, request_id).model_dump_json().encode()
        headers = [
            *self.server_state.default_headers,
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(body)),
            (REQUEST_ID, request_id.encode()),
            (b"connection", b"close"),
            *([(b"retry-after", b"1")] if status == 503 else []),
        ]
        lines = b"".join(b"%b: %b\r\n" % header for header in headers)
        self.transport.write(STATUS_LINE[status] + lines + b"\r\n" + body)
        self.transport.close()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection, unless bytes have come that are not read yet.

        After a pause of the whole machine timers come first, and then what came meanwhile.
        """
        self.timeout_keep_alive_task = self.loop.call_later(READ_FIRST_SECONDS, self._close_idle)

    def _close_idle(self) -> None:
        self.timeout_keep_alive_task = None
        if self.is_idle and not self.transport.is_closing():
            self.transport.close()

    @property
    def is_idle(self) -> bool:
        """True while no request is begun or answered."""
        answered = self.cycle is None or self.cycle.response_complete
        return answered and self.head_bytes is None

    def on_message_begin(self) -> None:
        """Start to count a head, from the next packet on."""
        super().on_message_begin()
        self.head_bytes = -self.packet_bytes
        self.body_bytes = self.other_bytes = 0
        self.begun = self.loop.time()

    def on_headers_complete(self) -> None:
        """Start the request, unless its connection is one too many."""
        self.head_bytes = None
        if self.refused and self.url.partition(b"?")[0] not in HEALTH:
            limit = connection_limit(self._state.settings)
            detail = f"{limit:,} connections are open, as many as there may be; try again later"
            self._refuse(503, detail, "connections")
            return
        super().on_headers_complete()


def _is_ours(error: HttpParserError) -> bool:
    """Return True for a fault of the service: an error in a callback, but of a URL that is none."""
    of_the_url = isinstance(error.__context__, HttpParserError | UnicodeError)
    return isinstance(error, HttpParserCallbackError) and not of_the_url
