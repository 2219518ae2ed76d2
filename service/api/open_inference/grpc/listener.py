"""The gRPC server."""

from typing import Any

import grpc
import structlog

from service.api.open_inference.grpc.service import handlers
from service.api.state import ServiceState
from service.errors import SettingsError

log = structlog.get_logger("foretell.grpc")


async def listen(state: ServiceState) -> Any:
    """Start and return a server at `grpc_port`. Raises SettingsError if the port is taken.

    Messages of more than `max_body_bytes` are refused, as bodies are.
    """
    settings = state.settings
    options = [
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        # A port that another process has is an error, as for HTTP; but workers share theirs.
        ("grpc.so_reuseport", int(settings.workers > 1)),
    ]
    server = grpc.aio.server(options=options)
    server.add_generic_rpc_handlers(handlers(state))
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    try:
        port = server.add_insecure_port(f"{host}:{settings.grpc_port}")
    except RuntimeError as error:
        raise SettingsError(f"FORETELL_GRPC_PORT: {error}") from error
    await server.start()
    log.info("listening for gRPC", address=f"{host}:{port}")
    return server
