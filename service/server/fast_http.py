"""uvicorn's HTTP protocol with less work for each request. Optional: FORETELL_HTTP=fast.

- The head and the body of an answer leave in one write (`CoalescingTransport`).
- A call of the fast path starts without a task of its own (`eager_task`), builds no scope by
  uvicorn's rules and writes its answer once (`SingleWriteCycle`).
- One timer for each connection closes it when idle; uvicorn sets and cancels one for each request.

It overrides members that uvicorn does not promise to keep: pyproject.toml admits the versions of
uvicorn that the tests ran with. Only `uvicorn_server.http_options` imports this module.
benchmarks/http_protocols.py measures what it gains.
"""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from types import coroutine
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import (
    HEADER_VALUE_RE,
    STATUS_LINE,
    RequestResponseCycle,
)

from service.api.http.fast_path import FastPath
from service.server.http_guards import GuardedProtocol

HEAD_START = b"HTTP/1.1 "
MAX_COALESCED_BYTES = 2**16
"""Largest body that is copied to leave with its head; a larger one takes several packets anyway."""


class CoalescingTransport:
    """A transport that holds an answer's head back until its body, or the loop's next turn.

    uvicorn writes them separately: two system calls, and two packets that each wake the client.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._head: bytes | None = None
        self.is_closing = transport.is_closing  # asked after each answer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes | memoryview) -> None:
        """Hold a head back; write anything else, after or with the head."""
        if self._head is not None:
            if len(data) > MAX_COALESCED_BYTES:
                self.flush()
            else:
                data, self._head = self._head + data, None
        elif data[: len(HEAD_START)] == HEAD_START:
            self._head = bytes(data)
            self._loop.call_soon(self.flush)
            return
        self._transport.write(data)

    def write_whole(self, answer: bytes) -> None:
        """Write an answer whose head and body are joined already."""
        self.flush()
        self._transport.write(answer)

    def flush(self) -> None:
        """Write the head that is held back, if there is one."""
        if self._head is not None:
            data, self._head = self._head, None
            self._transport.write(data)

    def close(self) -> None:
        """Write what is held back, then close the transport."""
        self.flush()
        self._transport.close()


def eager_task(
    call: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop
) -> asyncio.Task[None] | None:
    """Run a coroutine until it waits. Return the task of the rest, or None if it is done.

    Most calls of the fast path wait for nothing, and are done before a task would have started.
    """
    if sys.version_info >= (3, 12):
        task = asyncio.Task(call, loop=loop, eager_start=True)
        return None if task.done() else task
    # Python 3.11 has no eager tasks. Up to where it first waits, a call has no current task here.
    context = copy_context()
    try:
        waited_for = context.run(call.send, None)
    except StopIteration:
        return None
    return loop.create_task(_resume(call, waited_for), context=context)


@coroutine
def _resume(call: Coroutine[Any, Any, None], waited_for: Any) -> Generator[Any, Any, None]:
    # Does what `yield from` does, for a coroutine that has started already.
    with suppress(StopIteration):
        while True:
            try:
                value = yield waited_for
            except BaseException as error:
                waited_for = call.throw(error)
            else:
                waited_for = call.send(value)


class StartQueue:
    """Calls to start once everything that has arrived is parsed.

    Started one after the other, they took a tenth less time than each in turn with parsing: the
    processor's caches hold code, too.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._starts: list[Callable[[], None]] = []

    def add(self, start: Callable[[], None]) -> None:
        """Call `start` in the next turn of the loop, with all that were added in this one."""
        if not self._starts:
            self._loop.call_soon(self._run)
        self._starts.append(start)

    def _run(self) -> None:
        starts, self._starts = self._starts, []
        for start in starts:
            start()


_start_queues: "WeakKeyDictionary[Config, StartQueue]" = WeakKeyDictionary()
"""One for all connections of a server."""


class SingleWriteCycle(RequestResponseCycle):
    """One call of the fast path: its answer states its length and is written once."""

    head: bytes

    async def send(self, message: Any) -> None:
        """Take the start of an answer, then its whole body, which is written with the head."""
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


class FastProtocol(GuardedProtocol):
    """The guarded protocol for one connection, with a shorter way for calls of the fast path."""

    idle_since: float | None = None
    """Time of the loop's clock; None while a request arrives or is answered."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start with a transport that coalesces writes."""
        super().connection_made(CoalescingTransport(transport, self.loop))  # type: ignore[arg-type]
        # Under a root path, paths are not those of the fast path: FastAPI answers.
        calls = None if self.root_path else getattr(self.config.app, "fast_path", None)
        self.calls: FastPath | None = calls
        self.starts = _start_queues.setdefault(self.config, StartQueue(self.loop))

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the timer, which stays across requests."""
        super().connection_lost(exc)
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()

    def on_headers_complete(self) -> None:
        """Start a call of the fast path, known by its path alone; leave others to uvicorn."""
        path, _, query = self.url.partition(b"?")
        calls = self.calls
        if (
            calls is None
            or path not in calls.paths
            or self.parser.get_method() != b"POST"
            or b"#" in query
            or self.parser.should_upgrade()
            or self.refused
        ):
            super().on_headers_complete()
            return
        self.head_bytes = None
        version = self.parser.get_http_version()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope["method"], scope["http_version"] = "POST", version
        scope["path"], scope["raw_path"] = calls.paths[path], path
        scope["query_string"] = query
        before = self.cycle
        self.cycle = cycle = SingleWriteCycle(
            scope=self.scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
        )
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, self.app))

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if isinstance(cycle, SingleWriteCycle):
            self.starts.add(partial(self._start_eagerly, cycle, app))
        else:
            super()._start_asgi_task(cycle, app)

    def _start_eagerly(self, cycle: SingleWriteCycle, app: Any) -> None:
        task = eager_task(cycle.run_asgi(app), self.loop)
        if task is not None:
            task.add_done_callback(self.tasks.discard)
            self.tasks.add(task)

    def _unset_keepalive_if_required(self) -> None:
        # uvicorn cancels its timer here and sets another after each answer, which costs as much
        # as parsing a request does. This one stays, and looks at `idle_since` when it fires.
        self.idle_since = None

    def on_response_complete(self) -> None:
        """Start the next request of the pipeline, or the idle time."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
            return
        self.idle_since = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._set_timer(self.timeout_keep_alive)

    def _set_timer(self, seconds: float) -> None:
        fire = self.timeout_keep_alive_handler
        self.timeout_keep_alive_task = self.loop.call_later(seconds, fire)

    def timeout_keep_alive_handler(self) -> None:
        """Close the connection if it has been idle for `timeout_keep_alive` seconds."""
        self.timeout_keep_alive_task = None
        if self.idle_since is None:
            return  # the end of the next answer sets the timer again
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._set_timer(left)
        else:
            super().timeout_keep_alive_handler()

    def _close_idle(self) -> None:
        # A call may have come, and been answered, since the timer fired.
        self.timeout_keep_alive_task = None
        if self.idle_since is None:
            return
        left = self.idle_since + self.timeout_keep_alive - self.loop.time()
        if left > 0:
            self._set_timer(left)
        else:
            super()._close_idle()
