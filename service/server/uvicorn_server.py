"""uvicorn with gRPC beside it, and a stop that loses no call.

1. At SIGTERM the service is not ready, and every answer closes its connection. For `drain_seconds`
   it goes on so: a load balancer that asks /readyz sends nothing more by the end of them.
2. The port takes no new connection; those that wait to be accepted are, and have a second to send.
3. Calls under way, over HTTP and gRPC at once, may take until `shutdown_seconds` have passed.
"""

import asyncio
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn

from service.api.http.front_door import FrontDoor
from service.api.state import ServiceState
from service.errors import SettingsError
from service.observability.logs import logs
from service.observability.worker_slots import WorkerSlot
from service.server.sockets import (
    allow_connections,
    log_listening,
    refuse_connections,
    waiting_connections,
)
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

SWITCH_SECONDS = 0.0005
"""Seconds for which a thread that computes in Python may keep others waiting; Python's own is 5 ms.

A thread that reads JSON would hold up the event loop for that long, again and again.
"""

LEAVE_SECONDS = 0.1
"""Time for which handshakes under way may end before the port is closed."""
LINGER_SECONDS = 1.0
"""Time from then on for which a connection may still send its last call."""
POLL_SECONDS = 0.02
BEAT_SECONDS = 0.5
"""Time between two signs of life to the supervisor."""


class Server(uvicorn.Server):
    """The server of one process: HTTP, and gRPC with `grpc_port`.

    The first SIGTERM or SIGINT stops it as told above, a second one ends the process at once.
    """

    def __init__(self, app: FrontDoor, settings: Settings) -> None:
        """Take an application and its settings. Raises SettingsError if gRPC is not installed."""
        self._app, self._settings = app, settings
        self._listen = None if settings.grpc_port is None else _grpc()
        self._grpc: Any = None
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="none",
            **http_options(settings),
            timeout_keep_alive=settings.keepalive_seconds,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        super().__init__(config)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until a signal stops it."""
        sys.setswitchinterval(SWITCH_SECONDS)
        allow_connections(self._settings)
        super().run(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals; the one that ended the process is raised again, after the last line."""
        with super().capture_signals():
            try:
                yield
            finally:
                logs.flush()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and log where: a port of 0 is known only now."""
        await super().startup(sockets)
        slot = self._app.state.slot
        if slot is not None:
            end_with_parent()
            self._beating = asyncio.create_task(_beat(slot))
        if self._listen is not None and not self.should_exit:
            try:
                self._grpc = await self._listen(self._app.state)
            except SettingsError:
                await super().shutdown(sockets)
                raise
        if slot is None or slot.announces_address:
            for listening in sockets or [s for server in self.servers for s in server.sockets]:
                log_listening(listening)

    async def on_tick(self, counter: int) -> bool:
        """Sweep the connections once a second; uvicorn calls it ten times as often."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                connection.sweep(now)  # type: ignore[union-attr]  # http_options gives no other
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let calls finish, over HTTP and gRPC at once, then end the application's lifespan."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.shutdown_seconds
        calls, connections = self.server_state.tasks, self.server_state.connections
        log.info("stopping", calls=len(calls), connections=len(connections))
        self._app.state.lifecycle.closing = True
        await asyncio.gather(self._finish_http(deadline), self._finish_grpc(deadline))
        if calls or connections:
            log.warning("stopping cuts calls", calls=len(calls), connections=len(connections))
        # There is nothing left to wait for; uvicorn ends the lifespan.
        self.config.timeout_graceful_shutdown = 1
        await super().shutdown(sockets)

    async def _finish_grpc(self, deadline: float) -> None:
        """Refuse new calls for a while, then close the port and wait for those under way.

        What gRPC's library has received and not begun when it stops is CANCELLED, as if the caller
        had done so; what is refused before is UNAVAILABLE, which clients try again elsewhere.
        """
        if self._grpc is not None:
            await asyncio.sleep(min(LINGER_SECONDS, self._settings.shutdown_seconds))
            await self._grpc.stop(max(0.0, deadline - asyncio.get_running_loop().time()))

    async def _finish_http(self, deadline: float) -> None:
        """Leave the port, then wait for every connection's last answer, until the deadline."""
        loop = asyncio.get_running_loop()
        listening = [
            socket.socket(fileno=os.dup(one.fileno()))
            for server in self.servers
            for one in server.sockets
        ]
        for one in listening:
            refuse_connections(one)
        left = loop.time() + LEAVE_SECONDS
        while loop.time() < left or (
            any(map(waiting_connections, listening)) and loop.time() < deadline
        ):
            await asyncio.sleep(POLL_SECONDS)
        for one in listening:
            one.close()
        for server in self.servers:
            server.close()
        connections, calls = self.server_state.connections, self.server_state.tasks
        told = min(loop.time() + LINGER_SECONDS, deadline)
        while connections and loop.time() < told:
            await asyncio.sleep(POLL_SECONDS)
        for _ in range(2):  # read what has come
            await asyncio.sleep(0)
        for connection in list(connections):
            connection.shutdown()
        while (connections or calls) and loop.time() < deadline:
            await asyncio.sleep(POLL_SECONDS)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, end at the second. uvicorn calls it on the main thread."""
        if self._app.state.draining:
            signal.signal(sig, signal.SIG_DFL)
            signal.raise_signal(sig)
        self._app.state.begin_drain()
        # Logged by the loop: the signal may have interrupted the writing of another log line.
        asyncio.get_running_loop().call_soon_threadsafe(self._drain, sig, frame)

    def _drain(self, sig: int, frame: FrameType | None) -> None:
        log.info("draining", signal=signal.Signals(sig).name, seconds=self._settings.drain_seconds)
        stop = partial(super().handle_exit, sig, frame)
        asyncio.get_running_loop().call_later(self._settings.drain_seconds, stop)


def http_options(settings: Settings) -> dict[str, Any]:
    """Return uvicorn's options for the event loop and for the protocol that `settings.http` names.

    None on Windows: uvloop does not run there, and uvicorn chooses by what is installed.
    """
    if sys.platform == "win32":
        return {}
    if settings.http == "fast":
        from service.server.fast_http import FastProtocol

        return {"loop": "uvloop", "http": FastProtocol}
    from service.server.http_guards import GuardedProtocol

    return {"loop": "uvloop", "http": GuardedProtocol}


def _grpc() -> Callable[[ServiceState], Awaitable[Any]]:
    try:
        from service.api.open_inference.grpc.listener import listen  # takes time, and is an extra
    except ImportError as error:
        needs = "grpcio and protobuf (pip install '.[grpc]' in a clone)"
        raise SettingsError(f"FORETELL_GRPC_PORT needs {needs} ({error})") from error
    return listen


async def _beat(slot: WorkerSlot) -> None:
    while True:
        slot.beat()
        await asyncio.sleep(BEAT_SECONDS)


def end_with_parent() -> None:
    """Make the running loop stop this worker, as SIGTERM does, when its parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(parent.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(parent.sentinel, end)
