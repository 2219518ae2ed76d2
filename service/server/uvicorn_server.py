"""uvicorn with gRPC beside it, and a stop that first drains.

After SIGTERM the service answers as not ready for `drain_seconds`: a load balancer that asks
/readyz sends nothing more by the time connections are closed.
"""

import asyncio
import multiprocessing
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
from service.server.sockets import log_listening
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

SWITCH_SECONDS = 0.0005
"""Seconds for which a thread that computes in Python may keep others waiting; Python's own is 5 ms.

A thread that reads JSON would hold up the event loop for that long, again and again.
"""


class Server(uvicorn.Server):
    """The server of one process: HTTP, and gRPC with `grpc_port`.

    The first SIGTERM or SIGINT makes it not ready; it goes on answering for `drain_seconds`, then
    gives open requests `shutdown_seconds` to finish. A second signal stops it at once.
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
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        super().__init__(config)

    def run(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer until a signal stops it."""
        sys.setswitchinterval(SWITCH_SECONDS)
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
        if self._listen is not None and not self.should_exit:
            try:
                self._grpc = await self._listen(self._app.state)
            except SettingsError:
                await super().shutdown(sockets)
                raise
        if slot is None or slot.announces_address:
            for listening in sockets or [s for server in self.servers for s in server.sockets]:
                log_listening(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let gRPC calls finish, then requests over HTTP, then the application's lifespan."""
        if self._grpc is not None:
            await self._grpc.stop(0 if self.force_exit else self._settings.shutdown_seconds)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Drain at the first signal, stop at the second. uvicorn calls it on the main thread."""
        if self._app.state.draining or not self._settings.drain_seconds:
            super().handle_exit(sig, frame)
            return
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
