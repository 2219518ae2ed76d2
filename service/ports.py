"""Whether the ports of the settings can be had, asked before anything is started."""

import socket

from service.errors import SettingsError
from service.settings import Settings

NAME = "FORETELL_GRPC_PORT"


def check_grpc_port(settings: Settings) -> None:
    """Raises SettingsError for a port that is taken, or that workers cannot share.

    gRPC's library would say so in lines of its own; workers would share one that another service of
    several has. (uvicorn sees to the port for HTTP.)
    """
    host, port = settings.host, settings.grpc_port
    if port is None:
        return
    if port == 0 and settings.workers > 1:
        raise SettingsError(f"{NAME}: expected a port that workers can share, got 0")
    if port and port == settings.port:
        raise SettingsError(f"{NAME}: expected another port than FORETELL_PORT, got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((host, port))
        except OSError as error:
            raise SettingsError(f"{NAME}: {host}:{port}: {error.strerror or error}") from error
