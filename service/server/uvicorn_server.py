"""uvicorn, with a shutdown that fails no request."""

import asyncio
import multiprocessing
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn
from fastapi import FastAPI
from starlette.datastructures import State

from service.errors import SettingsError
from service.observability.worker_slots import WorkerSlot
from service.server.sockets import log_listening
from service.settings.settings import Settings

FASTEST: dict[str, Any] = {}
if sys.platform != "win32":  # where there is no uvloop, uvicorn takes what there is
    from service.server.fast_http import Protocol

    FASTEST = {"loop": "uvloop", "http": Protocol}

log = structlog.get_logger("foretell")


class Server(uvicorn.Server):
    """On the first SIGTERM or SIGINT: not ready, go on answering for `drain_seconds`, then stop.

    Requests under way get `shutdown_seconds` to finish. A second signal stops at once. With
    `grpc_port`, gRPC is answered beside HTTP.
    """

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        """Raises SettingsError if gRPC is wanted and not installed."""
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
            **FASTEST,
            timeout_graceful_shutdown=settings.shutdown_seconds,
        )
        super().__init__(config)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, and say where: with port 0, only now is it known."""
        await super().startup(sockets)
        slot: WorkerSlot | None = self._app.state.slot
        if slot is not None:
            end_with_parent()
        if self._listen is not None and not self.should_exit:
            try:
                self._grpc = await self._listen(self._app.state, self._settings)
            except SettingsError:
                await super().shutdown(sockets)
                raise
        if slot is None or slot.announces_address:
            for listening in sockets or [s for server in self.servers for s in server.sockets]:
                log_listening(listening)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let calls end, then requests, then everything else."""
        if self._grpc is not None:
            await self._grpc.stop(0 if self.force_exit else self._settings.shutdown_seconds)
        await super().shutdown(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Called by uvicorn's signal handler, on the main thread."""
        if self._app.state.draining or not self._settings.drain_seconds:
            super().handle_exit(sig, frame)
            return
        self._app.state.draining = True
        # Not from here: the signal may have interrupted the very writing of a log line.
        asyncio.get_running_loop().call_soon_threadsafe(self._drain, sig, frame)

    def _drain(self, sig: int, frame: FrameType | None) -> None:
        log.info("draining", signal=signal.Signals(sig).name, seconds=self._settings.drain_seconds)
        stop = partial(super().handle_exit, sig, frame)
        asyncio.get_running_loop().call_later(self._settings.drain_seconds, stop)


def _grpc() -> Callable[[State, Settings], Awaitable[Any]]:
    try:
        from service.api.open_inference.grpc.listener import listen  # takes time, and is an extra
    except ImportError as error:
        needs = "pip install 'foretell[grpc]'"
        raise SettingsError(f"FORETELL_GRPC_PORT needs {needs} ({error})") from error
    return listen


def end_with_parent() -> None:
    """Make the running loop end this worker, as SIGTERM does, when its parent is killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    loop = asyncio.get_running_loop()

    def end() -> None:
        loop.remove_reader(parent.sentinel)
        signal.raise_signal(signal.SIGTERM)

    loop.add_reader(parent.sentinel, end)
