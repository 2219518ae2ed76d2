"""Addresses and ports that cannot be had are found out before anything is started."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from service.errors import SettingsError
from service.server.sockets import SOCKET_PER_WORKER, check_ports, reserve_port, shared_socket
from service.settings.settings import Settings

LOCAL = "127.0.0.1"
linux = pytest.mark.skipif(
    not SOCKET_PER_WORKER, reason="workers have sockets of their own on Linux only"
)


@contextmanager
def listening(address: str = LOCAL) -> Iterator[int]:
    """Listen as one process of a service does. Yields the port."""
    with socket.create_server((address, 0), family=family_of(address)) as other:
        yield other.getsockname()[1]


def family_of(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def hang_up(listener: socket.socket) -> int:
    """Close a connection from this side, so that it stays in TIME_WAIT. Return the port."""
    with listener, socket.create_connection(listener.getsockname()) as caller:
        listener.accept()[0].close()
        assert not caller.recv(1)
        return int(listener.getsockname()[1])


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("address", [LOCAL, "::1"])
def test_a_port_on_which_somebody_listens_is_refused(address: str, workers: int) -> None:
    """In words that name the setting, the address and the port."""
    try:
        with listening(address) as port:
            settings = Settings(host=address, port=port, workers=workers)
            text = (
                f"^FORETELL_PORT: {address}:{port}: Address already in use .--port sets another.$"
            )
            with pytest.raises(SettingsError, match=text):
                check_ports(settings)
    except OSError:
        pytest.skip(f"this machine has no {address}")


@linux
@pytest.mark.parametrize("workers", [1, 2])
def test_a_port_is_refused_also_before_another_services_workers_listen(workers: int) -> None:
    """Theirs could be shared, and calls would be answered by one service or the other."""
    with reserve_port(Settings(port=0, workers=2)) as taken:
        settings = Settings(port=taken.getsockname()[1], workers=workers)
        with pytest.raises(SettingsError, match="Address already in use"):
            check_ports(settings)


@linux
@pytest.mark.parametrize("before", [1, 2])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_starts_again_at_once(before: int, workers: int) -> None:
    """Connections in TIME_WAIT do not count, whatever number of workers left them."""
    here = (LOCAL, 0)
    port = hang_up(socket.create_server(here) if before == 1 else listener_of_a_worker())
    settings = Settings(port=port, workers=workers)
    check_ports(settings)
    if workers > 1:
        with (
            reserve_port(settings) as taken,
            shared_socket(taken.family, taken.getsockname()) as own,
        ):
            own.listen()
            with pytest.raises(SettingsError, match="Address already in use"):
                check_ports(settings)


def listener_of_a_worker() -> socket.socket:
    """Return the socket of a worker, at the port of its parent."""
    with reserve_port(Settings(port=0, workers=2)) as taken:
        own = shared_socket(taken.family, taken.getsockname())
    own.listen()
    return own


@linux
def test_a_port_that_is_taken_meanwhile_is_an_error_of_the_setting() -> None:
    """Between the check and the workers' start."""
    with listening() as port, pytest.raises(SettingsError, match=f"^FORETELL_PORT: {LOCAL}:{port}"):
        reserve_port(Settings(port=port, workers=2))


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("host", ["192.0.2.1", "no..host"])
def test_an_address_that_is_not_this_machines_is_named(host: str, workers: int) -> None:
    """Or a name that has none."""
    with pytest.raises(SettingsError, match=f"^FORETELL_HOST: {host}: "):
        check_ports(Settings(host=host, port=0, workers=workers))


def test_any_free_port_can_be_had() -> None:
    """0 is one, by name or by address; of every interface too."""
    for host in (LOCAL, "localhost", "0.0.0.0"):
        check_ports(Settings(host=host, port=0))


def test_nothing_is_loaded_for_a_port_that_is_taken() -> None:
    """One line, exit status 1, and no model before it."""
    with listening() as port:
        ended = subprocess.run(
            [sys.executable, "-m", "service.cli", "serve", "--port", str(port)],
            env=os.environ | {"FORETELL_DEVICE": "cpu"},
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert ended.returncode == 1
    reason = "Address already in use (--port sets another)"
    assert ended.stderr == f"foretell: FORETELL_PORT: {LOCAL}:{port}: {reason}\n"
