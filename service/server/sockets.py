"""Ports: checked before anything starts, reserved by the supervisor, shared by workers."""

import ctypes
import errno
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

import structlog

if sys.platform != "win32":
    import resource

from service.errors import SettingsError
from service.settings.settings import Settings

log = structlog.get_logger("foretell")

HTTP, GRPC, HOST = "FORETELL_PORT", "FORETELL_GRPC_PORT", "FORETELL_HOST"
KEPT_DESCRIPTORS = 128
"""Descriptors that connections leave to models, pictures, tables and the log."""
SO_ATTACH_FILTER = 26
"""Of <asm-generic/socket.h>; the socket module does not name it."""
OPTIONS = {HTTP: "--port", GRPC: "--grpc-port"}

SOCKET_PER_WORKER = sys.platform == "linux"
"""Linux spreads connections over the sockets at one port; other systems give all to one of them."""


def check_ports(settings: Settings) -> None:
    """Bind every port of the settings for a moment. Raises SettingsError if one is not free.

    uvicorn would say so once every model is loaded, gRPC's library in lines of its own, and workers
    would share a port with the workers of another service. A connection in TIME_WAIT does not count
    (SO_REUSEADDR).
    """
    found = addresses(settings)
    for family, address in found if settings.workers == 1 else found[:1]:
        try:
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                if family == socket.AF_INET6 and settings.workers == 1:
                    # The event loop does so too: it listens at each address of a name.
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno == errno.EAFNOSUPPORT and len(found) > 1:
                continue  # `localhost` is also ::1 where there is no IPv6
            raise refused(error, settings.host, settings.port) from error
    _check_grpc(settings)


def addresses(settings: Settings) -> list[tuple[int, Any]]:
    """Return the families and addresses to listen at, IPv4 first. Raises SettingsError."""
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
    """Return the error for a port that is not free, or for an address of another machine."""
    if error.errno == errno.EADDRNOTAVAIL:
        return SettingsError(f"{HOST}: {host}: {_why(error)}")
    option = OPTIONS[setting]
    return SettingsError(f"{setting}: {host}:{port}: {_why(error)} ({option} sets another)")


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


def reserve_port(settings: Settings) -> socket.socket:
    """Return a socket that keeps the port while the service runs. Raises SettingsError.

    On Linux it does not listen: each worker binds its own (`shared_socket`).
    """
    family, address = addresses(settings)[0]
    try:
        if not SOCKET_PER_WORKER:
            return socket.create_server(address, family=family)
        try:
            # Without reuse, no other service's check finds it free before a worker listens.
            return shared_socket(family, address, reuse=False)
        except OSError:
            # A service of one process has left connections in TIME_WAIT there.
            return shared_socket(family, address)
    except OSError as error:
        raise refused(error, settings.host, settings.port) from error


def shared_socket(family: int, address: Any, *, reuse: bool = True) -> socket.socket:
    """Return a socket bound to an address that other sockets of this user may share.

    `reuse`: connections in TIME_WAIT prevent neither this binding nor a later one.
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


def refuse_connections(listening: socket.socket) -> None:
    """Have the kernel drop new handshakes at a listening socket; those under way end as they would.

    What has connected, and waits to be accepted, stays in the line: closing the socket would reset
    it, its request perhaps sent. A caller whose handshake is dropped tries again, and is refused
    once the socket is closed. On Linux; elsewhere nothing is done.
    """
    if sys.platform != "linux":
        return
    # Classic BPF on the TCP header: drop where its flags have SYN, else keep.
    program = b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),  # load the byte of flags
            (0x45, 0, 1, 0x02),  # SYN?
            (0x06, 0, 0, 0),  # drop
            (0x06, 0, 0, 0xFFFFFFFF),  # keep
        )
    )
    code = ctypes.create_string_buffer(program)
    filters = struct.pack("HP", len(program) // 8, ctypes.addressof(code))
    with suppress(OSError):  # a sandbox may have no filters: then some are reset
        listening.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, filters)


def waiting_connections(listening: socket.socket) -> int:
    """Return how many connections wait to be accepted; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    try:
        told = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 28)
    except OSError:
        return 0
    return int(struct.unpack_from("I", told, 24)[0])  # tcpi_unacked, of a listening socket


def connection_limit(settings: Settings) -> int:
    """Return how many connections this process may have: as set, as far as descriptors reach."""
    if sys.platform == "win32":
        return settings.max_connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return min(settings.max_connections, max(1, soft - KEPT_DESCRIPTORS))


def allow_connections(settings: Settings) -> None:
    """Raise this process's limit of descriptors to what its connections need, where it may."""
    if sys.platform == "win32":
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.max_connections + KEPT_DESCRIPTORS
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))
    if (limit := connection_limit(settings)) < settings.max_connections:
        log.warning("fewer connections than set", limit=limit, descriptors=hard)


def log_listening(listening: socket.socket) -> None:
    """Log the URL at which a socket listens: with port 0, only the socket knows it."""
    host, port = listening.getsockname()[:2]
    url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
    log.info("listening", url=url, docs=f"{url}/docs")
