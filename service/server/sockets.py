"""Whether the ports of the settings can be had, asked before anything is started."""

import errno
import socket
import sys
from typing import Any

import structlog

from service.errors import SettingsError
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

HTTP, GRPC, HOST = "FORETELL_PORT", "FORETELL_GRPC_PORT", "FORETELL_HOST"


def check_ports(settings: Settings) -> None:
    """Raises SettingsError for an address or a port that cannot be had.

    uvicorn would say so once every model is loaded, gRPC's library in lines of its own; and workers
    would share a port that another service of several has. Sockets that only wait for their end are
    in nobody's way (SO_REUSEADDR).
    """
    found = addresses(settings)
    for family, address in found if settings.workers == 1 else found[:1]:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6 and settings.workers == 1:
                    # As the event loop does, which listens at each of a name's addresses.
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                continue  # `localhost` is also ::1 where there is no IPv6
            raise refused(error, settings.host, settings.port) from error
    _check_grpc(settings)


def addresses(settings: Settings) -> list[tuple[int, Any]]:
    """Families and addresses to listen at, IPv4 first. Raises SettingsError."""
    host, port = settings.host, settings.port
    try:
        found = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (OSError, UnicodeError) as error:
        raise SettingsError(f"{HOST}: {host}: {_why(error)}") from error
    known = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return sorted(known, key=lambda one: one[0] != socket.AF_INET)


def refused(error: OSError, host: str, port: int, setting: str = HTTP) -> SettingsError:
    """What to say of a port that cannot be had."""
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(f"{HOST}: {host}: {_why(error)}")
    return SettingsError(f"{setting}: {host}:{port}: {_why(error)}")


def _check_grpc(settings: Settings) -> None:
    host, port = settings.host, settings.grpc_port
    if port is None:
        return
    if port == 0 and settings.workers > 1:
        raise SettingsError(f"{GRPC}: expected a port that workers can share, got 0")
    if port and port == settings.port:
        raise SettingsError(f"{GRPC}: expected another port than {HTTP}, got {port}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise refused(error, host, port, GRPC) from error


def _why(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


SHARED_OUT = sys.platform == "linux"
"""Whether the kernel shares out connections among sockets at one port; others give them to one."""


def reserve_port(settings: Settings) -> socket.socket:
    """The port, for as long as the service runs; `check_ports` has found it free."""
    family, address = addresses(settings)[0]
    try:
        if not SHARED_OUT:
            return socket.create_server(address, family=family)
        try:
            # Nobody else's check finds it free then, not even while no worker listens.
            return shared_socket(family, address, reuse=False)
        except OSError:
            # A service of one process has left connections there that wait for their end.
            return shared_socket(family, address)
    except OSError as error:
        raise refused(error, settings.host, settings.port) from error


def shared_socket(family: int, address: Any, *, reuse: bool = True) -> socket.socket:
    """A socket at an address that others of this user may have as well.

    `reuse`: also where, and so that, connections that wait for their end are in nobody's way.
    """
    sharing = socket.socket(family, socket.SOCK_STREAM)
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    try:
        sharing.bind(address)
    except OSError:
        sharing.close()
        raise
    sharing.set_inheritable(True)
    return sharing


def log_listening(listening: socket.socket) -> None:
    """Where a socket listens: with port 0, only it knows."""
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    log.info("listening", url=url, docs=f"{url}/docs")
