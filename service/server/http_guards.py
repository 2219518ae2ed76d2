"""uvicorn's HTTP protocol with the guards that every connection needs.

- A head of more than 64 KiB is refused with 431; httptools would keep any number of bytes.
- A request that asks for another protocol (`Upgrade: h2c`, as `curl --http2` and Java's client do)
  is answered in HTTP/1.1, body and all; uvicorn would drop its body.
- Bytes that are not HTTP are refused with 400 and a problem, as every other error is.
"""

import structlog
from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from service.api.http.problems import MEDIA_TYPE, problem
from service.api.http.requests import REQUEST_ID, new_request_id

log = structlog.get_logger("foretell.http")

MAX_HEAD_BYTES = 2**16
"""Largest request line and headers together, counted at the end of each packet."""

READ_FIRST_SECONDS = 0.01
"""Time in which the loop reads what has come before an idle connection is closed."""


class GuardedProtocol(HttpToolsProtocol):
    """uvicorn's protocol for one connection, with guards on what a client may send."""

    head_bytes: int | None = None
    """Bytes of an unfinished head but for those of the packet that it began in; None: no head."""
    packet_bytes = 0
    """Bytes of the packet that is being read."""

    def data_received(self, data: bytes) -> None:
        """Read a packet. Refuses the connection with 400 or 431 and closes it."""
        self._unset_keepalive_if_required()
        self.packet_bytes = len(data)
        rest: bytes | memoryview = data
        try:
            while rest:
                rest = self._feed(rest)
        except HttpParserError as error:
            self._refuse(400, f"expected a request of HTTP/1.1, got something else ({error})")
        if self.head_bytes is not None:
            self.head_bytes += self.packet_bytes
            if self.head_bytes > MAX_HEAD_BYTES:
                expected = f"a request line and headers of at most {MAX_HEAD_BYTES:,} bytes"
                self._refuse(431, f"expected {expected}, got more")

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

    def _refuse(self, status: int, detail: str) -> None:
        """Answer with a problem, and close the connection."""
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

    def on_headers_complete(self) -> None:
        """Start the request."""
        self.head_bytes = None
        super().on_headers_complete()
