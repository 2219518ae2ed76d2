"""One worker of several: what its process does from start to end."""

import os
import socket
import sys

import structlog
from uvicorn.config import STARTUP_FAILURE

from service.errors import ForetellError
from service.observability.worker_slots import WorkerSlot
from service.server.sockets import SOCKET_PER_WORKER, shared_socket
from service.settings.settings import Settings

log = structlog.get_logger("foretell")


def run_worker(settings: Settings, listening: socket.socket, slot: WorkerSlot) -> None:
    """Answer until SIGTERM, in a process of its own that the supervisor has started.

    Exits with uvicorn's STARTUP_FAILURE if it cannot start; the reason is one line of the log.
    """
    from service.observability.logs import configure_logs

    os.setsid()  # leaves the terminal: signals come from the supervisor alone
    configure_logs(settings)
    try:
        from service.api.app import create_app
        from service.server.uvicorn_server import Server

        if SOCKET_PER_WORKER:
            listening = shared_socket(listening.family, listening.getsockname())
        server = Server(create_app(settings, slot), settings)
        server.run([listening])
    except Exception as error:  # any would end the process, with a traceback; a bad folder, say
        known = isinstance(error, ForetellError | OSError)
        reason = str(error) if known else f"{type(error).__name__}: {error}"
        log.error("worker cannot start", reason=reason, exc_info=not known)
        sys.exit(STARTUP_FAILURE)
    if not server.started:
        sys.exit(STARTUP_FAILURE)  # uvicorn has said why
