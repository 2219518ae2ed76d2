"""One worker: its process from start to end."""

import os
import socket
import sys

import structlog
from uvicorn.config import STARTUP_FAILURE

from service.errors import ForetellError
from service.observability.worker_slots import WorkerSlot
from service.server.sockets import SHARED_OUT, shared_socket
from service.settings.settings import Settings

log = structlog.get_logger("foretell")


def run_worker(settings: Settings, listening: socket.socket, slot: WorkerSlot) -> None:
    """The life of one worker, in its own process."""
    from service.observability.logs import configure_logs

    os.setsid()  # away from the terminal: signals come from the parent
    configure_logs(settings)
    try:
        from service.api.app import create_app
        from service.server.uvicorn_server import Server

        if SHARED_OUT:
            listening = shared_socket(listening.family, listening.getsockname())
        server = Server(create_app(settings, slot), settings)
        server.run([listening])
    except Exception as error:  # a folder that cannot be read, say; any would end the process
        known = isinstance(error, ForetellError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        log.error("worker cannot start", reason=reason, exc_info=not known)
        sys.exit(STARTUP_FAILURE)
    if not server.started:
        sys.exit(STARTUP_FAILURE)  # uvicorn has said why
